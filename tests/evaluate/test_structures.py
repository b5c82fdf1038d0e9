"""Rows of metrics: who is compared with whom, and what becomes of what failed."""

import numpy as np
import pytest
import torch

from packflow.data.structure_set import Entry, StructureSet, entry_of
from packflow.errors import InputError
from packflow.evaluate import structures as evaluate
from packflow.structure.sites import Sites


def structures(*entries, **columns):
    """A set of (name, SMILES, length of the cell); the length is a text where there is a problem instead."""
    found = []
    for name, smiles, length in entries:
        if isinstance(length, str):
            found.append(Entry(name, smiles, length))
        else:
            lattice = np.array([length, 6, 7, 90, 90, 90])
            found.append(entry_of(Sites(name, np.array([6, 8]), np.array([[0, 0, 0], [1.4 / length, 0, 0]]), lattice, smiles or None)))
    made = StructureSet.from_entries(found)
    return StructureSet(made.names, made.molecule, made.problem, made.bonds, made.atoms, columns)


def references_of(rows):
    return rows["reference"].to_pylist()


def test_without_references():
    read = structures(("a", "CO", 5.0), ("b", "CO", "no valid cell: flat"), ("c", "", 6.0), index=[3, 4, 5], volume=[1, 2, 3])
    rows = evaluate.evaluate(read)
    assert rows["name"].to_pylist() == ["a", "b", "c"]
    assert rows["molecule"].to_pylist() == ["CO", "CO", ""]
    assert rows["problem"].to_pylist() == ["", "no valid cell: flat", ""]
    assert rows["bonds"].to_pylist() == ["recognized", "", "no SMILES"]
    assert rows["index"].to_pylist() == [3, 4, 5]
    # computed anew, whatever the file says
    assert rows["volume"].to_pylist() == [pytest.approx(5 * 42), None, pytest.approx(6 * 42)]
    assert "reference" not in rows.column_names
    summary = {row["metric"]: row for row in evaluate.summarize(rows).to_pylist()}
    assert next(iter(summary.values()))["n_values"] == 2


def test_wall_time_and_mixed_columns():
    rows = evaluate.evaluate(structures(("a", "", 5.0), ("b", "", 5.0), seconds=[1.5, None], tag=[1, "x"]))
    assert rows["seconds"].to_pylist()[0] == 1.5
    assert rows["tag"].to_pylist() == ["1", "x"]
    assert "seconds" not in evaluate.evaluate(structures(("a", "", 5.0), tag=["x"])).column_names


def test_one_reference_for_all():
    rows = evaluate.evaluate(structures(("a", "CO", 5.0), ("b", "", 6.0), ("c", "", "junk")), structures(("x", "", 6.0)))
    assert references_of(rows) == ["x"] * 3
    distance = rows["amd_distance"].to_pylist()
    assert distance[0] > 0
    assert distance[1:] == [pytest.approx(0), None]
    assert rows["problem"].to_pylist() == ["", "", "junk"]
    assert "pdd_distance" not in rows.column_names


def test_by_name():
    """The whole name, else what precedes "#"; a failed prediction needs no reference."""
    predictions = structures(("b#0", "", 6.0), ("a", "", 5.0), ("b#1", "", 6.5), ("junk", "", "not readable"))
    references = structures(("a", "", 5.0), ("b", "", 6.0), ("b#1", "", 6.5))
    for match in ("name", "auto"):
        rows = evaluate.evaluate(predictions, references, match, pdd=True)
        assert references_of(rows) == ["b", "a", "b#1", ""]
        for metric in ("amd_distance", "pdd_distance"):
            assert rows[metric].to_pylist()[:3] == pytest.approx([0, 0, 0], abs=1e-6)
            assert rows[metric].to_pylist()[3] is None
    assert rows["problem"].to_pylist()[3] == "not readable"


def test_by_molecule():
    """Equal molecules whatever their SMILES; of two polymorphs the nearer."""
    predictions = structures(("p", "OC", 6.6), ("q", "CO", 5.1), ("r", "C=O", 5.0))
    references = structures(("x", "CO", 5.0), ("y", "C=O", 5.0), ("z", "CO", 6.5), ("w", "CO", "disorder"))
    for match in ("molecule", "auto"):
        rows = evaluate.evaluate(predictions, references, match)
        assert references_of(rows) == ["z", "x", "y"]
    means = evaluate.summarize(rows, by="molecule").to_pylist()[0]
    assert means["n_groups"] == 2


def test_by_order():
    rows = evaluate.evaluate(structures(("p", "", 5.0), ("q", "", 6.0)), structures(("q", "", 5.0), ("p", "", 6.0)), "order")
    assert references_of(rows) == ["q", "p"]
    assert rows["amd_distance"].to_pylist() == pytest.approx([0, 0], abs=1e-6)


@pytest.mark.parametrize(
    ("match", "references", "message"),
    [
        ("name", [("a", "", 5.0), ("c", "", 5.0)], "1 of 2 predictions have no reference by name: b"),
        ("auto", [("a", "", 5.0), ("c", "", 5.0)], "1 of 2 predictions have no reference by name: b"),
        ("auto", [("x", "C=O", 5.0), ("y", "", 5.0)], "2 of 2 predictions have no reference by molecule: a, b"),
        ("molecule", [("a", "", 5.0)], "no reference by molecule"),
        ("order", [("a", "", 5.0)], "as many references as predictions, got 1 and 2"),
        ("order", [("a", "", 5.0), ("b", "", "junk")], r"no reference by order: b; references that cannot be used: b \(junk\)"),
        ("auto", [("x", "", "disorder: of a solvent")], r"references that cannot be used: x \(disorder: of a solvent\)"),
        ("name", [("a", "", 5.0), ("a", "", 6.0), ("b", "", 5.0)], "several are called a"),
        ("nearest", [("a", "", 5.0)], "match must be one of auto, name, molecule, order, got 'nearest'"),
    ],
)
def test_what_has_no_reference(match, references, message):
    with pytest.raises(InputError, match=message) as error:
        evaluate.evaluate(structures(("a", "CO", 5.0), ("b", "CO", 5.0)), structures(*references), match)
    assert "\n" not in str(error.value)


def test_long_lists_are_cut():
    predictions = structures(*((f"p{k}", "", 5.0) for k in range(30)))
    with pytest.raises(InputError, match=r"p0, p1, p2, p3, p4 and 25 more$"):
        evaluate.evaluate(predictions, structures(("x", "", 5.0)), "name")


def test_bonds_reach_the_metrics():
    """What is recognized is passed on as bonds; a set of failures alone is a table too."""
    assert structures(("a", "CO", 5.0)).atoms.bond_index.tolist() == [[0, 1], [1, 0]]
    rows = evaluate.evaluate(structures(("a", "", "junk"), ("b", "", "junk")), structures(("x", "", 5.0)))
    assert rows["problem"].to_pylist() == ["junk"] * 2
    assert torch.tensor(rows["amd_distance"].is_null().to_pylist()).all()
    assert evaluate.summarize(rows).to_pylist()[0]["mean"] is None

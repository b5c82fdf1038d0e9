"""Tables: a row per structure, failures counted, means of groups."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from packflow import metrics
from packflow.metrics import compare, describe, summary
from packflow.structure import AtomsBatch

CUBE = 6 * torch.eye(3)
PAIR = [[0.0, 0, 0], [3.0, 0, 0]]


@pytest.fixture
def batch(structure, measured):
    """Urea, a flat cell, and two atoms of unknown bonds."""
    flat = structure([6, 8], PAIR, torch.zeros(3, 3), [])
    return AtomsBatch.join([measured.select(torch.tensor([1])), flat, structure([6, 8], PAIR, CUBE)])


def test_describe(batch):
    table = describe(batch)
    assert table["n_atoms"].to_pylist() == [8, 2, 2]
    good = torch.tensor([0, 2])
    for name, wanted in {
        "density": metrics.density(batch),
        "clash_percent": metrics.clash_percent(batch),
        "clash_nonbonded_percent": metrics.clash_percent(batch, bonded=False),
        "bonds_valid_percent": metrics.bonds_valid_percent(batch),
    }.items():
        found = table[name].to_pylist()
        assert found[1] is None
        np.testing.assert_array_equal(np.array(found, dtype=float)[good], wanted[good])
    assert table["bonds_valid"].to_pylist() == [True, None, None]
    assert table["valid_cell"].to_pylist() == [True, None, False]
    assert table["problem"].to_pylist()[::2] == ["", ""]
    assert "cell must be finite and not flat" in table["problem"][1].as_py()
    assert [round(table[name][2].as_py(), 9) for name in ("a", "alpha", "volume")] == [6, 90, 216]
    assert "seconds" not in table.column_names


def test_compare(batch):
    rows = torch.tensor([0, 0, 2])
    table = compare(batch, batch.select(torch.tensor([0, 1, 0])), rows, pdd=True, seconds=[1.0, 2.0, 6.0])
    assert table["reference"].to_pylist() == [0, 0, 2]
    assert table["seconds"].to_pylist() == [1, 2, 6]
    for name in ("density_error_percent", "amd_distance", "pdd_distance", "rdf_distance", "rdf_distance_short"):
        assert table[name][0].as_py() == pytest.approx(0, abs=1e-9)
        assert table[name][1].as_py() is None
        assert table[name][2].as_py() > 0.01
    assert table["contact_f1"].to_pylist() == [pytest.approx(1), None, None]
    references = batch.select(torch.tensor([0, 1, 0]))
    assert table["rdf_distance_short"][2].as_py() == pytest.approx(metrics.rdf_distance(batch, references, rows, r_max=5.0)[2].item())
    assert table["rdf_distance"][2].as_py() == pytest.approx(metrics.rdf_distance(batch, references, rows)[2].item())


def test_a_reference_with_a_problem_is_a_failed_row(batch):
    table = compare(batch, batch, torch.tensor([1, 1, 2]))
    assert table["problem"][0].as_py().startswith("reference 1: cell must")
    assert table["problem"][1].as_py().startswith("cell must")
    assert table["problem"][2].as_py() == ""
    assert table["amd_distance"][0].as_py() is None
    assert table["density"][0].as_py() is not None


def test_references_are_looked_at_once(batch, monkeypatch):
    """Their descriptors do not depend on the number of predictions."""
    seen = []
    compute = metrics.table.amd_of_good

    def counting(atoms):
        seen.append(len(atoms))
        return compute(atoms)

    monkeypatch.setattr("packflow.metrics.table.amd_of_good", counting)
    compare(batch.select(torch.tensor([0, 2, 0, 2, 0])), batch, torch.tensor([0, 0, 0, 0, 0]))
    # two of the three references have no problem
    assert seen == [5, 2]


def table_of(**columns):
    return pa.table(columns)


def test_summary():
    """Of five rows one failed, and one good row has no distance."""
    table = table_of(
        clash_percent=[10.0, 20.0, 30.0, None, 0.0],
        amd_distance=[1.0, 2.0, None, None, 6.0],
        valid_cell=[True, False, True, None, True],
        seconds=[1.0, 1.0, 1.0, 1.0, 6.0],
        problem=["", "", "", "flat", ""],
    )
    rows = {row.pop("metric"): row for row in summary(table).to_pylist()}
    assert rows["clash_percent"] == {"unit": "%", "mean": 15.0, "n_values": 4, "n_missing": 0, "n_failed": 1}
    assert rows["amd_distance"] == {"unit": "Å", "mean": 3.0, "n_values": 3, "n_missing": 1, "n_failed": 1}
    assert rows["valid_cell"]["mean"] == 0.75
    # a failed row took its time as well
    assert rows["seconds"] == {"unit": "s", "mean": 2.0, "n_values": 5, "n_missing": 0, "n_failed": 1}


def test_summary_does_not_count_values_of_failed_rows():
    """A row whose reference has a problem has its own clash percentage."""
    table = table_of(clash_percent=[10.0, 90.0], problem=["", "reference 3: flat"])
    assert summary(table)["mean"].to_pylist() == [10.0]
    assert summary(table)["n_failed"].to_pylist() == [1]


@pytest.mark.parametrize("kind", ["number", "word"])
def test_summary_by_group(kind):
    """Means over a molecule's proposals, then over molecules; a molecule of which every proposal failed is stated."""
    molecule = [0, 0, 0, 1, 2] if kind == "number" else ["b", "b", "b", "a", "c"]
    table = table_of(molecule=molecule, amd_distance=[1.0, 3.0, None, 10.0, None], problem=["", "", "flat", "", "flat"])
    row = summary(table, by="molecule").to_pylist()[0]
    assert row["mean"] == 6.0
    assert (row["n_values"], row["n_missing"], row["n_failed"]) == (3, 0, 2)
    assert (row["n_groups"], row["n_groups_missing"]) == (2, 1)


def test_summary_of_failures_only():
    table = table_of(amd_distance=pa.array([None, None], pa.float64()), problem=["flat", "flat"])
    row = summary(table).to_pylist()[0]
    assert row["mean"] is None
    assert (row["n_values"], row["n_failed"]) == (0, 2)


def test_summary_of_comparisons(batch):
    table = compare(batch, batch, torch.tensor([0, 0, 0]))
    rows = {row["metric"]: row for row in summary(table, by="reference").to_pylist()}
    assert set(rows) == set(metrics.table.METRICS) - {"pdd_distance", "seconds"}
    assert all(row["n_failed"] == 1 for row in rows.values())
    assert rows["contact_f1"]["n_missing"] == 1
    assert rows["amd_distance"]["mean"] == pytest.approx(table["amd_distance"][2].as_py() / 2)


def test_errors(batch):
    with pytest.raises(ValueError, match=r"seconds must be one number or 3, got shape \(2,\)"):
        describe(batch, seconds=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"by must be one of the columns n_atoms, .*, got molecule"):
        summary(describe(batch), by="molecule")
    with pytest.raises(ValueError, match="by must be a column without missing values, got valid_cell with 1"):
        summary(describe(batch), by="valid_cell")

"""Of equal crystals one stays, the experimental one if there is one."""

import numpy as np
import pytest
import torch

from packflow.data.candidates import Candidate
from packflow.data.dataset import CrystalDataset
from packflow.data.prepare import PrepareConfig, prepare
from packflow.data.unique import amds_of, without_duplicates
from packflow.errors import InputError
from packflow.structure import Crystal, Template
from packflow.structure.match import molecule_graphs


def crystal(spacing, smiles="C"):
    """Simple cubic: the nearest atoms of crystals that differ by 0.005 Å in spacing, and the farther ones by more."""
    return Crystal(Template(molecule_graphs(smiles)[0], 1), np.zeros((1, 3)), np.array([spacing] * 3 + [90.0] * 3))


def rejected(candidates):
    return {c.name: c.detail for c in candidates if c.crystal is None}


def test_first_or_experimental_is_kept():
    candidates = [Candidate(name, crystal(5 + step)) for name, step in zip("abcd", (0.0, 0.001, 0.002, 1.0), strict=True)]
    candidates.append(Candidate("other molecule", crystal(5.001, "N")))
    kinds = ["computed"] * 5
    found = rejected(without_duplicates(candidates, kinds, 0.01))
    assert set(found) == {"b", "c"}
    assert found["b"].startswith("of a, AMD distance 0.00")
    kinds[2] = "experimental"
    found = rejected(without_duplicates(candidates, kinds, 0.01))
    assert set(found) == {"a", "b"}
    assert all(detail.startswith("of c,") for detail in found.values())
    assert without_duplicates(candidates, kinds, 0) == candidates


def test_tolerance_is_the_greatest_difference():
    """The 100 nearest of a cubic lattice lie within sqrt(9) spacings: (2, 2, 1) is the farthest shell that is entered."""
    amds = amds_of([crystal(5.0), crystal(5.001)])
    distance = float((amds[1] - amds[0]).abs().max())
    assert distance == pytest.approx(0.001 * 3, rel=1e-9)
    pair = [Candidate("a", crystal(5.0)), Candidate("b", crystal(5.001))]
    assert len(rejected(without_duplicates(pair, ["", ""], distance * 1.01))) == 1
    assert not rejected(without_duplicates(pair, ["", ""], distance * 0.99))


def test_amds_in_parts_and_of_what_cannot_be_searched(monkeypatch):
    flat = Crystal(crystal(5.0).template, np.full((1, 3), np.nan), np.array([5.0] * 3 + [90.0] * 3))
    crystals = [crystal(5.0), flat, crystal(6.0), crystal(7.0)]
    whole = amds_of(crystals)
    assert torch.isnan(whole[1]).all()
    assert torch.isfinite(whole[[0, 2, 3]]).all()
    monkeypatch.setattr("packflow.data.unique.CHUNK_ATOMS", 1)
    torch.testing.assert_close(amds_of(crystals), whole, rtol=0, atol=0, equal_nan=True)
    assert amds_of([]).shape == (0, 100)


def test_prepared_once(cif_folder, tmp_path):
    """A copy in another cell, listed first but computed, gives way to the measured one; its own copy too."""
    source = tmp_path / "cifs"
    source.mkdir()
    text = (cif_folder / "4501703.cif").read_text()
    for name in ("a_copy.cif", "measured.cif", "z_copy.cif"):
        (source / name).write_text(text)
    smiles = "".join(row for row in (cif_folder / "table.csv").read_text().splitlines() if row.startswith("4501703")).split(",")[1]
    table = tmp_path / "table.csv"
    kinds = {"a_copy.cif": "computed", "measured.cif": "experimental", "z_copy.cif": ""}
    table.write_text("file,smiles,kind\n" + "".join(f"{name},{smiles},{kind}\n" for name, kind in kinds.items()))
    report = prepare(source, tmp_path / "out", table=table, n_jobs=1, progress=False)
    assert CrystalDataset.open(tmp_path / "out").name.tolist() == ["measured.cif"]
    assert report.rejected == {"duplicate": 2}
    lines = (tmp_path / "out" / "rejected.csv").read_text().splitlines()
    assert lines[1] == 'a_copy.cif,duplicate,"of measured.cif, AMD distance 0.0000 Å"'
    prepare(source, tmp_path / "all", PrepareConfig(duplicate_tolerance=0), table, n_jobs=1, progress=False)
    assert len(CrystalDataset.open(tmp_path / "all")) == 3


def test_bad_tolerance():
    with pytest.raises(InputError, match="at least 0 Å, got nan"):
        PrepareConfig(duplicate_tolerance=float("nan"))

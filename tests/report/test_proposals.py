"""A folder of proposals: what is in it and what happens when a run breaks off."""

import json

import gemmi
import numpy as np
import pyarrow.parquet as pq
import pytest

from packflow.errors import InputError
from packflow.flow.sampler import Proposal
from packflow.metrics import clash_percent, density
from packflow.report.proposals import ProposalFolder
from packflow.structure import AtomsBatch, Crystal, Molecule, Template

TEMPLATE = Template(Molecule.from_smiles("NC(N)=O"), 2)


def proposals(n, first=0):
    rng = np.random.default_rng(first)
    lattice = np.array([6.0, 7, 8, 80, 95, 100])
    return [Proposal(Crystal(TEMPLATE, rng.normal(size=(8, 3)), lattice), first + k, 7) for k in range(n)]


def test_table_and_files(tmp_path):
    first, second = proposals(2), proposals(1, first=2)
    broken = Proposal(first[0].crystal, 3, 7, "impossible cell")
    with ProposalFolder(tmp_path / "out", {"model": "m"}) as folder:
        folder.write(first)
        folder.write([*second, broken])
    table = pq.read_table(tmp_path / "out" / "proposals.parquet").to_pylist()
    assert [row["index"] for row in table] == [0, 1, 2, 3]
    atoms = AtomsBatch.from_crystals([p.crystal for p in (*first, *second)])
    assert [row["density"] for row in table[:3]] == pytest.approx(density(atoms).tolist())
    assert [row["clash_percent"] for row in table[:3]] == clash_percent(atoms).tolist()
    assert table[3]["problem"] == "impossible cell"
    assert table[3]["density"] is None
    assert table[3]["cif"] == ""
    for row, proposal in zip(table, (*first, *second), strict=False):
        np.testing.assert_allclose(np.reshape(row["positions"], (-1, 3)), proposal.crystal.positions, atol=1e-6)
        block = gemmi.cif.read(str(tmp_path / "out" / "cifs" / row["cif"])).sole_block()
        assert gemmi.make_small_structure_from_block(block).cell.a == pytest.approx(row["a"])
    assert len(list((tmp_path / "out" / "cifs").iterdir())) == 3
    assert json.loads((tmp_path / "out" / "run.json").read_text())["model"] == "m"
    assert folder.summary().title == "4 proposals, 3 with a possible cell"
    assert folder.summary().row_count == 9


def test_an_interrupted_run_keeps_what_is_done(tmp_path):
    folder = ProposalFolder(tmp_path / "out", {})
    with pytest.raises(KeyboardInterrupt), folder:
        folder.write(proposals(2))
        raise KeyboardInterrupt
    assert pq.read_table(tmp_path / "out" / "proposals.parquet").num_rows == 2


def test_results_are_never_overwritten(tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(InputError, match="holds files already"):
        ProposalFolder(tmp_path, {})
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        ProposalFolder(tmp_path / "file" / "out", {})

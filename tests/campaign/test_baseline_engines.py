"""`packflow sample --engine random|rigid-press`, one molecule and campaigns, as a user types them."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from packflow.baseline import Baseline, random_packings, rigid_press
from packflow.campaign import Job, run
from packflow.cli import main
from packflow.flow.sampler import sample
from packflow.structure import Molecule, Template

# the second molecule, norbornane with one bridgehead inside out, has no conformer
INPUT = "smiles,name,n_copies,n_samples\nNC(N)=O,urea,2;4,3\nC1C[C@H]2CC[C@H]1C2,inside-out,2,2\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.csv").write_text(INPUT)
    return tmp_path


@pytest.mark.parametrize("engine", ["random", "rigid-press"])
def test_one_molecule(folder, capfd, engine):
    assert main(["sample", "CCO", "--engine", engine, "--n-copies", "4", "--n-samples", "3", "--seed", "5", "--out", "out"]) == 0
    assert "of 3 samples are valid" in capfd.readouterr().out
    rows = pq.read_table(folder / "out" / "proposals.parquet").to_pylist()
    wanted = random_packings(Template(Molecule.from_smiles("CCO"), 4), 3, seed=5)
    wanted = rigid_press(wanted) if engine == "rigid-press" else wanted
    for row, packing in zip(rows, wanted, strict=True):
        assert (row["problem"], row["seed"], row["clash_percent"]) == ("", 5, 0.0)
        np.testing.assert_allclose(row["positions"], packing.crystal.positions.ravel(), atol=1e-4)
    about = json.loads((folder / "out" / "run.json").read_text())
    assert about["engine"] == engine
    assert about["packing"]["scale"] == 0.85
    assert ("press" in about) == (engine == "rigid-press")
    assert len(list((folder / "out" / "cifs").glob("*.cif"))) == 3


def test_campaign_continues_with_the_same_engine_only(folder, capfd, rows_in):
    command = ["sample", "--input", "m.csv", "--out", "store"]
    assert main([*command, "--engine", "random"]) == 0
    assert "8 proposals, 2 failed" in capfd.readouterr().out
    rows = rows_in(folder / "store")
    assert sum(row["problem"].startswith("no packing: SMILES 'C1C[C@H]2CC[C@H]1C2' cannot be embedded") for row in rows) == 2
    assert main([*command, "--engine", "random"]) == 0
    assert "all of them were there" in capfd.readouterr().out
    for other in ("rigid-press", "packflow"):
        assert main([*command, "--engine", other]) == 2
        assert f"store was begun with engine random, got {other}" in capfd.readouterr().err


def test_a_campaign_of_a_model_is_not_continued_by_a_baseline(folder, weights, capfd):
    (folder / "m.csv").write_text("smiles,name,n_copies,n_samples\nNC(N)=O,urea,2,2\n")
    command = ["sample", "--input", "m.csv", "--out", "store"]
    assert main([*command, "--model", weights, "--n-steps", "2"]) == 0
    assert main([*command, "--engine", "random"]) == 2
    assert "store was begun with engine packflow, got random" in capfd.readouterr().err


def test_store_is_cut_anywhere(tmp_path, rows_in):
    jobs = [Job.of("urea", "NC(N)=O", 2, 5), Job.of("ethanol", "CCO", 4, 3)]
    baseline = Baseline("random")
    for name, max_atoms in (("small", 12), ("large", 4096)):
        assert not any(result.problem for result in run(baseline, jobs, tmp_path / name, max_atoms=max_atoms))
    for one, other in zip(rows_in(tmp_path / "small"), rows_in(tmp_path / "large"), strict=True):
        assert one == other


def test_flagged_ones_are_replaced():
    from packflow.flow.acceptance import Checks
    from packflow.flow.validity import Limits

    template = Template(Molecule.from_smiles("CCO"), 4)
    loose = sample(Baseline("random"), template, 6)
    dense = sample(Baseline("random"), template, 6, checks=Checks(Limits(min_density=0.95), budget=4))
    replaced = [k for k, proposal in enumerate(dense) if proposal.attempt]
    assert replaced
    for k, (one, other) in enumerate(zip(loose, dense, strict=True)):
        assert np.allclose(one.crystal.lattice, other.crystal.lattice) == (k not in replaced)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["CCO", "--engine", "random", "--n-steps", "3"], "--n-steps is for --engine packflow, got --engine random"),
        (["CCO", "--engine", "rigid-press", "--model", "x"], "--model is for --engine packflow, got --engine rigid-press"),
        (["CCO", "--engine", "random", "--seed", "-1"], "seed must be 0 or more, got -1"),
        (["C1C[C@H]2CC[C@H]1C2", "--engine", "random"], "cannot be embedded"),
    ],
)
def test_bad_arguments(folder, capfd, words, message):
    assert main(["sample", *words, "--out", "o"]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (folder / "o").exists()

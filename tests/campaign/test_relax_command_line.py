"""`packflow relax`, `rank` and `predict`, as a user types them."""

import sys

import pyarrow.parquet as pq
import pytest

from packflow.campaign.relax_stage import read_relaxed
from packflow.campaign.store import shard_paths
from packflow.campaign.work import Done
from packflow.cli import executors, main

PREDICT = ("predict", "CO", "--n-copies", "2;3", "--n-samples", "3", "--n-steps", "10", "--max-atoms", "12")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_relax_and_rank(sampled, folder, capfd):
    assert main(["relax", "sampled", "--fmax", "0.1"]) == 0
    printed = capfd.readouterr()
    assert "7 of 7 relaxed, 7 of them converged; 7 in this run" in printed.out
    assert "written: sampled/relaxed" in printed.out
    assert "relaxing" in printed.err
    assert main(["relax", "sampled", "--fmax", "0.1", "--relax-atoms", "30"]) == 0
    assert "all of them were there" in capfd.readouterr().out
    assert main(["relax", "sampled"]) == 2
    assert "sampled/relaxed was begun with fmax 0.1, got 0.01: give what it was begun with, or move that folder" in capfd.readouterr().err
    assert main(["rank", "sampled", "--out", "out", "--top", "2", "--no-gas"]) == 0
    printed = capfd.readouterr().out
    assert "CO: " in printed
    assert "NC(N)=O: " in printed
    assert "written: out/ranking.csv" in printed
    assert (folder / "out/cifs/molecule_0001/rank_0001.cif").exists()
    assert not (folder / "out/cifs/molecule_0001/rank_0003.cif").exists()
    assert set(pq.read_table("out/ranking.parquet")["rank"].to_pylist()) >= {1}
    assert main(["rank", "sampled", "--out", "out"]) == 2
    assert "out holds files already" in capfd.readouterr().err


def test_predict(folder, capfd):
    assert main([*PREDICT, "--out", "store"]) == 0
    printed = capfd.readouterr()
    assert "sampling" in printed.err
    assert "relaxing" in printed.err
    assert "acceptance" in printed.out
    assert "of 6 relaxed" in printed.out
    for word in ("rank", "lattice kJ/mol", "space group", "g/cm3", "molecule#"):
        assert word in printed.out
    assert "written: store/ranked/ranking.csv" in printed.out
    assert main([*PREDICT, "--out", "store", "--reference", "store/ranked/cifs/rank_0001.cif"]) == 0
    assert "RMSD_15" in capfd.readouterr().out
    assert main(["relax", "store"]) == 0
    assert "all of them were there" in capfd.readouterr().out
    assert main([*PREDICT, "--out", "store", "--max-steps", "7"]) == 2
    assert "relaxed was begun with max_steps 1000, got 7" in capfd.readouterr().err


def test_units_that_were_given_up(sampled, folder, capfd, monkeypatch):
    def broken(work, units):
        return (Done(unit, b"", "it always fails") for unit in units)

    monkeypatch.setattr(executors, "here", broken)
    assert main(["relax", "sampled"]) == 2
    assert "3 units (7 proposals) could not be relaxed, the same command tries them again" in capfd.readouterr().err
    assert list(read_relaxed(sampled)) == []


def test_unfinished(sampled, folder, capfd):
    list(shard_paths(sampled))[-1].unlink()
    assert main(["relax", "sampled", "--h-only"]) == 0
    assert "of 7 proposals are not sampled yet" in capfd.readouterr().out
    assert {row["n_steps"] for row in read_relaxed(sampled)} == {row["n_steps_hydrogens"] for row in read_relaxed(sampled)}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["relax", "nothing"], "nothing is no folder: give one that packflow sample wrote"),
        (["relax", "."], "holds neither manifest.json nor proposals.parquet"),
        (["relax", "sampled", "--potential", "magic"], "potential must be one of mmff, sevennet, uma"),
        (["relax", "sampled", "--potential", "uma"], "pip install 'packflow-csp[uma]'"),
        (["relax", "sampled", "--potential", "sevennet"], "pip install 'packflow-csp[sevennet]'"),
        (["relax", "sampled", "--fmax", "0"], "fmax must be above 0 eV/Å, got 0.0"),
        (["relax", "sampled", "--max-stress", "-1"], "max_stress must be 0 GPa or more"),
        (["relax", "sampled", "--max-steps", "0"], "max_steps must be at least 1, got 0"),
        (["relax", "sampled", "--relax-atoms", "0"], "relax_atoms must be at least 1, got 0"),
        (["relax", "sampled", "--address", "a:1"], "--address is for --executor ray"),
        (["relax", "sampled", "--executor", "processes", "--workers", "0"], "workers must be at least 1"),
        (["relax", "sampled", "--threads", "-1"], "threads must be 0 or more"),
        (["rank", "nothing"], "nothing is no folder"),
        (["rank", "sampled"], "holds no relaxed proposals: call packflow relax sampled first"),
        (["rank", "sampled", "--top", "0"], "top must be at least 1"),
        (["predict", "C((", "--out", "o"], "cannot be parsed"),
        (["predict", "C", "--out", "o", "--n-copies", "2;x"], "n_copies must be a whole number or several such as 2;4, got '2;x'"),
        (["predict", "C", "--out", "o", "--n-copies", "2;2"], "n_copies must be different numbers, got 2 twice"),
        (["predict", "C", "--out", "o", "--potential", "uma"], "pip install 'packflow-csp[uma]'"),
        (["predict", "C", "--out", "o", "--budget", "7"], "--budget is for --valid-only"),
        (["predict", "C", "--out", "o", "--name", "a/b"], "name must have"),
        (["predict", "C", "--out", "o", "--reference", "nowhere.cif"], "nowhere.cif is not a file"),
    ],
)
def test_one_line_for_bad_input(sampled, folder, capfd, monkeypatch, words, message):
    # whether or not the extras are installed here
    monkeypatch.setitem(sys.modules, "fairchem.core", None)
    monkeypatch.setitem(sys.modules, "sevenn", None)
    assert main(words) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.startswith(f"packflow {words[0]}: ")
    assert error.count("\n") == 1
    assert not (folder / "o").exists()
    assert not list((folder / "sampled").rglob("relaxed/shards"))

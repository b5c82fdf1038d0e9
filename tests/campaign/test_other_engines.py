"""`packflow sample` with PyXtal, and with a stand-in for Genarris, as a user types it."""

import json
import shlex
import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from packflow.baseline import GenarrisConfig, genarris_packings
from packflow.cli import main
from packflow.structure import Molecule, Template

COMMAND = [sys.executable, str(Path(__file__).parents[1] / "baseline" / "stand_in_genarris.py")]
WITH_GENARRIS = ["--genarris-command", shlex.join(COMMAND)]
# the second molecule has no conformer, and seven molecules fit no group as one
INPUT = "smiles,name,n_copies,n_samples\nNC(N)=O,urea,4;7,3\nC1C[C@H]2CC[C@H]1C2,inside-out,2,1\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # no Genarris that is installed
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "m.csv").write_text(INPUT)
    return tmp_path


@pytest.mark.parametrize("engine", ["genarris", "genarris-press"])
def test_one_molecule(folder, capfd, engine):
    assert main(["sample", "NC(N)=O", "--engine", engine, *WITH_GENARRIS, "--n-samples", "3", "--seed", "5", "--out", "out"]) == 0
    assert "3 proposals" in capfd.readouterr().out
    rows = pq.read_table(folder / "out" / "proposals.parquet").to_pylist()
    wanted = genarris_packings(
        Template(Molecule.from_smiles("NC(N)=O"), 4), 3, 5, GenarrisConfig(tuple(COMMAND)), engine == "genarris-press"
    )
    for row, proposal in zip(rows, wanted, strict=True):
        assert row["problem"] == ""
        np.testing.assert_allclose(row["positions"], proposal.crystal.positions.ravel(), atol=1e-4)
    about = json.loads((folder / "out" / "run.json").read_text())
    assert (about["engine"], about["genarris"]["command"]) == (engine, COMMAND)


def test_campaign_continues_with_the_same_engine_only(folder, capfd, rows_in):
    command = ["sample", "--input", "m.csv", "--out", "store"]
    assert main([*command, "--engine", "genarris", *WITH_GENARRIS, "--max-atoms", "8"]) == 0
    assert "7 proposals, 4 failed" in capfd.readouterr().out
    problems = [row["problem"] for row in rows_in(folder / "store")]
    assert problems[:3] == [""] * 3
    assert all(problem.startswith("no packing: n_copies must be compatible") for problem in problems[3:6])
    assert "cannot be embedded" in problems[6]
    assert main([*command, "--engine", "genarris", *WITH_GENARRIS]) == 0
    assert "all of them were there" in capfd.readouterr().out
    assert main([*command, "--engine", "random"]) == 2
    assert "store was begun with engine genarris, got random" in capfd.readouterr().err
    other = shlex.join([*COMMAND[:1], "-u", *COMMAND[1:]])
    assert main([*command, "--engine", "genarris", "--genarris-command", other]) == 2
    assert "store was begun with command" in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_campaign_of_pyxtal(folder, capfd, rows_in):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("pyxtal", reason="PyXtal is not installed")
    (folder / "m.csv").write_text("smiles,name,n_copies,n_samples\nNC(N)=O,urea,2,3\n")
    for out, atoms in (("one", "8"), ("all", "4096")):
        command = ["sample", "--input", "m.csv", "--engine", "pyxtal", "--pyxtal-factor", "0.8", "--out"]
        assert main([*command, out, "--max-atoms", atoms]) == 0
    assert rows_in(folder / "one") == rows_in(folder / "all")
    capfd.readouterr()
    assert main([*command[:-3], "--out", "all"]) == 2
    assert "all was begun with volume_factor 0.8, got 1.1" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine", "genarris"], "Genarris 3 is not installed: install it from https://github.com/Yi5817/Genarris"),
        (["--engine", "genarris", "--genarris-command", "a 'b"], "--genarris-command must be the words that start Genarris"),
        (["--engine", "genarris", "--genarris-command", ""], "command must be the words that start Genarris, got []"),
        (["--engine", "random", "--genarris-command", "x"], "--genarris-command is for --engine genarris or genarris-press"),
        (["--engine", "random", "--pyxtal-factor", "2"], "--pyxtal-factor is for --engine pyxtal, got --engine random"),
        (["--engine", "pyxtal", "--pyxtal-factor", "0"], "volume_factor must be a positive number, got 0.0"),
        (["--engine", "pyxtal"], "PyXtal is not installed: pip install pyxtal"),
        (["--engine", "genarris", *WITH_GENARRIS, "--n-copies", "7"], "by one independent molecule, got 7"),
    ],
)
def test_bad_arguments(folder, monkeypatch, capfd, words, message):
    monkeypatch.setitem(sys.modules, "pyxtal", None)
    assert main(["sample", "NC(N)=O", *words, "--out", "o"]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (folder / "o").exists()

"""The packflow command as a user types it: results, and one line for each thing that cannot be done."""

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from packflow.cli import main
from packflow.data.dataset import CrystalDataset
from packflow.model import ModelConfig, PackFlow
from packflow.model.weights import save_model
from packflow.structure import FlowSpace


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_model(path, PackFlow(ModelConfig(32, 4, 64, 1, FlowSpace("packed"), center_noise=True)))
    return str(path)


def sample(weights, out, *words):
    return main(["sample", *words, "--out", str(out), "--model", weights, "--n-steps", "3"])


def test_sample(weights, tmp_path, capfd):
    assert sample(weights, tmp_path / "a", "CC(=O)Oc1ccccc1C(=O)O", "--n-copies", "2", "--n-samples", "3", "--seed", "1") == 0
    printed = capfd.readouterr().out
    assert "3 proposals" in printed
    assert "density" in printed
    assert "clash" in printed
    table = pq.read_table(tmp_path / "a" / "proposals.parquet")
    assert table.num_rows == 3
    assert set(table["n_copies"].to_pylist()) == {2}
    assert sample(weights, tmp_path / "b", "CC(=O)Oc1ccccc1C(=O)O", "--n-copies", "2", "--n-samples", "2", "--seed", "1") == 0
    again = pq.read_table(tmp_path / "b" / "proposals.parquet")
    assert again["a"].to_pylist() == pytest.approx(table["a"].to_pylist()[:2], abs=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["C(("], "cannot be parsed"),
        (["[Na+].[Cl-]"], "only crystals of one kind of molecule"),
        (["[Fe]"], "unsupported element Fe"),
        (["C", "--n-copies", "0"], "n_copies must be at least 1"),
        (["C", "--n-samples", "-3"], "n_samples must be at least 1"),
        (["C", "--n-steps", "0"], "n_steps must be at least 1"),
        (["C", "--seed", "-1"], "seed must be 0 or more"),
        (["C", "--threads", "-1"], "threads must be 0 or more"),
        (["c1ccccc1", "--n-copies", "100000000"], "lower n_copies"),
        (["C", "--device", "tpu9"], "device must be cpu or cuda"),
        (["C", "--model", "/nowhere/at-all"], "is neither installed"),
    ],
)
def test_one_line_for_bad_input(weights, tmp_path, capfd, words, message):
    assert main(["sample", "--out", str(tmp_path / "out"), "--model", weights, *words]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.startswith("packflow sample: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_no_gpu(weights, tmp_path, capfd):
    assert main(["sample", "C", "--out", str(tmp_path / "out"), "--model", weights, "--device", "cuda"]) == 2
    assert "not available on this machine" in capfd.readouterr().err


def test_results_are_kept(weights, tmp_path, capfd):
    (tmp_path / "mine.txt").write_text("kept")
    assert sample(weights, tmp_path, "C") == 2
    assert "holds files already" in capfd.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "kept"


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff" * 100])
def test_damaged_weights(tmp_path, capfd, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    assert sample(str(tmp_path / "w.safetensors"), tmp_path / "out", "C") == 2
    error = capfd.readouterr().err
    assert "w.safetensors" in error
    assert error.count("\n") == 1


def test_truncated_weights(weights, tmp_path, capfd):
    (tmp_path / "w.safetensors").write_bytes(Path(weights).read_bytes()[:-100])
    assert sample(str(tmp_path / "w.safetensors"), tmp_path / "out", "C") == 2
    assert capfd.readouterr().err.count("\n") == 1


def test_prepare(cif_folder, tmp_path, capfd):
    words = ["prepare", str(cif_folder), str(tmp_path / "data"), "--table", str(cif_folder / "table.csv"), "--jobs", "1"]
    assert main(words) == 0
    printed = capfd.readouterr().out
    assert "rejected: not a .cif file" in printed
    assert len(CrystalDataset.open(tmp_path / "data")) == 16
    assert main(words) == 2
    assert "exists already" in capfd.readouterr().err


def test_installed_command():
    for words in (["--help"], ["--version"], ["sample", "--help"], ["prepare", "--help"]):
        run = subprocess.run([sys.executable, "-m", "packflow.cli", *words], capture_output=True, text=True, check=True)
        assert run.stdout

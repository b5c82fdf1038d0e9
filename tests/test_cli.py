"""The packflow command as a user types it: results, and one line for each thing that cannot be done."""

import csv
import json
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


LENIENT = ("--max-clash", "100", "--min-bonds-valid", "0", "--min-density", "0", "--max-density", "100")


def test_sample_clean(weights, tmp_path, capfd):
    assert sample(weights, tmp_path / "c", "NC(N)=O", "--n-copies", "2", "--n-samples", "6", "--seed", "4", *LENIENT, "--clean") == 0
    rows = pq.read_table(tmp_path / "c" / "proposals.parquet").to_pylist()
    moved = [row["clean_displacement"] for row in rows if row["clean_displacement"] is not None]
    assert moved
    printed = " ".join(capfd.readouterr().out.split())
    assert f"cleaned {len(moved)} of 6 proposals, which moved their atoms by {sum(moved) / len(moved):.2f} Å (rms) in the mean" in printed


def test_sample_valid_only(weights, tmp_path, capfd):
    words = ("NC(N)=O", "--n-copies", "2", "--n-samples", "8", "--seed", "4", *LENIENT)
    assert sample(weights, tmp_path / "all", *words) == 0
    rows = pq.read_table(tmp_path / "all" / "proposals.parquet").to_pylist()
    n_valid = sum(not row["flag"] for row in rows)
    assert 0 < n_valid < 8
    printed = capfd.readouterr().out
    assert f"acceptance {100 * n_valid / 8:.1f} %: {n_valid} of 8 samples are valid" in printed
    assert "flagged for cell" in printed
    assert "budget" not in printed
    assert sample(weights, tmp_path / "valid", *words, "--valid-only", "--budget", "20") == 0
    rows = pq.read_table(tmp_path / "valid" / "proposals.parquet").to_pylist()
    n_sampled = sum(1 + len(row["rejected"]) for row in rows)
    assert n_sampled > 8
    assert [(row["index"], row["flag"], row["attempt"]) for row in rows] == [(k, "", len(row["rejected"])) for k, row in enumerate(rows)]
    printed = capfd.readouterr().out
    assert f"acceptance {100 * 8 / n_sampled:.1f} %: 8 of {n_sampled} samples are valid" in printed
    assert "no proposal stayed flagged within the budget of 20 samples each" in printed
    run = json.loads((tmp_path / "valid" / "run.json").read_text())
    assert run["checks"] == {
        "limits": {"max_clash": 100, "min_bonds_valid": 0, "min_density": 0, "max_density": 100},
        "budget": 20,
        "clean": False,
    }


def test_sample_valid_only_ends(weights, tmp_path, capfd):
    """Weights that never make a crystal: the budget is spent, the proposals are there with their flags."""
    assert sample(weights, tmp_path / "a", "NC(N)=O", "--n-samples", "3", "--valid-only", "--budget", "2", "--max-density", "0.71") == 0
    assert "acceptance 0.0 %: 0 of 6 samples are valid" in (printed := capfd.readouterr().out)
    assert "3 of 3 proposals stayed flagged within the budget of 2 samples each" in printed
    assert all(pq.read_table(tmp_path / "a" / "proposals.parquet")["flag"].to_pylist())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["C(("], "cannot be parsed"),
        (["[Na+].[Cl-]"], "only crystals of one kind of molecule"),
        (["[Fe]"], "unsupported element Fe"),
        (["C", "--n-copies", "0"], "n_copies must be at least 1"),
        (["C", "--n-samples", "-3"], "n_samples must be at least 1"),
        (["C", "--n-steps", "0"], "n_steps must be at least 1"),
        (["C", "--solver", "rk4"], "solver must be one of 'euler', 'heun', 'ab2', 'multistep', got 'rk4'"),
        (["C", "--grid-lattice", "power:two"], "grid-lattice must be a name such as linear, or power:2.5, got 'power:two'"),
        (["C", "--seed", "-1"], "seed must be 0 or more"),
        (["C", "--threads", "-1"], "threads must be 0 or more"),
        (["c1ccccc1", "--n-copies", "100000000"], "lower n_copies"),
        (["C", "--valid-only", "--budget", "0"], "budget must be at least 1 sample of a proposal, got 0"),
        (["C", "--budget", "7"], "--budget is for --valid-only, got --budget 7 without it"),
        (["C", "--max-clash", "101"], "max_clash must be a percentage from 0 to 100, got 101.0"),
        (["C", "--min-bonds-valid", "-1"], "min_bonds_valid must be a percentage from 0 to 100"),
        (["C", "--min-density", "3"], "min_density must be below max_density, got 3.0 and 3.0 g/cm3"),
        (["C", "--max-density", "-1"], "max_density must be a finite number of g/cm3, 0 or more, got -1.0"),
        (["C", "--device", "tpu9"], "device must be cpu or cuda"),
        (["C", "--model", "/nowhere/at-all"], "is neither installed or released"),
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
    assert "rejected: not a structure file" in printed
    assert len(CrystalDataset.open(tmp_path / "data")) == 16
    assert main(words) == 2
    assert "exists already" in capfd.readouterr().err


def test_prepare_filters(cif_folder, tmp_path, capfd):
    words = ["prepare", str(cif_folder), str(tmp_path / "data"), "--table", str(cif_folder / "table.csv"), "--jobs", "1"]
    assert main([*words, "--space-groups", "paper", "--z-primes", "paper", "--elements", "C,H,N,O"]) == 0
    printed = capfd.readouterr().out
    for reason in ("other space group", "other Z'", "other element"):
        assert f"rejected: {reason}" in printed
    for wrong, message in (
        (["--space-groups", "P21"], "must be any, paper or numbers"),
        (["--space-groups", "231"], "numbers from 1 to 230"),
        (["--z-primes", "0"], "at least 1"),
        (["--elements", "C,Xx"], "got Xx"),
        (["--max-atoms", "-1"], "0 for no limit"),
        (["--fractions", "0.5,0.5"], "three numbers such as"),
        (["--fractions", "0.5,0.4,0.2"], "sum 1"),
        (["--train-list", "/nowhere"], "cannot be read"),
        (["--duplicate-tolerance", "-1"], "at least 0 Å"),
    ):
        assert main([*words[:2], str(tmp_path / "other"), *wrong]) == 2
        error = capfd.readouterr().err
        assert message in error
        assert error.count("\n") == 1


@pytest.fixture
def predictions(weights, tmp_path):
    assert sample(weights, tmp_path / "sampled", "NC(N)=O", "--n-copies", "2", "--n-samples", "3", "--seed", "1") == 0
    return tmp_path / "sampled"


def test_metrics(predictions, tmp_path, capfd):
    capfd.readouterr()
    assert main(["metrics", str(predictions), "--out", str(tmp_path / "m.parquet")]) == 0
    printed = capfd.readouterr().out
    assert "3 structures" in printed
    assert "proposals#2" in printed
    assert "density" in printed
    table = pq.read_table(tmp_path / "m.parquet")
    assert table["name"].to_pylist() == [f"proposals#{k}" for k in range(3)]
    assert table["seed"].to_pylist() == [1] * 3
    # the CIF files that were written beside the table are the same structures, to the digits of the files
    assert main(["metrics", str(predictions / "cifs"), "--out", str(tmp_path / "m.csv"), "--jobs", "1"]) == 0
    rows = list(csv.DictReader((tmp_path / "m.csv").read_text().splitlines()))
    good = [row for row in table.to_pylist() if not row["problem"]]
    assert [float(row["volume"]) for row in rows] == pytest.approx([row["volume"] for row in good], rel=1e-4)


def test_metrics_with_reference(predictions, cif_folder, tmp_path, capfd):
    words = ["metrics", str(predictions), "--reference", str(cif_folder / "2019369.cif")]
    assert main([*words, "--pdd", "--by", "molecule", "--out", str(tmp_path / "m.csv")]) == 0
    assert "mean over molecules" in capfd.readouterr().out
    rows = list(csv.DictReader((tmp_path / "m.csv").read_text().splitlines()))
    assert {row["reference"] for row in rows} == {"2019369"}
    assert {"amd_distance", "pdd_distance"} <= set(rows[0])
    words = ["metrics", str(predictions), "--reference", str(cif_folder), "--match", "molecule", "--by", "none"]
    assert main([*words, "--table", str(cif_folder / "table.csv"), "--out", str(tmp_path / "again.csv")]) == 0
    again = list(csv.DictReader((tmp_path / "again.csv").read_text().splitlines()))
    for one, other in zip(again, rows, strict=True):
        # empty where it failed; the molecule of the table changes the order of the reference's atoms, and so the rounding
        assert float(one["amd_distance"] or 0) == pytest.approx(float(other["amd_distance"] or 0))


def test_metrics_shows_why_structures_failed(tmp_path, cif_folder, capfd):
    (tmp_path / "good.cif").write_bytes((cif_folder / "2019369.cif").read_bytes())
    (tmp_path / "bad[0].cif").write_text("junk")
    assert main(["metrics", str(tmp_path)]) == 0
    printed = capfd.readouterr().out
    assert "2 structures, 1 failed" in printed
    assert "failed: not readable as CIF" in printed
    assert "bad[0]" in printed
    for k in range(20):
        (tmp_path / f"more{k}.cif").write_text("junk")
    assert main(["metrics", str(tmp_path)]) == 0
    assert "more7" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere does not exist"),
        ([".", "--reference", "nowhere"], "nowhere does not exist"),
        ([".", "--out", "m.txt"], "out must end in .csv or .parquet, got m.txt"),
        ([".", "--out", "nowhere/m.csv"], "nowhere is no folder"),
        ([".", "--out", "there.csv"], "there.csv exists already"),
        ([".", "--table", "nowhere.csv"], "nowhere.csv does not exist"),
        ([".", "--reference", ".", "--match", "molecule"], "1 of 1 predictions have no reference by molecule: a"),
        (["there.csv"], "must be a folder, a zip archive or"),
    ],
)
def test_metrics_one_line_for_bad_input(cif_folder, tmp_path, monkeypatch, capfd, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.cif").write_bytes((cif_folder / "2019369.cif").read_bytes())
    (tmp_path / "there.csv").write_text("mine")
    assert main(["metrics", *words]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.startswith("packflow metrics: ")
    assert error.count("\n") == 1
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_installed_command():
    for words in (["--help"], ["--version"], ["sample", "--help"], ["metrics", "--help"], ["prepare", "--help"]):
        run = subprocess.run([sys.executable, "-m", "packflow.cli", *words], capture_output=True, text=True, check=True)
        assert run.stdout


def test_a_command_waits_for_no_import_of_another():
    """Lightning and what it brings take longer to import than most reports to write."""
    code = (
        "import sys; from packflow.cli import make_parser; make_parser('report'); import packflow.pipeline.report; "
        "print([name for name in ('lightning_fabric', 'torch._dynamo', 'pandas', 'packflow.train') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

"""`packflow convert`: the same outputs to the last bit, with licence and origin, and nothing overwritten."""

import logging
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open

import packflow
from packflow.cli import main
from packflow.model import ModelConfig, PackFlow
from packflow.model.official import official_name
from packflow.model.weights import save_model
from packflow.structure import Molecule, Template, TemplateBatch

ASPIRIN = Template(Molecule.from_smiles("CC(=O)Oc1ccccc1C(=O)O"), 2)


@pytest.fixture
def official(tmp_path):
    """A checkpoint of the released format with random weights."""
    torch.manual_seed(0)
    model = PackFlow(ModelConfig(32, 4, 64, 2))
    state = {official_name(name): value for name, value in model.state_dict().items()}
    state |= {"attn_bias_scale": torch.tensor(1.0), "attn_bias_builder.head_bias_base": torch.randn(4)}
    torch.save({"epoch": 3, "model_state_dict": state, "optimizer_state_dict": None}, tmp_path / "best_model.pt")
    return tmp_path / "best_model.pt"


def header(path):
    with safe_open(path, framework="pt") as opened:
        return opened.metadata()


@torch.no_grad()
def velocities(model):
    batch, generator = TemplateBatch.pack([ASPIRIN, ASPIRIN]), torch.Generator().manual_seed(1)
    positions, lattice = torch.randn(batch.n_atoms, 3, generator=generator), torch.randn(2, 6, generator=generator)
    return model(positions, lattice, torch.tensor([0.2, 0.7]), torch.tensor([0.9, 0.1]), batch)


@pytest.mark.parametrize("words", [[], ["--place-embedding"]], ids=["released", "with places"])
def test_same_outputs_to_the_last_bit(official, tmp_path, capfd, words):
    out = tmp_path / "converted.safetensors"
    assert main(["convert", str(official), str(out), *words]) == 0
    printed = capfd.readouterr().out
    assert "width 32, 4 heads, 2 layers, feed-forward 64" in printed
    assert "CC BY-NC 4.0" in printed
    before, after = packflow.load(official, place_embedding=bool(words)), packflow.load(out)
    assert before.config == after.config
    assert after.config.compat
    for ours, theirs in zip(velocities(after), velocities(before), strict=True):
        assert torch.equal(ours, theirs)
    assert list(tmp_path.glob("*.partial")) == []


def test_licence_and_origin_stay_with_the_weights(official, tmp_path, caplog):
    """In the header, on every load, and through a second conversion."""
    once, twice = tmp_path / "once.safetensors", tmp_path / "twice.safetensors"
    assert main(["convert", str(official), str(once)]) == 0
    assert main(["convert", str(once), str(twice)]) == 0
    assert header(once) == header(twice)
    assert "CC BY-NC 4.0" in header(twice)["licence"]
    assert "aksub99/packflow-checkpoints" in header(twice)["source"]
    with caplog.at_level(logging.WARNING, "packflow"):
        packflow.load(twice)
    assert "CC BY-NC 4.0" in caplog.text


def test_own_checkpoints_have_no_foreign_licence(tmp_path, caplog):
    model = PackFlow(ModelConfig(32, 4, 64, 1))
    (tmp_path / "step_00000010").mkdir()
    save_model(tmp_path / "step_00000010" / "model.safetensors", model)
    with caplog.at_level(logging.WARNING, "packflow"):
        assert main(["convert", str(tmp_path), str(tmp_path / "mine.safetensors")]) == 0
        loaded = packflow.load(tmp_path / "mine.safetensors")
    assert caplog.text == ""
    assert "licence" not in header(tmp_path / "mine.safetensors")
    for ours, theirs in zip(velocities(loaded), velocities(model), strict=True):
        assert torch.equal(ours, theirs)


def test_sample_from_both(official, tmp_path):
    out = tmp_path / "converted.safetensors"
    assert main(["convert", str(official), str(out)]) == 0
    tables = []
    for name, model in (("a", official), ("b", out)):
        words = ["CC(=O)Oc1ccccc1C(=O)O", "--n-samples", "2", "--n-steps", "3", "--model", str(model), "--out", str(tmp_path / name)]
        assert main(["sample", *words]) == 0
        tables.append(pq.read_table(tmp_path / name / "proposals.parquet"))
    assert tables[0].equals(tables[1])


def fails(capfd, message, *words):
    assert main(["convert", *map(str, words)]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.startswith("packflow convert: ")
    assert error.count("\n") == 1


def test_nothing_is_overwritten(official, tmp_path, capfd):
    (tmp_path / "there.safetensors").write_text("mine")
    fails(capfd, "out must not exist", official, tmp_path / "there.safetensors")
    assert (tmp_path / "there.safetensors").read_text() == "mine"


def test_places_where_nothing_can_be_written(official, tmp_path, capfd, monkeypatch):
    fails(capfd, "out must end in .safetensors", official, tmp_path / "out.pt")
    fails(capfd, "out must be in a folder that exists", official, tmp_path / "nowhere" / "out.safetensors")

    def full(path, *rest, **named):
        path.write_bytes(b"part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("packflow.cli.convert.save_model", full)
    fails(capfd, "No space left on device", official, tmp_path / "out.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best_model.pt"]


def test_sources_that_cannot_be_used(official, tmp_path, capfd):
    out = tmp_path / "out.safetensors"
    fails(capfd, "neither installed or released", tmp_path / "nothing.pt", out)
    fails(capfd, "place_embedding is for checkpoints of the authors' code", "open-2m", out, "--place-embedding")
    official.write_bytes(official.read_bytes()[:1000])
    fails(capfd, "damaged", official, out)
    assert not out.exists()


def test_the_licence_is_on_standard_error(official):
    run = subprocess.run(
        [sys.executable, "-c", f"import packflow; packflow.load({str(official)!r})"], capture_output=True, text=True, check=True
    )
    assert "CC BY-NC 4.0" in run.stderr
    assert run.stderr.count("\n") == 1
    assert run.stdout == ""

"""Weights on disk: what was saved comes back, what was damaged does not."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from packflow.errors import InputError
from packflow.model import ModelConfig, PackFlow
from packflow.model.weights import load_model, save_model
from packflow.structure import FlowSpace

SPACE = FlowSpace("packed", lattice_mean=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), lattice_std=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0))
CONFIG = ModelConfig(16, 2, 32, 1, SPACE, time_scale=30.0, atom_encoding="one_hot", center_noise=True)


@pytest.fixture
def model():
    return PackFlow(CONFIG)


@pytest.fixture
def file(model, tmp_path):
    save_model(tmp_path / "model.safetensors", model)
    return tmp_path / "model.safetensors"


def rewrite(file, tensors=None, **metadata):
    """The same file with other tensors or metadata."""
    with safe_open(file, framework="pt") as opened:
        old = opened.metadata()
    save_file(load_file(file) if tensors is None else tensors, file, {**old, **metadata})


def changed_config(**changes):
    return json.dumps({**asdict(CONFIG), **changes})


def test_round_trip(model, file):
    loaded = load_model(file)
    assert loaded.config == CONFIG
    assert not loaded.training
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_a_file_from_before_bonds_could_enter_otherwise_means_the_bias(model, file):
    rewrite(file, config=json.dumps({k: v for k, v in asdict(CONFIG).items() if k not in ("bonds", "n_bond_layers")}))
    assert load_model(file).config == CONFIG


def test_half_precision_is_loaded_as_float32(model, tmp_path):
    save_model(tmp_path / "half.safetensors", model, dtype=torch.bfloat16)
    save_model(tmp_path / "full.safetensors", model)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.7 * (tmp_path / "full.safetensors").stat().st_size
    loaded = load_model(tmp_path / "half.safetensors").state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(loaded[name], value.bfloat16().float()), name


def test_a_folder_gives_its_averaged_weights(model, file):
    average = {name: value + 1 for name, value in model.state_dict().items()}
    save_model(file.with_name("ema.safetensors"), model, average)
    assert torch.equal(load_model(file.parent).state_dict()["encoder.norm.bias"], average["encoder.norm.bias"])


def test_loading_leaves_the_random_state_alone(file):
    before = torch.get_rng_state()
    load_model(file)
    assert torch.equal(torch.get_rng_state(), before)


def test_missing_files(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.safetensors does not exist"):
        load_model(tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match="holds no weights"):
        load_model(tmp_path)


@pytest.mark.parametrize("n_bytes", [0, 5, 1000, -1])
def test_truncated_file(file, n_bytes):
    file.write_bytes(file.read_bytes()[:n_bytes])
    with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
        load_model(file)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.pop("encoder.norm.bias"), "misses encoder.norm.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "unexpected extra"),
        (lambda t: t.update({"encoder.norm.bias": torch.zeros(3)}), r"encoder.norm.bias of shape \(3,\) instead of \(16,\)"),
    ],
    ids=["missing", "unexpected", "shape"],
)
def test_wrong_tensors(file, edit, message):
    tensors = load_file(file)
    edit(tensors)
    rewrite(file, tensors)
    with pytest.raises(InputError, match=message):
        load_model(file)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"config": changed_config(n_rotors=3)}, "unknown field n_rotors in its ModelConfig"),
        ({"config": changed_config(bonds="edges")}, "bonds must be 'bias', 'gnn' or 'none', got 'edges'"),
        ({"config": json.dumps({k: v for k, v in asdict(CONFIG).items() if k != "n_heads"})}, "no field n_heads"),
        ({"config": changed_config(space={"kind": "packed"})}, "no field lattice_mean in its FlowSpace"),
        ({"config": json.dumps(asdict(replace(CONFIG, d_model=32)))}, "instead of"),
        ({"config": "{"}, "damaged"),
        ({"format_version": "2"}, "format version 2, this packflow reads 1: update packflow"),
    ],
    ids=["unknown field", "unknown value", "missing field", "nested field", "other model", "no json", "newer version"],
)
def test_wrong_metadata(file, metadata, message):
    rewrite(file, **metadata)
    with pytest.raises(InputError, match=message) as error:
        load_model(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_of_another_program(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="holds no PackFlow configuration"):
        load_model(tmp_path / "other.safetensors")


def test_files_from_before_a_field_mean_its_default(model, file):
    old = {name: value for name, value in asdict(CONFIG).items() if name not in ("compat", "place_embedding")}
    rewrite(file, config=json.dumps(old))
    assert load_model(file).config == CONFIG

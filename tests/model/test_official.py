"""Checkpoints of the authors' code: same numbers as its description, and one line for each file that cannot be used."""

import logging
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

import packflow
from packflow.errors import InputError
from packflow.flow.sampler import SampleConfig
from packflow.model import ModelConfig
from packflow.structure import FlowSpace, Molecule, Template, TemplateBatch

SIZES = (32, 4, 48, 2)
MOLECULES = [("CC(=O)Oc1ccccc1C(=O)O", 2), ("N#Cc1sc(Cl)cc1/C=C/C(F)(F)F", 1), ("CO", 3), ("O", 2)]


@pytest.fixture(scope="module")
def state(official_shapes, official_state):
    return official_state(official_shapes(*SIZES), 3)


@pytest.fixture(scope="module")
def batch():
    return TemplateBatch.pack([Template(Molecule.from_smiles(smiles), n_copies) for smiles, n_copies in MOLECULES])


def misaligned(batch):
    """The features as the released code lists them: each crystal's bonds, twice in a row."""
    counts = torch.bincount(batch.crystal_index[batch.bond_index[0]], minlength=batch.n_crystals).tolist()
    return torch.cat([of_crystal[::2].repeat(2, 1) for of_crystal in batch.bond_features.split(counts)])


def inputs_of(batch, generator):
    n = batch.n_crystals
    times = torch.rand(n, generator=generator), torch.rand(n, generator=generator)
    return (5 * torch.randn(batch.n_atoms, 3, generator=generator), torch.randn(n, 6, generator=generator), *times, batch)


@pytest.mark.parametrize("place_embedding", [False, True], ids=["without places", "with places"])
@torch.no_grad()
def test_velocities_are_those_of_the_description(state, batch, generator, official_file, official_forward, tmp_path, place_embedding):
    """Tolerance of float32 against float64 for numbers of order one, as for the recorded ones."""
    model = packflow.load(official_file(tmp_path / "best_model.pt", state), place_embedding=place_embedding)
    arguments = inputs_of(batch, generator)
    expected = official_forward(state, *arguments, misaligned(batch), place_embedding)
    for velocity, theirs in zip(model(*arguments), expected, strict=True):
        torch.testing.assert_close(velocity.double(), theirs, atol=2e-6, rtol=2e-6)
    aligned = official_forward(state, *arguments, batch.bond_features, place_embedding)
    assert (aligned[0] - expected[0]).abs().max() > 1e-3


@torch.no_grad()
def test_a_learned_scale_of_the_bond_bias_counts(state, batch, generator, official_file, official_forward, tmp_path):
    scaled = {**state, "attn_bias_scale": torch.tensor(1.7)}
    model = packflow.load(official_file(tmp_path / "best_model.pt", scaled))
    arguments = inputs_of(batch, generator)
    expected = official_forward(scaled, *arguments, misaligned(batch))
    for velocity, theirs in zip(model(*arguments), expected, strict=True):
        torch.testing.assert_close(velocity.double(), theirs, atol=2e-6, rtol=2e-6)
    assert (official_forward(state, *arguments, misaligned(batch))[0] - expected[0]).abs().max() > 1e-3


def test_what_is_inferred(state, official_file, tmp_path):
    model = packflow.load(official_file(tmp_path / "best_model.pt", state))
    assert model.config == ModelConfig(*SIZES, FlowSpace("paper"), compat=True)
    assert not model.training


@pytest.mark.parametrize(("smiles", "n_copies"), MOLECULES)
def test_all_of_the_molecules_are_sampled(state, official_file, tmp_path, smiles, n_copies):
    model = packflow.load(official_file(tmp_path / "best_model.pt", state))
    proposals = packflow.sample(model, Template(Molecule.from_smiles(smiles), n_copies), 2, config=SampleConfig(3))
    assert len(proposals) == 2


def test_names_of_distributed_training(state, official_file, tmp_path):
    prefixed = official_file(tmp_path / "ddp.pt", {f"module.{name}": value for name, value in state.items()})
    ours, theirs = (packflow.load(file).state_dict() for file in (official_file(tmp_path / "best_model.pt", state), prefixed))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_loading_leaves_the_random_state_alone(state, official_file, tmp_path):
    before = torch.get_rng_state()
    packflow.load(official_file(tmp_path / "best_model.pt", state))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_licence_is_shown(state, official_file, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "packflow"):
        packflow.load(official_file(tmp_path / "best_model.pt", state))
    assert "CC BY-NC 4.0" in caplog.text
    caplog.clear()
    packflow.load("open-2m")
    assert caplog.text == ""


class Code:
    def __reduce__(self):
        return os.mkdir, ("was-run",)


def refused(path, message):
    with pytest.raises(InputError, match=message) as error:
        packflow.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_pickled_code_is_refused_and_not_run(state, official_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(official_file(tmp_path / "best_model.pt", state, grpo_config=Code()), r"contains pickled code \(posix.mkdir\) and is refused")
    refused(official_file(tmp_path / "module.pt", torch.nn.Linear(2, 2)), r"contains pickled code \(torch.nn")
    torch.save({"model_state_dict": state, "x": Code()}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    refused(tmp_path / "old.pt", "a bare pickle is never run")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps({"model_state_dict": Code()}))
    refused(tmp_path / "bare.pt", "a bare pickle is never run")
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("n_bytes", [0, 5, 1000, -1])
def test_truncated_file(state, official_file, tmp_path, n_bytes):
    file = official_file(tmp_path / "best_model.pt", state)
    file.write_bytes(file.read_bytes()[:n_bytes])
    refused(file, "damaged")


def test_one_flipped_bit(state, official_file, tmp_path):
    file = official_file(tmp_path / "best_model.pt", state)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    refused(file, "damaged")


@pytest.mark.filterwarnings("ignore")
def test_bytes_that_make_no_sense(state, official_file, tmp_path):
    """Whatever a pickle holds, with right checksums: it loads or is one line."""
    file, random, n_refused = official_file(tmp_path / "best_model.pt", state), np.random.default_rng(0), 0
    with zipfile.ZipFile(file) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    name = next(name for name in parts if name.endswith("data.pkl"))
    for _ in range(150):
        content = np.frombuffer(parts[name], np.uint8).copy()
        content[random.integers(len(content), size=2)] = random.integers(256, size=2)
        with zipfile.ZipFile(file, "w") as archive:
            for part, value in {**parts, name: content.tobytes()}.items():
                archive.writestr(part, value)
        try:
            packflow.load(file)
        except InputError as error:
            n_refused += "\n" not in str(error)
    assert n_refused > 50


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda s: s.pop("transformer.layers.1.linear2.bias"), "misses transformer.layers.1.linear2.bias"),
        (lambda s: s.pop("attn_bias_builder.head_bias_base"), "misses attn_bias_builder.head_bias_base"),
        (lambda s: s.pop("attn_bias_scale"), "misses attn_bias_scale"),
        (lambda s: s.pop("cart_coords_embedder.0.weight"), "misses cart_coords_embedder.0.weight"),
        (lambda s: s.update({"lattice_token": torch.zeros(32)}), "unexpected lattice_token"),
        (
            lambda s: s.update({"attn_bias_builder.edge_to_headlogits.0.weight": torch.zeros(64, 3)}),
            r"edge_to_headlogits.0.weight of shape \(64, 3\) instead of \(64, 2\)",
        ),
        (lambda s: s.update({"transformer.layers.7.norm1.bias": torch.zeros(32)}), "misses transformer.layers.2"),
        (lambda s: s.update({"cart_coords_embedder.0.weight": torch.tensor(1.0)}), r"shape \(\), wanted one with rows"),
        (lambda s: s.update({"attn_bias_builder.head_bias_base": torch.zeros(5)}), "sizes that cannot be: n_heads must divide d_model"),
        (lambda s: s.update({"transformer.norm.bias": 3.0}), "got a float for transformer.norm.bias"),
        (dict.clear, "must hold the model's tensors under 'model_state_dict'"),
    ],
    ids=[
        "missing",
        "no heads",
        "no scale",
        "no width",
        "unexpected",
        "periodic edges",
        "far layer",
        "scalar",
        "five heads",
        "no tensor",
        "empty",
    ],
)
def test_wrong_tensors(state, official_file, tmp_path, edit, message):
    edited = dict(state)
    edit(edited)
    refused(official_file(tmp_path / "best_model.pt", edited), message)


@pytest.mark.parametrize(
    ("content", "message"),
    [([1, 2], "got a list"), ({"state_dict": {}}, "nothing there but 1 other"), ({"model_state_dict": 3}, "got a int")],
    ids=["list", "other keys", "number"],
)
def test_files_of_other_programs(tmp_path, content, message):
    torch.save(content, tmp_path / "other.pt")
    refused(tmp_path / "other.pt", message)


def test_stated_sizes_that_contradict_the_tensors(state, official_file, tmp_path):
    stated = {"d_model": 32, "nhead": 8, "dim_feedforward": 48, "num_layers": 2}
    refused(official_file(tmp_path / "best_model.pt", state, model_config=stated), "states nhead 8, but its tensors have 4")
    assert packflow.load(official_file(tmp_path / "right.pt", state, model_config={**stated, "nhead": 4})).config.n_heads == 4


def test_place_embedding_is_for_official_files():
    with pytest.raises(InputError, match="place_embedding is for checkpoints of the authors' code only"):
        packflow.load("open-2m", place_embedding=True)

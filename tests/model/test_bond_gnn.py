"""Graph attention over bonds: against a loop over atoms and edges, and the ablations of the whole network."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import leaky_relu

from packflow.errors import InputError
from packflow.model import ModelConfig, PackFlow
from packflow.model.bond_gnn import N_GNN_HEADS, BondGnnLayer, softmax_by_target
from packflow.model.weights import load_model, save_model
from packflow.structure import Molecule, Template, TemplateBatch

CONFIG = ModelConfig(32, 4, 64, 2)
# Two float32 evaluations of the same sums in another order.
TOLERANCE = {"atol": 2e-6, "rtol": 1e-5}


@pytest.fixture
def batch():
    return TemplateBatch.pack([Template(Molecule.from_smiles(s), n) for s, n in [("CC(=O)O", 3), ("C", 1), ("c1ccccc1Br", 2)]])


def state_of(batch, generator):
    n, c = batch.n_atoms, batch.n_crystals
    shapes = (n, 3), (c, 6)
    return [torch.randn(s, generator=generator) for s in shapes] + [torch.rand(c, generator=generator) for _ in range(2)]


def by_hand(layer, x, bond_index, bond_features):
    """GATv2 as its equations say: one target and one head at a time."""
    normed, out = layer.norm(x), x.clone()
    width = x.shape[1] // N_GNN_HEADS
    for atom in range(len(x)):
        edges = (bond_index[1] == atom).nonzero()[:, 0].tolist()
        for head in range(N_GNN_HEADS if edges else 0):
            columns = slice(head * width, (head + 1) * width)
            messages = [layer.source(normed[bond_index[0, e]])[columns] for e in edges]
            others = [(layer.target(normed[atom]) + layer.bond(bond_features[e]))[columns] for e in edges]
            logits = torch.stack([layer.attention[head] @ leaky_relu(m + o, 0.2) for m, o in zip(messages, others, strict=True)])
            out[atom, columns] += (logits.softmax(0)[:, None] * torch.stack(messages)).sum(0)
    return out


def test_a_layer_is_the_loop_over_atoms_and_edges(batch, generator):
    torch.manual_seed(0)
    layer = BondGnnLayer(32)
    x = torch.randn(batch.n_atoms, 32, generator=generator)
    features = batch.bond_features.float()
    order = torch.randperm(len(features), generator=generator)
    expected = by_hand(layer, x, batch.bond_index, features)
    torch.testing.assert_close(layer(x, batch.bond_index[:, order], features[order]), expected, **TOLERANCE)
    assert torch.equal(expected[12], x[12])  # methane has no bonds
    assert not torch.allclose(expected[0], x[0])


def test_softmax_has_the_gradient_of_the_plain_one_and_survives_large_logits():
    logits = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 2, 0, 2, 2, 3])
    assert torch.autograd.gradcheck(lambda x: softmax_by_target(x, target, 5), logits)
    shares = softmax_by_target(logits.detach() * 1e4, target, 5)
    assert shares.isfinite().all()
    sums = torch.zeros(5, 2, dtype=torch.float64).index_add(0, target, shares)
    torch.testing.assert_close(sums, torch.tensor([[1.0], [0.0], [1.0], [1.0], [0.0]], dtype=torch.float64).expand(5, 2))


@pytest.mark.parametrize("precision", [None, torch.bfloat16], ids=["float32", "bf16"])
def test_every_parameter_of_the_network_gets_a_gradient(batch, generator, precision):
    torch.manual_seed(0)
    model = PackFlow(replace(CONFIG, bonds="gnn"))
    with torch.autocast("cpu", precision, enabled=precision is not None):
        velocities = model(*state_of(batch, generator), batch)
    sum(v.square().sum() for v in velocities).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any() or not p.grad.isfinite().all()] == []


@pytest.mark.parametrize(("bonds", "sees"), [("bias", True), ("gnn", True), ("none", False)])
def test_only_the_network_without_bonds_is_blind_to_them(batch, generator, bonds, sees):
    torch.manual_seed(0)
    model = PackFlow(replace(CONFIG, bonds=bonds)).requires_grad_(False)
    state = state_of(batch, generator)
    without = replace(batch, bond_index=batch.bond_index[:, :0], bond_features=batch.bond_features[:0])
    for other in (without, replace(batch, bond_features=1 - batch.bond_features.clamp(max=1))):
        assert torch.equal(model(*state, batch)[0], model(*state, other)[0]) != sees


@pytest.mark.parametrize("bonds", ["gnn", "none"])
def test_weights_say_how_bonds_enter(batch, generator, tmp_path, bonds):
    model = PackFlow(replace(CONFIG, bonds=bonds, n_bond_layers=2)).eval()
    save_model(tmp_path / "model.safetensors", model)
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.config == model.config
    state = state_of(batch, generator)
    assert torch.equal(loaded(*state, batch)[0], model(*state, batch)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bonds": "gat"}, "bonds must be 'bias', 'gnn' or 'none', got 'gat'"),
        ({"n_bond_layers": 0}, "n_bond_layers must be at least 1, got 0"),
    ],
)
def test_impossible_ways_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(CONFIG, **change)

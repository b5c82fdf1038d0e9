"""Attention weights against the op that never has them."""

import pytest
import torch

import packflow
from packflow.errors import InputError
from packflow.evaluate.attention import Projections, attention_of, attention_weights, mates
from packflow.model import ModelConfig, PackFlow
from packflow.ops import bond_attention, bond_table
from packflow.structure import CrystalBatch, FlowSpace


@pytest.fixture(scope="module")
def benzene(urea_and_benzene):
    return next(case.crystals[0] for case in urea_and_benzene.cases if case.molecule == "c1ccccc1")


def test_weights_times_values_are_the_op(generator):
    n_atoms, n_heads, d_head = 9, 3, 8
    q, k, v = torch.randn(3, n_atoms, n_heads, d_head, generator=generator)
    # an edge that is listed twice counts twice
    edges = torch.tensor([[0, 1, 4, 4, 8, 0], [1, 0, 2, 2, 3, 5]])
    pointers = torch.tensor([0, n_atoms], dtype=torch.int32)
    table = bond_table(edges, pointers)
    bias = 3 * torch.randn(edges.shape[1], n_heads, generator=generator)
    weights = attention_weights(q, k, bias, table)
    assert weights.sum(-1) == pytest.approx(torch.ones(n_heads, n_atoms).numpy(), abs=1e-6)
    wanted = bond_attention(q, k, v, bias, pointers, table)
    torch.testing.assert_close(torch.einsum("hij,jhd->ihd", weights, v), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bonds", ["bias", "gnn", "none"])
def test_every_kind_of_network(benzene, bonds):
    torch.manual_seed(0)
    model = PackFlow(ModelConfig(32, 4, 64, 2, FlowSpace("packed"), bonds=bonds)).eval()
    found = attention_of(model, benzene, (1.0, 0.5, 0.0), torch.Generator().manual_seed(0))
    n_atoms = benzene.template.n_atoms
    assert [one.t for one in found] == [1.0, 0.5, 0.0]
    assert found[0].weights.shape == (2, 4, n_atoms, n_atoms)
    torch.testing.assert_close(found[0].weights.sum(-1), torch.ones(2, 4, n_atoms))
    assert float(found[0].relative.mean()) == pytest.approx(1.0)
    assert not any(layer.attention_in._forward_hooks for layer in model.encoder.layers)


def test_projections_are_those_of_the_forward_pass(benzene):
    model = packflow.load("open-2m")
    batch = CrystalBatch.pack([benzene])
    positions, lattice = model.space.encode(batch.positions, batch.lattice, batch.template)
    condition, t = model.condition(batch.template), torch.full((1,), 0.3)
    with torch.no_grad(), Projections(model) as projections:
        model.velocity(positions, lattice, model.times(t, t), condition)
    assert len(projections.layers) == model.config.n_layers
    # the first layer's, by hand
    per_crystal = model.embed_lattice(lattice) + model.times(t, t).embedding
    x = model.embed_positions(positions) + condition.atom_embedding + per_crystal[condition.crystal_index]
    layer = model.encoder.layers[0]
    q = layer.attention_in(layer.norm_attention(x))[:, : model.config.d_model]
    torch.testing.assert_close(projections.layers[0][0].flatten(1), q.detach())


def test_a_trained_network_looks_at_bonded_atoms(benzene):
    (found,) = attention_of(packflow.load("open-2m"), benzene, (0.02,), torch.Generator().manual_seed(0))
    i, j = benzene.template.bond_index
    assert found.relative[i, j].mean() > 2 * found.relative.mean()


def test_mates(benzene):
    size = benzene.template.molecule.n_atoms
    assert mates(benzene, 1) == [1 + size * k for k in range(1, benzene.template.n_copies)]
    assert mates(benzene, size + 2) == [2 + size * k for k in range(benzene.template.n_copies) if k != 1]


def test_times_that_are_none(benzene):
    with pytest.raises(InputError, match="times must be from 0 to 1"):
        attention_of(packflow.load("open-2m"), benzene, (1.5,), torch.Generator())

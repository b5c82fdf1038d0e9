"""Packed batches of molecules, and how a dense model pads them: shared by the benchmarks of attention and of training."""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn.functional import gelu, scaled_dot_product_attention

from packflow.model import PackFlow
from packflow.ops import BondTable
from packflow.structure import TemplateBatch

N_CRYSTALS = 32


def ragged() -> list[int]:
    """Log-normal numbers of atoms between 31 and 186, mean 85."""
    generator = random.Random(1)
    return [max(8, min(250, int(generator.lognormvariate(4.2, 0.6)))) for _ in range(N_CRYSTALS)]


def molecule_bonds(sizes: list[int]) -> Tensor:
    """Chains with branches, each bond in both directions: two directed edges per atom, as in molecules. [2, n_bonds]"""
    generator, edges, first = random.Random(0), [], 0
    for n in sizes:
        for i in range(1, n):
            j = max(0, i - 1 - (generator.random() < 0.25) * generator.randint(1, 3))
            edges += [(first + i, first + j), (first + j, first + i)]
        first += n
    return torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T.contiguous()


def places(sizes: list[int]) -> tuple[Tensor, Tensor]:
    """Crystal and position in it of each atom of the packed axis."""
    counts = torch.tensor(sizes)
    return torch.repeat_interleave(torch.arange(len(sizes)), counts), torch.cat([torch.arange(n) for n in sizes])


def random_template(sizes: list[int]) -> TemplateBatch:
    """Crystals of one molecule each, with random features."""
    n, bond_index = sum(sizes), molecule_bonds(sizes)
    return TemplateBatch(
        atomic_numbers=torch.full((n,), 6),
        atom_features=torch.randint(0, 3, (n, 10), dtype=torch.uint8),
        bond_index=bond_index,
        bond_features=torch.randint(0, 3, (bond_index.shape[1], 2), dtype=torch.uint8),
        pair_index=torch.zeros(2, 0, dtype=torch.int64),
        pair_features=torch.zeros(0, 3),
        atom_ptr=torch.tensor([0, *torch.tensor(sizes).cumsum(0).tolist()], dtype=torch.int32),
        n_copies=torch.ones(len(sizes), dtype=torch.int64),
    )


def random_state(sizes: list[int]) -> list[Tensor]:
    """Positions, flow lattices and both times."""
    return [torch.randn(sum(sizes), 3), torch.randn(len(sizes), 6), torch.rand(len(sizes)), torch.rand(len(sizes))]


def padded_velocity(model: PackFlow, template: TemplateBatch, state: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The same network on padded tokens with a dense bias, all of it computed anew: what the authors' released code does."""
    condition = model.condition(template)
    sizes, place = template.sizes, tuple(x.to(template.atom_ptr.device) for x in places(template.sizes))
    positions, flow_lattice, t_positions, t_lattice = state
    per_crystal = model.embed_lattice(flow_lattice) + model.embed_t_positions(t_positions) + model.embed_t_lattice(t_lattice)
    tokens = model.embed_positions(positions) + condition.atom_embedding
    x = tokens.new_zeros(len(sizes), max(sizes), tokens.shape[1]).index_put(place, tokens) + per_crystal[:, None]
    bias = dense_bias(sizes, condition.bonds, place, condition.edge_bias)
    for layer in model.encoder.layers:
        q, k, v = layer.attention_in(layer.norm_attention(x)).unflatten(2, (3, layer.n_heads, -1)).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)
        x = x + layer.attention_out(attended)
        x = x + layer.feedforward_out(gelu(layer.feedforward_in(layer.norm_feedforward(x)), approximate="tanh"))
    x = model.encoder.norm(x)
    real = (torch.arange(max(sizes)) < torch.tensor(sizes)[:, None])[:, :, None].to(x.device)
    return model.head_positions(x)[place], model.head_lattice((x * real).sum(1) / condition.n_atoms)


def dense_bias(sizes: list[int], bonds: BondTable, place: tuple[Tensor, Tensor], edge_bias: Tensor) -> Tensor:
    """Bias of every pair, -inf for padding. [n_crystals, n_heads, largest, largest]"""
    largest, (crystal, position) = max(sizes), place
    source = torch.repeat_interleave(bonds.row_ptr.diff().long())
    padding = (torch.arange(largest) >= torch.tensor(sizes)[:, None]).to(edge_bias.device)
    bias = edge_bias.new_zeros(len(sizes), largest, largest, edge_bias.shape[1]).masked_fill(padding[:, None, :, None], -torch.inf)
    bias = bias.index_put((crystal[source], position[source], position[bonds.column.long()]), edge_bias, accumulate=True)
    return bias.permute(0, 3, 1, 2)


def check(ours: object, theirs: object) -> None:
    """Every pair of tensors is equal to float32 precision, as vectors."""
    for x, y in zip(ours, theirs, strict=True):
        assert (x - y).norm() < 1e-5 * y.norm(), f"relative difference {(x - y).norm() / y.norm():.1e}"

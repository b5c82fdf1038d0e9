"""Packed batches of molecules, and how a dense model pads them: shared by the benchmarks of attention and of training."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from packflow.ops import BondTable

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


def dense_bias(sizes: list[int], bonds: BondTable, place: tuple[Tensor, Tensor], edge_bias: Tensor) -> Tensor:
    """Bias of every pair, -inf for padding. [n_crystals, n_heads, largest, largest]"""
    largest, (crystal, position) = max(sizes), place
    source = torch.repeat_interleave(bonds.row_ptr.diff().long())
    padding = torch.arange(largest) >= torch.tensor(sizes)[:, None]
    bias = torch.zeros(len(sizes), largest, largest, edge_bias.shape[1]).masked_fill(padding[:, None, :, None], -torch.inf)
    bias = bias.index_put((crystal[source], position[source], position[bonds.column.long()]), edge_bias, accumulate=True)
    return bias.permute(0, 3, 1, 2)


def check(ours: object, theirs: object) -> None:
    """Every pair of tensors is equal to float32 precision, as vectors."""
    for x, y in zip(ours, theirs, strict=True):
        assert (x - y).norm() < 1e-5 * y.norm(), f"relative difference {(x - y).norm() / y.norm():.1e}"

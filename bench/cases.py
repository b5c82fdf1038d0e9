"""Packed batches with the sizes and densities of real molecular crystals, the same on every run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

VOLUME_PER_ATOM = 18.0  # Å3 per heavy atom of an organic crystal
MEDIAN_SIZE, SMALLEST, LARGEST = 56, 8, 250  # heavy atoms per cell


@dataclass(frozen=True)
class Case:
    """A named batch; tensors as `packflow.ops` takes them, float32."""

    name: str
    positions: Tensor  # [n_atoms, 3], Å
    cell: Tensor  # [n_crystals, 3, 3], Å
    atom_ptr: Tensor  # [n_crystals + 1]
    radii: Tensor  # [n_atoms], Å


def sizes_of_crystals(n_crystals: int, generator: torch.Generator) -> Tensor:
    """Numbers of atoms: log-normal around the median, within the limits of the training set. [n_crystals]"""
    sizes = MEDIAN_SIZE * torch.exp(0.6 * torch.randn(n_crystals, generator=generator))
    return sizes.round().long().clamp(SMALLEST, LARGEST)


def random_cells(sizes: Tensor, generator: torch.Generator) -> Tensor:
    """Skewed cells of the volume that fits the number of atoms. [n_crystals, 3, 3]"""
    shape = torch.eye(3) + 0.18 * torch.randn(len(sizes), 3, 3, generator=generator)
    volume = torch.linalg.det(shape).abs().clamp(min=0.2)
    return shape * (VOLUME_PER_ATOM * sizes / volume).pow(1 / 3)[:, None, None]


def spread_atoms(n_atoms: int, generator: torch.Generator) -> Tensor:
    """Fractional coordinates off a grid: close to the even spacing of a packing without overlaps. [n_atoms, 3]"""
    n_points = math.ceil(round(n_atoms ** (1 / 3), 9))
    axis = torch.arange(n_points)
    grid = torch.cartesian_prod(axis, axis, axis)[torch.randperm(n_points**3, generator=generator)[:n_atoms]]
    return (grid + 0.4 * torch.rand(n_atoms, 3, generator=generator)) / n_points


def packed(name: str, sizes: Tensor, seed: int = 0) -> Case:
    """A batch of crystals of the given numbers of atoms."""
    generator = torch.Generator().manual_seed(seed)
    cell = random_cells(sizes, generator)
    positions = torch.cat([spread_atoms(n, generator) @ c for n, c in zip(sizes.tolist(), cell, strict=True)])
    atom_ptr = torch.cat([torch.zeros(1), sizes.cumsum(0)]).to(torch.int32)
    radii = torch.tensor([0.76, 0.71, 0.66, 1.05])  # C, N, O, S
    kinds = torch.multinomial(torch.tensor([0.75, 0.1, 0.12, 0.03]), len(positions), replacement=True, generator=generator)
    return Case(name, positions, cell, atom_ptr, radii[kinds])


def cases(smallest: bool = False) -> list[Case]:
    """Ragged batches first, then equal sizes up to far above the training set."""
    ragged = sizes_of_crystals(128, torch.Generator().manual_seed(1))
    if smallest:
        return [packed("4 ragged crystals", ragged[:4])]
    equal = [(1, 56), (128, 24), (128, 56), (64, 120), (32, 250), (8, 1000)]
    batches = [packed(f"{n_crystals} x {n_atoms} atoms", torch.full((n_crystals,), n_atoms)) for n_crystals, n_atoms in equal]
    return [packed(f"128 ragged, {int(ragged.sum())} atoms", ragged), *batches]

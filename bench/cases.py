"""Packed batches with the sizes and densities of real molecular crystals, the same on every run."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import gemmi
import torch
from torch import Tensor

from packflow.elements import COVALENT_RADII

OPEN_CRYSTALS = Path(__file__).parents[2] / "shared" / "data" / "open_crystals.zip"
N_MEASURED, FEWEST = 64, 20

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


def measured(n_crystals: int = N_MEASURED) -> Case:
    """Heavy atoms of crystals with 20 to 250 of them, spread over the sizes that there are; synthetic ones where the files are not."""
    if not OPEN_CRYSTALS.exists():
        sizes = sizes_of_crystals(n_crystals, torch.Generator().manual_seed(2)).clamp(min=FEWEST)
        return packed(f"{n_crystals} synthetic, {int(sizes.sum())} atoms", sizes)
    crystals = []
    with zipfile.ZipFile(OPEN_CRYSTALS) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".cif"))
        for name in names[:: len(names) // (8 * n_crystals)]:
            structure = gemmi.make_small_structure_from_block(gemmi.cif.read_string(archive.read(name).decode()).sole_block())
            sites = [site for site in structure.get_all_unit_cell_sites() if site.element.name not in ("H", "D")]
            if FEWEST <= len(sites) <= LARGEST:
                crystals.append((structure.cell, sites))
    crystals.sort(key=lambda crystal: len(crystal[1]))
    crystals = [crystals[k * (len(crystals) - 1) // max(1, n_crystals - 1)] for k in range(n_crystals)]
    sizes = torch.tensor([len(sites) for _, sites in crystals])
    return Case(
        name=f"{n_crystals} measured, {int(sizes.sum())} atoms",
        positions=torch.tensor([cell.orthogonalize(site.fract).tolist() for cell, sites in crystals for site in sites]),
        cell=torch.tensor([cell.orth.mat.tolist() for cell, _ in crystals]).mT.contiguous(),
        atom_ptr=torch.cat([torch.zeros(1), sizes.cumsum(0)]).to(torch.int32),
        radii=torch.tensor([COVALENT_RADII[site.element.name] for _, sites in crystals for site in sites]),
    )


def scaling(smallest: bool = False) -> list[tuple[str, Case]]:
    """Two decades of the number of crystals, and of the number of atoms of one crystal."""
    crystals = [1, 10] if smallest else [4, 10, 25, 64, 160, 400]
    atoms = [30, 100] if smallest else [100, 250, 630, 1600, 4000, 10000]
    by_crystals = [("crystals", packed(f"{n} x 56 atoms", torch.full((n,), 56))) for n in crystals]
    return by_crystals + [("atoms", packed(f"1 x {n} atoms", torch.tensor([n]))) for n in atoms]


def cases(smallest: bool = False) -> list[Case]:
    """Ragged batches first, then equal sizes up to far above the training set."""
    ragged = sizes_of_crystals(128, torch.Generator().manual_seed(1))
    if smallest:
        return [packed("4 ragged crystals", ragged[:4])]
    equal = [(1, 56), (128, 24), (128, 56), (64, 120), (32, 250), (8, 1000)]
    batches = [packed(f"{n_crystals} x {n_atoms} atoms", torch.full((n_crystals,), n_atoms)) for n_crystals, n_atoms in equal]
    return [packed(f"128 ragged, {int(ragged.sum())} atoms", ragged), *batches]

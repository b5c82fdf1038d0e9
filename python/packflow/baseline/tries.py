"""Tries to pack a molecule: random cell, orientations and positions of a placement, many at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from packflow.baseline.conformer import Conformer
from packflow.baseline.lattices import N_NUMBERS, random_cells
from packflow.baseline.placements import Placement
from packflow.ops import first_fit

# tries made at once, within one volume: few first, since some groups are easy
BLOCKS = (40, 160, 800)
TRIES_PER_VOLUME = sum(BLOCKS)
# relative, of the volume, as cgenarris
VOLUME_DEVIATION = 0.05


@dataclass(frozen=True)
class Tries:
    """Cells with molecules, as `packflow.ops.first_fit` takes them.

    cells:     [n, 3, 3] float64, rows are the lattice vectors, Å.
    rotations: [n, n_molecules, 3, 3] float64, Cartesian.
    centers:   [n, n_molecules, 3] float64, fractional.
    """

    cells: np.ndarray
    rotations: np.ndarray
    centers: np.ndarray

    def __len__(self) -> int:
        """Number of tries."""
        return len(self.cells)


@dataclass(frozen=True)
class Arrangement:
    """Where the independent molecules of a packing are.

    cell:      [3, 3] float64, rows are the lattice vectors, Å.
    rotations: [n_molecules, 3, 3] float64, Cartesian.
    centers:   [n_molecules, 3] float64, fractional.
    """

    cell: np.ndarray
    rotations: np.ndarray
    centers: np.ndarray


def find_packing(
    placement: Placement,
    conformer: Conformer,
    volume: float,
    scale: float,
    growth: float,
    max_tries: int,
    generator: torch.Generator,
) -> tuple[Arrangement, int, bool]:
    """Try until no two molecules touch, as Genarris does: each volume is tried a thousand times, then another is drawn.

    Args:
        placement: Group and sites.
        conformer: The rigid molecule.
        volume: Mean of the cell's volume, Å3.
        scale: Share of the sum of two van der Waals radii that atoms of different molecules must be apart.
        growth: Share, times the number of independent molecules, by which the mean volume grows with each volume that was tried in vain.
        max_tries: At most; whole volumes are tried.
        generator: Of all random numbers.

    Returns:
        The packing, or the last try; the number of tries made; whether it is a packing.
    """
    radii = scale * conformer.radii
    fixed = [torch.from_numpy(x) for x in (conformer.positions, radii, placement.operations, placement.molecule)]
    n_tries = 0
    while True:
        deviation = torch.randn(1, generator=generator, dtype=torch.float64).item()
        grown = (1.0 + growth * len(placement.sites)) ** (n_tries // TRIES_PER_VOLUME)
        size = volume * grown * max(0.5, 1.0 + VOLUME_DEVIATION * deviation)
        for n in BLOCKS:
            tries, places = make_tries(placement, conformer, size, n, generator)
            # a cell thinner than the thinnest atom cannot hold it, and has very many images near
            roomy = np.diagonal(tries.cells, axis1=1, axis2=2).min(1) > 2 * radii.min()
            tries, places = some(tries, roomy), places[roomy]
            found = first_fit(*(torch.from_numpy(x) for x in (tries.cells, tries.rotations, tries.centers)), *fixed)
            if found >= 0:
                return arrangement(tries, found), n_tries + int(places[found]) + 1, True
            n_tries += n
        if n_tries >= max_tries:
            last, _ = make_tries(placement, conformer, size, max(BLOCKS), generator)
            return arrangement(last, 0), n_tries, False


def make_tries(placement: Placement, conformer: Conformer, volume: float, n: int, generator: torch.Generator) -> tuple[Tries, np.ndarray]:
    """Up to n tries of one volume: those whose random numbers give a cell, and which of the n they are."""
    sites = placement.sites
    normal = torch.randn(n, N_NUMBERS + 4 * len(sites), generator=generator, dtype=torch.float64).numpy()
    uniform = torch.rand(n, 3 * len(sites), generator=generator, dtype=torch.float64).numpy()
    cells, good = random_cells(placement.group.system, volume, normal[:, :N_NUMBERS])
    cells, normal, uniform = cells[good], normal[good], uniform[good]
    quaternions = normal[:, N_NUMBERS:].reshape(len(cells), len(sites), 4)
    uniform = uniform.reshape(len(cells), len(sites), 3)
    rotations = rotations_of(quaternions)
    centers = np.stack([site.project(uniform[:, k]) for k, site in enumerate(sites)], 1)
    for k, site in enumerate(sites):
        if len(site.symmetry) > 1:
            images = conformer.symmetry.operations[placement.maps[k]]
            rotations[:, k] = aligned(rotations[:, k], cartesian(site.symmetry[:, :, :3], cells), images)
    return Tries(cells, rotations, centers), np.flatnonzero(good)


def rotations_of(quaternions: np.ndarray) -> np.ndarray:
    """Rotations, uniform for standard normal quaternions of any length. [..., 4] -> [..., 3, 3]"""
    w, x, y, z = np.moveaxis(quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


def cartesian(operations: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Fractional rotation parts as Cartesian matrices. [m, 3, 3], [n, 3, 3] -> [n, m, 3, 3]"""
    columns = np.swapaxes(cells, -1, -2)
    return columns[:, None] @ operations @ np.linalg.inv(columns)[:, None]


def aligned(rotations: np.ndarray, site: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Rotations next to given ones that bring a molecule's symmetry onto that of its site: C R = R M for each pair of operations.

    The mean of C R M^-1 over the site's group has this property, and so has its orthogonal factor; its negative has it too, so that one
    of the two is a rotation. For uniform rotations the result is uniform over those that are left free.

    Args:
        rotations: [n, 3, 3]
        site: Operations C of the site, Cartesian. [n, m, 3, 3]
        images: Operations M of the molecule that are to be those of the site. [m, 3, 3]
    """
    mean = (site @ rotations[:, None] @ np.swapaxes(images, -1, -2)).mean(1)
    left, _, right = np.linalg.svd(mean)
    turned = left @ right
    return turned * np.sign(np.linalg.det(turned))[:, None, None]


def some(tries: Tries, kept: np.ndarray) -> Tries:
    """Those that are kept. [n] bool"""
    return Tries(tries.cells[kept], tries.rotations[kept], tries.centers[kept])


def arrangement(tries: Tries, number: int) -> Arrangement:
    """One of the tries."""
    return Arrangement(tries.cells[number], tries.rotations[number], tries.centers[number])


def all_positions(placement: Placement, conformer: Conformer, found: Arrangement) -> np.ndarray:
    """Cartesian coordinates of all atoms in the frame of the arrangement's cell, Å. [n_copies, n_full, 3]"""
    operations, molecule = placement.operations, placement.molecule
    turns = cartesian(operations[:, :, :3], found.cell[None])[0] @ found.rotations[molecule]
    centers = np.einsum("kij,kj->ki", operations[:, :, :3], found.centers[molecule]) + operations[:, :, 3]
    return (centers % 1.0 @ found.cell)[:, None] + conformer.positions @ np.swapaxes(turns, 1, 2)

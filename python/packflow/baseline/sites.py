"""Sites of a space group: its general position, and special positions where a molecule must have the symmetry of the place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from packflow.baseline.space_groups import DENOMINATOR, SpaceGroup, space_group

# coordinates of special positions are fractions of 24, and so are some points of every line and plane of them that lie on nothing else
GRID = np.array(list(product(range(DENOMINATOR), repeat=3)), dtype=np.int64)
NEAR_CELLS = DENOMINATOR * np.array(list(product((-1, 0, 1), repeat=3)), dtype=np.int64)


@dataclass(frozen=True)
class Site:
    """A Wyckoff position of a space group.

    symmetry:   [order of the site symmetry, 3, 4] float64, operations that keep the site's points, W and w, the identity first.
    operations: [n_copies, 3, 4] float64, what makes all molecules of the cell from the one at the site, the identity first.
    """

    symmetry: np.ndarray
    operations: np.ndarray

    @property
    def n_copies(self) -> int:
        """Molecules in the cell: the multiplicity of the position."""
        return len(self.operations)

    @property
    def is_point(self) -> bool:
        """Whether the site cannot move, so that a single molecule can be there."""
        return bool(np.abs(self.symmetry[:, :, :3].mean(0)).max() < 1e-9)

    def project(self, points: np.ndarray) -> np.ndarray:
        """The points of the site next to given ones, fractional: the mean over its symmetry. [..., 3] -> [..., 3]"""
        mean = self.symmetry.mean(0)
        return points @ mean[:, :3].T + mean[:, 3]


@lru_cache(maxsize=4096)
def sites_of(number: int, n_copies: int) -> tuple[Site, ...]:
    """All sites of a space group with a multiplicity: its general position, or every special position that has it.

    Args:
        number: Of the space group, 1 to 230.
        n_copies: The multiplicity.
    """
    group = space_group(number)
    if n_copies == group.order:
        return (Site(np.eye(3, 4)[None], group.operations()),)
    if group.order % n_copies:
        return ()
    waiting = GRID[stabilizer_sizes(number) == group.order // n_copies]
    sites = []
    while len(waiting):
        site = site_at(group, waiting[0])
        sites.append(site)
        waiting = waiting[~belongs(group, site, waiting)]
    return tuple(sites)


@lru_cache(maxsize=256)
def stabilizer_sizes(number: int) -> np.ndarray:
    """How many operations of a group keep each point of GRID, up to lattice translations. [n_points]"""
    group = space_group(number)
    x, y, z = np.ogrid[:DENOMINATOR, :DENOMINATOR, :DENOMINATOR]
    sizes = np.zeros((DENOMINATOR,) * 3, dtype=np.int64)
    for rotation, shift in zip(group.rotations - np.eye(3, dtype=np.int64), group.shifts, strict=True):
        keeps = np.ones((1, 1, 1), dtype=bool)
        for (along_x, along_y, along_z), offset in zip(rotation.tolist(), shift.tolist(), strict=True):
            # only the axes that matter are spread out
            terms = [n * axis for n, axis in ((along_x, x), (along_y, y), (along_z, z)) if n]
            keeps = keeps & (sum(terms, np.full((1, 1, 1), offset)) % DENOMINATOR == 0)
        sizes += keeps
    return sizes.ravel()


def site_at(group: SpaceGroup, point: np.ndarray) -> Site:
    """The site of a point in 24ths. [3]"""
    moved = group.rotations @ point + group.shifts
    keeps = ((moved - point) % DENOMINATOR == 0).all(1)
    symmetry = group.operations()[keeps]
    symmetry[:, :, 3] += (point - moved[keeps]) / DENOMINATOR
    _, first = np.unique(moved % DENOMINATOR, axis=0, return_index=True)
    return Site(symmetry, group.operations()[np.sort(first)])


def belongs(group: SpaceGroup, site: Site, points: np.ndarray) -> np.ndarray:
    """Which points, in 24ths, symmetry brings to a site of the same order. [n_points, 3] -> [n_points] bool"""
    found = np.zeros(len(points), dtype=bool)
    # W x + w = x with the very w of the site, for an image in one of the near cells; whole numbers, exact as floats
    differences = (site.symmetry[:, :, :3] - np.eye(3)).reshape(-1, 3)
    wanted = -np.rint(DENOMINATOR * site.symmetry[:, :, 3]).ravel()
    near = differences @ NEAR_CELLS.T - wanted[:, None]  # [3 n_symmetry, n_cells]
    for turn, move in zip(group.rotations, group.shifts, strict=True):
        waiting = np.flatnonzero(~found)
        images = (points[waiting] @ turn.T + move) % DENOMINATOR
        at = differences @ images.T
        kept = np.zeros(len(waiting), dtype=bool)
        for cell in near.T:
            kept |= (at == -cell[:, None]).all(0)
        found[waiting[kept]] = True
        if found.all():
            break
    return found

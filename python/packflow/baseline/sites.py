"""Sites of a space group: its general position, and special positions where a molecule must have the symmetry of the place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from packflow.baseline.space_groups import DENOMINATOR, SpaceGroup, space_group

# coordinates of special positions are fractions of 24, and so are some points of every line and plane of them that lie on nothing else
GRID = np.array(list(product(range(DENOMINATOR), repeat=3)), dtype=np.int16)
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
    kept = stabilizer_sizes(group) == group.order // n_copies
    waiting = GRID[kept].astype(np.int64)
    sites = []
    while len(waiting):
        site = site_at(group, waiting[0])
        sites.append(site)
        waiting = waiting[~belongs(group, site, waiting)]
    return tuple(sites)


def stabilizer_sizes(group: SpaceGroup) -> np.ndarray:
    """How many operations of a group keep each point of GRID, up to lattice translations. [n_points]"""
    sizes = np.zeros(len(GRID), dtype=np.int64)
    for rotation, shift in zip(group.rotations.astype(np.int16), group.shifts.astype(np.int16), strict=True):
        moved = GRID @ (rotation - np.eye(3, dtype=np.int16)).T + shift
        sizes += (moved % DENOMINATOR == 0).all(1)
    return sizes


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
    rotation, shift = site.symmetry[:, :, :3], np.rint(DENOMINATOR * site.symmetry[:, :, 3]).astype(np.int64)
    differences = np.rint(rotation).astype(np.int64) - np.eye(3, dtype=np.int64)
    for turn, move in zip(group.rotations, group.shifts, strict=True):
        images = (points[~found] @ turn.T + move) % DENOMINATOR
        # whether W x + w = x, with the very w of the site, for the image in one of the near cells
        at = images[:, None] + NEAR_CELLS
        kept = (np.einsum("hij,pcj->phci", differences, at) == -shift[:, None]).all((1, 3)).any(1)
        found[np.flatnonzero(~found)[kept]] = True
        if found.all():
            break
    return found

"""Ways to put n_copies of a molecule into a space group: which group, and on which sites."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice

import numpy as np

from packflow.baseline.conformer import Conformer
from packflow.baseline.point_symmetry import PointSymmetry, embeddings
from packflow.baseline.sites import Site, sites_of
from packflow.baseline.space_groups import N_GROUPS, SpaceGroup, space_group
from packflow.errors import InputError

# ways of a group that are kept; with many sites of many kinds there are thousands
MAX_WAYS = 64


@dataclass(frozen=True, eq=False)
class Placement:
    """Sites of a space group that hold all molecules of a cell, one independent molecule each.

    group: the space group.
    sites: of the independent molecules, those of the highest multiplicity first.
    maps:  for each site the operation of the molecule's point symmetry that each of the site's is to be, see `embeddings`.
    """

    group: SpaceGroup
    sites: tuple[Site, ...]
    maps: tuple[np.ndarray, ...]

    @property
    def is_special(self) -> bool:
        """Whether a molecule lies on a symmetry element."""
        return any(len(site.symmetry) > 1 for site in self.sites)

    @property
    def z_prime(self) -> Fraction:
        """Molecules over the order of the group: below 1 where they lie on symmetry elements."""
        return Fraction(sum(site.n_copies for site in self.sites), self.group.order)

    @cached_property
    def operations(self) -> np.ndarray:
        """What makes all copies from the independent molecules, site by site, W and w. [n_copies, 3, 4]"""
        return np.concatenate([site.operations for site in self.sites])

    @cached_property
    def molecule(self) -> np.ndarray:
        """Which independent molecule each copy is made from. [n_copies] int32"""
        return np.repeat(np.arange(len(self.sites), dtype=np.int32), [site.n_copies for site in self.sites])


@dataclass(frozen=True, eq=False)
class GroupWays:
    """A space group and all choices of its sites for so many molecules.

    group:      the space group.
    placements: sites of the independent molecules.
    """

    group: SpaceGroup
    placements: tuple[tuple[Site, ...], ...]


def compatible_groups(
    conformer: Conformer, n_copies: int, max_independent: int = 1, space_groups: tuple[int, ...] | None = None
) -> tuple[GroupWays, ...]:
    """Space groups that can hold n_copies of a molecule in their conventional cell, and how.

    A molecule is on a general position, or on a special one if the symmetry of the place can be a part of its own. Molecules whose mirror
    image is another one go into the 65 groups of rotations and screws only.

    Args:
        conformer: Its symmetry counts.
        n_copies: Molecules per cell.
        max_independent: Molecules that symmetry does not relate, at most. Where no group can do with so few, as for seven molecules, the
            least number for which there is a group.
        space_groups: Numbers of the groups to choose from; all if not given.

    Returns:
        By number of the group.

    Raises:
        InputError: max_independent is below 1, a number is none of a group, or none of the given groups is compatible.
    """
    if max_independent < 1:
        raise InputError(f"max_independent must be at least 1 molecule, got {max_independent}")
    numbers = tuple(range(1, N_GROUPS + 1)) if space_groups is None else tuple(sorted(set(space_groups)))
    if not numbers or numbers[0] < 1 or numbers[-1] > N_GROUPS:
        raise InputError(f"space_groups must be numbers from 1 to {N_GROUPS}, got {list(space_groups or ())}")
    groups = [space_group(number) for number in numbers]
    if conformer.chiral:
        groups = [group for group in groups if group.sohncke]
    for most in range(max_independent, max(max_independent, n_copies) + 1):
        found = [GroupWays(group, tuple(placements_in(group, conformer.symmetry, n_copies, most))) for group in groups]
        kept = tuple(ways for ways in found if ways.placements)
        if kept:
            return kept
    names = "the given space_groups" if space_groups is not None else "any space group"
    chiral = " without mirror images" if conformer.chiral else ""
    raise InputError(f"n_copies must be compatible with {names}{chiral}, got {n_copies}; numbers {list(numbers)[:8]}")


def placements_in(group: SpaceGroup, symmetry: PointSymmetry, n_copies: int, max_independent: int) -> list[tuple[Site, ...]]:
    """All choices of sites in a group, MAX_WAYS at most."""
    sizes = [group.order // s for s in range(symmetry.order, 0, -1) if group.order % s == 0 and symmetry.order % s == 0]
    sites: list[Site] = []
    for size in sizes:
        if size <= n_copies and n_copies <= max_independent * group.order:
            sites += [s for s in sites_of(group.number, size) if len(s.symmetry) == 1 or embeddings(s.symmetry[:, :, :3], symmetry)]
    sites.sort(key=lambda site: -site.n_copies)
    return list(islice(_sums(sites, n_copies, max_independent, 0), MAX_WAYS))


def _sums(sites: list[Site], n_copies: int, n_left: int, start: int) -> Iterator[tuple[Site, ...]]:
    """Choices of at most n_left sites with n_copies molecules together; a site that cannot move is taken once."""
    if n_copies == 0:
        yield ()
        return
    if n_left == 0:
        return
    for k in range(start, len(sites)):
        if sites[k].n_copies <= n_copies:
            for rest in _sums(sites, n_copies - sites[k].n_copies, n_left - 1, k + sites[k].is_point):
                yield (sites[k], *rest)

"""Random packing under symmetry, as Genarris Plain does it (paper, section 4.6 and appendix D)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch

from packflow.baseline.conformer import Conformer, conformer_of
from packflow.baseline.genuine import genuine_placement, has_symmetry_of_group
from packflow.baseline.placements import GroupWays, Placement, compatible_groups
from packflow.baseline.tries import TRIES_PER_VOLUME, Arrangement, all_positions, find_packing
from packflow.errors import InputError
from packflow.structure import Crystal, Template
from packflow.structure.packing_volume import packing_volume

# of the random numbers of one set, so that they are not those of its proposals
ORDER_OF_GROUPS = 0x67726F7570


@dataclass(frozen=True)
class PackingConfig:
    """How packings are drawn; the defaults are those of the paper's listing 1 where it names one.

    Attributes:
        scale: Genarris' sr, the share of the sum of two van der Waals radii that atoms of different molecules must be apart.
        volume_factor: on the volume that Hofmann's atomic volumes give, see `packflow.structure.packing_volume`.
        growth: share by which the mean volume grows after each thousand tries in vain, so that groups that pack badly give loose packings
            rather than none; 0 as Genarris.
        max_tries: tries in one space group for one proposal, rounded up to thousands; then another group has its turn.
        max_groups: groups that are tried for one proposal.
        max_independent: molecules that symmetry does not relate, see `packflow.baseline.placements.compatible_groups`.
        space_groups: numbers of the groups to choose from; all if none.
        n_conformers: shapes that take turns; proposal k has number k modulo this.
    """

    scale: float = 0.85
    volume_factor: float = 1.0
    growth: float = 0.05
    max_tries: int = 20 * TRIES_PER_VOLUME
    max_groups: int = 10
    max_independent: int = 1
    space_groups: tuple[int, ...] | None = None
    n_conformers: int = 1

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        for name in ("scale", "volume_factor"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise InputError(f"{name} must be a positive number, got {value}")
        if not 0 <= self.growth < math.inf:
            raise InputError(f"growth must be 0 or more, got {self.growth}")
        for name in ("max_tries", "max_groups", "max_independent", "n_conformers"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class Packing:
    """One proposal of a baseline.

    crystal:     heavy atoms and cell.
    index:       its number in the set; with the seed it determines the random numbers, whatever else is generated.
    seed:        of the set.
    problem:     why it is no packing: then the crystal is the last try, in which molecules touch; empty if it is one.
    n_tries:     cells that were tried for it.
    placement:   its space group and sites.
    conformer:   the rigid molecule, hydrogens included.
    arrangement: where the independent molecules are.
    """

    crystal: Crystal
    index: int
    seed: int
    problem: str
    n_tries: int
    placement: Placement
    conformer: Conformer
    arrangement: Arrangement

    @property
    def space_group(self) -> int:
        """Number of the space group, 1 to 230."""
        return self.placement.group.number

    @property
    def z_prime(self) -> Fraction:
        """Molecules over the order of the group."""
        return self.placement.z_prime


def random_packings(template: Template, n_samples: int = 32, seed: int = 0, config: PackingConfig | None = None) -> list[Packing]:
    """Draw random packings: space group, sites, cell, orientation and position, until no two molecules touch.

    Every compatible space group has its turn before one has a second, in random order, so that a set is stratified by group as in the
    paper's appendix D; a proposal whose group cannot be packed goes to another one, drawn at random. Proposal k of a seed does not
    depend on how many there are.

    Args:
        template: Molecule and number of copies per unit cell.
        n_samples: Number of proposals.
        seed: 0 or more.
        config: How they are drawn.

    Returns:
        n_samples packings in the order of their index; one that was not found has a problem.

    Raises:
        InputError: n_samples is below 1, the seed negative, the molecule cannot be embedded, or no space group holds n_copies of it.
    """
    if n_samples < 1:
        raise InputError(f"n_samples must be at least 1, got {n_samples}")
    return list(packings_at(template, range(n_samples), seed, config))


def packings_at(template: Template, indices: Sequence[int], seed: int = 0, config: PackingConfig | None = None) -> Iterator[Packing]:
    """The packings of some indices, one by one; raises InputError as `random_packings`, now."""
    config = config or PackingConfig()
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}")
    # the first conformer decides whether there is anything to do
    ways_of(template, seed, 0, config)
    return (packing(template, index, seed, config) for index in indices)


def ways_of(template: Template, seed: int, number: int, config: PackingConfig) -> tuple[Conformer, tuple[GroupWays, ...]]:
    """A conformer and the groups that can hold it; raises InputError as `random_packings`."""
    return _ways_of(template.molecule.smiles, template.n_copies, seed, number, config.max_independent, config.space_groups)


@lru_cache(maxsize=64)
def _ways_of(
    smiles: str, n_copies: int, seed: int, number: int, max_independent: int, space_groups: tuple[int, ...] | None
) -> tuple[Conformer, tuple[GroupWays, ...]]:
    conformer = conformer_of(smiles, seed, number)
    return conformer, compatible_groups(conformer, n_copies, max_independent, space_groups)


def packing(template: Template, index: int, seed: int, config: PackingConfig, attempt: int = 0) -> Packing:
    """The packing of one index; each attempt draws another one. Raises InputError as `random_packings`."""
    conformer, groups = ways_of(template, seed, index % config.n_conformers, config)
    generator = generator_of(seed, index, *([attempt] if attempt else []))
    volume = config.volume_factor * template.n_copies * packing_volume(template.molecule)
    n_tries = n_groups = 0
    for ways in turns_of(groups, seed, index, generator):
        placement = genuine_placement(ways, conformer, generator)
        if placement is None:
            continue
        found, n, fits = find_packing(placement, conformer, volume, config.scale, config.growth, config.max_tries, generator)
        n_tries, n_groups = n_tries + n, n_groups + 1
        # on a special position symmetry can be higher by chance
        fits = fits and (not placement.is_special or has_symmetry_of_group(placement, conformer, found))
        if fits or n_groups == config.max_groups:
            break
    if not n_groups or placement is None:
        raise InputError(
            f"n_copies must be compatible with a space group, got {template.n_copies}, which fits groups of more symmetry only"
        )
    tried = f"{n_groups} of {len(groups)} space groups" if len(groups) > 1 else f"space group {placement.group.symbol}"
    problem = "" if fits else f"no packing: molecules touch in all of {n_tries} tries in {tried}"
    crystal = crystal_of(template, placement, conformer, found)
    return Packing(crystal, index, seed, problem, n_tries, placement, conformer, found)


def turns_of(groups: tuple[GroupWays, ...], seed: int, index: int, generator: torch.Generator) -> Iterator[GroupWays]:
    """The group whose turn a proposal is, then the others in random order."""
    turn, place = divmod(index, len(groups))
    first = int(torch.randperm(len(groups), generator=generator_of(seed, turn, ORDER_OF_GROUPS))[place])
    yield groups[first]
    for k in torch.randperm(len(groups), generator=generator).tolist():
        if k != first:
            yield groups[k]


def generator_of(*key: int) -> torch.Generator:
    """Source of random numbers of a key."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))


def crystal_of(template: Template, placement: Placement, conformer: Conformer, found: Arrangement) -> Crystal:
    """The heavy atoms of an arrangement, molecules whole and with their centers in the cell."""
    positions = all_positions(placement, conformer, found)[:, : conformer.n_heavy].reshape(-1, 3)
    lattice, axes = lattice_and_axes(found.cell)
    return Crystal(template, (positions - positions.mean(0)) @ axes.T, lattice)


def lattice_and_axes(cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lattice parameters (Å, degrees), and the axes of the frame that has c along z and a in the xz plane. [6], [3, 3]"""
    lengths = np.linalg.norm(cell, axis=1)
    a, b, c = cell / lengths[:, None]
    angles = np.degrees(np.arccos(np.clip([b @ c, a @ c, a @ b], -1.0, 1.0)))
    x = a - (a @ c) * c
    x /= np.linalg.norm(x)
    y = [c[1] * x[2] - c[2] * x[1], c[2] * x[0] - c[0] * x[2], c[0] * x[1] - c[1] * x[0]]
    return np.concatenate([lengths, angles]), np.array([x, y, c])

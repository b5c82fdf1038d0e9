"""PyXtal in place of a model: space groups in turns, and another one where PyXtal finds nothing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from packflow.baseline.generated import Generated, no_crystal
from packflow.baseline.placements import GroupWays
from packflow.baseline.pyxtal_adapter import VOLUME_FACTOR, check_volume_factor, pyxtal_packing
from packflow.baseline.random_packing import PackingConfig, generator_of, turns_of, ways_of
from packflow.baseline.sites import Site
from packflow.errors import InputError
from packflow.structure import Template


@dataclass(frozen=True)
class PyxtalConfig:
    """How PyXtal draws crystals.

    Attributes:
        volume_factor: as of `packflow.baseline.pyxtal_adapter.pyxtal_packings`.
        attempts: calls of PyXtal in one space group for one proposal; then another group has its turn.
        max_groups: groups that are tried for one proposal.
        space_groups: numbers of the groups to choose from; all if none.
    """

    volume_factor: float = VOLUME_FACTOR
    attempts: int = 1
    max_groups: int = 10
    space_groups: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        check_volume_factor(self.volume_factor)
        for name in ("attempts", "max_groups"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")


def general_groups(template: Template, seed: int, space_groups: tuple[int, ...] | None = None) -> tuple[GroupWays, ...]:
    """The groups of `random_packings` that hold all molecules on general positions; all of its groups where none does.

    Raises:
        InputError: as `random_packings`.
    """
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}")
    _, groups = ways_of(template, seed, 0, PackingConfig(space_groups=space_groups))
    return tuple(ways for ways in groups if any(is_general(sites) for sites in ways.placements)) or groups


def is_general(sites: tuple[Site, ...]) -> bool:
    """Whether no site of a choice lies on a symmetry element."""
    return all(len(site.symmetry) == 1 for site in sites)


def pyxtal_proposal(template: Template, index: int, seed: int, config: PyxtalConfig, attempt: int = 0) -> Generated:
    """The proposal of one index; each attempt draws another one.

    The group whose turn it is comes first, as in `random_packings`; where PyXtal finds nothing, others follow in random order. PyXtal
    chooses its positions of a group itself, general ones where it can.

    Args:
        template: Molecule and number of copies per unit cell.
        index: In the set.
        seed: Of the set, 0 or more.
        config: How it is drawn.
        attempt: Of the index.

    Raises:
        InputError: PyXtal is not installed, or as `random_packings`.
    """
    groups = general_groups(template, seed, config.space_groups)
    conformer, _ = ways_of(template, seed, 0, PackingConfig(space_groups=config.space_groups))
    generator = generator_of(seed, index, *([attempt] if attempt else []))
    n_groups = min(config.max_groups, len(groups))
    for ways in islice(turns_of(groups, seed, index, generator), n_groups):
        number = ways.group.number
        found = pyxtal_packing(template, conformer, number, (seed, index, attempt, number), config.volume_factor, config.attempts)
        if not found.problem:
            return Generated(found.crystal, index, seed, "", number)
    tried = f"{n_groups} of {len(groups)} space groups" if len(groups) > 1 else f"space group {groups[0].group.symbol}"
    return Generated(no_crystal(template), index, seed, f"no packing: PyXtal finds no crystal in {tried}", 0)

"""Genarris in place of a model: proposals from pools, each of one run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil

import numpy as np
import torch

from packflow.baseline.conformer import Conformer, conformer_of
from packflow.baseline.genarris_adapter import genarris_structures
from packflow.baseline.genarris_files import GenarrisConfig, GenarrisStructure
from packflow.baseline.generated import Generated, heavy_crystal, no_crystal
from packflow.baseline.random_packing import PackingConfig, generator_of, ways_of
from packflow.errors import InputError
from packflow.structure import Template

# proposals that a run can make over those that are taken from it, since some groups fail
SURPLUS = 2
# Genarris takes a C int, and 0 for the clock
MAX_SEED = 2**31 - 2**16
# of the random numbers of a pool, so that they are not those of a packing
POOL = 0x706F6F6C


def genarris_packings(
    template: Template, n_samples: int = 32, seed: int = 0, config: GenarrisConfig | None = None, press: bool = False
) -> list[Generated]:
    """Crystals by Genarris of the conformer that `random_packings` takes, in the space groups that it takes.

    Proposals are made in pools: numbers 0 to pool - 1 are of the first run, and so on. A pool is a function of (seed, its number), of
    the whole configuration, which includes the number of MPI processes, and of the build of Genarris; how many proposals are asked for
    changes none of them. Of a pool the groups have one structure each, in random order, before one has a second.

    Args:
        template: Molecule and number of copies per unit cell.
        n_samples: Number of proposals.
        seed: 0 or more.
        config: How Genarris is run.
        press: Compress them by its Rigid Press.

    Returns:
        n_samples proposals in the order of their index; those that a pool lacks have a problem.

    Raises:
        InputError: Genarris is not installed or fails, an argument is out of range, the molecule as `random_packings`, or no space
            group holds n_copies by one independent molecule.
    """
    if n_samples < 1:
        raise InputError(f"n_samples must be at least 1, got {n_samples}")
    return [genarris_proposal(template, k, seed, config or GenarrisConfig(), press) for k in range(n_samples)]


def genarris_proposal(template: Template, index: int, seed: int, config: GenarrisConfig, press: bool, attempt: int = 0) -> Generated:
    """The proposal of one index; each attempt is of another pool. Raises InputError as `genarris_packings`."""
    groups = groups_of_one_molecule(template, seed, config.space_groups)
    number, place = divmod(index, config.pool)
    conformer = conformer_of(template.molecule.smiles, seed)
    pool = pool_of(template.molecule.smiles, template.n_copies, groups, (seed, number, attempt), config, press)
    if place < len(pool):
        found = pool[place]
        return Generated(heavy_crystal(template, found.positions, found.cell, conformer.n_heavy), index, seed, "", found.space_group)
    problem = f"no packing: Genarris found {len(pool)} of the {config.pool} in a pool, in {len(groups)} space groups"
    return Generated(no_crystal(template), index, seed, problem, 0)


def groups_of_one_molecule(template: Template, seed: int, space_groups: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """Numbers of the groups of `random_packings` that hold all copies by one independent molecule, as Genarris has it.

    Raises:
        InputError: there is none, the seed is negative, or as `random_packings`.
    """
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}")
    _, groups = ways_of(template, seed, 0, PackingConfig(space_groups=space_groups))
    numbers = tuple(ways.group.number for ways in groups if any(len(sites) == 1 for sites in ways.placements))
    if not numbers:
        raise InputError(f"n_copies must be compatible with a space group by one independent molecule, got {template.n_copies}")
    return numbers


@lru_cache(maxsize=16)
def pool_of(
    smiles: str, n_copies: int, groups: tuple[int, ...], key: tuple[int, int, int], config: GenarrisConfig, press: bool
) -> tuple[GenarrisStructure, ...]:
    """The structures of one run that are proposals, `config.pool` at most; raises InputError as `genarris_packings`."""
    seed = int(np.random.SeedSequence([POOL, *key]).generate_state(1)[0]) % MAX_SEED + 1
    per_group = config.per_group or ceil(SURPLUS * config.pool / len(groups))
    conformer: Conformer = conformer_of(smiles, key[0])
    found = genarris_structures(conformer, n_copies, groups, per_group, seed, config, press)
    return tuple(in_turns(found, generator_of(POOL, *key))[: config.pool])


def in_turns(structures: Sequence[GenarrisStructure], generator: torch.Generator) -> list[GenarrisStructure]:
    """One structure of each space group, groups in random order, then a second of each that has one, and so on."""
    groups = sorted({structure.space_group for structure in structures})
    order = [groups[k] for k in torch.randperm(len(groups), generator=generator).tolist()]
    of_group = {group: [structure for structure in structures if structure.space_group == group] for group in order}
    rounds = max((len(members) for members in of_group.values()), default=0)
    return [of_group[group][turn] for turn in range(rounds) for group in order if turn < len(of_group[group])]

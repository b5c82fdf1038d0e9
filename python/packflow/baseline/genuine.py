"""Which placements have the symmetry of their group and no more."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from packflow.baseline.conformer import Conformer
from packflow.baseline.placements import GroupWays, Placement
from packflow.baseline.point_symmetry import embeddings
from packflow.baseline.tries import Arrangement, all_positions, arrangement, make_tries
from packflow.structure.lattice import lattice_from_cell
from packflow.structure.sites import Sites
from packflow.structure.symmetry import symmetry_of

# Å3 per molecule and tries of the packing that is looked at; it needs not fit
VOLUME, N_TRIES = 1000.0, 8
TOLERANCE = 1e-3


def genuine_placement(ways: GroupWays, conformer: Conformer, generator: torch.Generator) -> Placement | None:
    """A random placement in a group, of those whose packings have no more symmetry than the group.

    A molecule's own symmetry can raise that of a packing: benzene on the axes of Pcc2 with its mirror plane across them makes Pccm.

    Args:
        ways: The group and its choices of sites.
        conformer: The rigid molecule.
        generator: Of the choice.

    Returns:
        The placement, or None if the group has none.
    """
    for number in torch.randperm(len(ways.placements), generator=generator).tolist():
        n_maps = [len(embeddings(site.symmetry[:, :, :3], conformer.symmetry)) for site in ways.placements[number]]
        choice = tuple(int(torch.randint(n, (1,), generator=generator)) for n in n_maps)
        placement = placement_if_genuine(ways, number, choice, conformer)
        if placement is not None:
            return placement
    return None


@lru_cache(maxsize=4096)
def placement_if_genuine(ways: GroupWays, number: int, choice: tuple[int, ...], conformer: Conformer) -> Placement | None:
    """A placement, or None if an example of it, touching or not, has more symmetry than its group.

    Args:
        ways: The group and its choices of sites.
        number: Which choice of sites.
        choice: For each site, which way of `embeddings`.
        conformer: The rigid molecule.
    """
    sites = ways.placements[number]
    maps = [embeddings(site.symmetry[:, :, :3], conformer.symmetry)[k] for site, k in zip(sites, choice, strict=True)]
    placement = Placement(ways.group, sites, tuple(maps))
    if conformer.symmetry.order == 1:
        return placement
    tries, _ = make_tries(placement, conformer, VOLUME * len(placement.operations), N_TRIES, torch.Generator().manual_seed(0))
    return placement if has_symmetry_of_group(placement, conformer, arrangement(tries, 0)) else None


def has_symmetry_of_group(placement: Placement, conformer: Conformer, found: Arrangement) -> bool:
    """Whether spglib finds the very group in a packing, hydrogens included."""
    fractional = all_positions(placement, conformer, found).reshape(-1, 3) @ np.linalg.inv(found.cell)
    lattice = lattice_from_cell(torch.from_numpy(found.cell)).numpy()
    numbers = np.tile(conformer.atomic_numbers, len(placement.operations))
    symmetry = symmetry_of(Sites("packing", numbers, fractional, lattice), TOLERANCE)
    return symmetry is not None and symmetry.number == placement.group.number

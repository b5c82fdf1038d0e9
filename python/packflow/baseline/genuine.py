"""Which placements have the symmetry of their group and no more."""

from __future__ import annotations

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
        sites = ways.placements[number]
        choices = [embeddings(site.symmetry[:, :, :3], conformer.symmetry) for site in sites]
        maps = [of_site[int(torch.randint(len(of_site), (1,), generator=generator))] for of_site in choices]
        placement = Placement(ways.group, sites, tuple(maps))
        if conformer.symmetry.order == 1 or is_genuine(placement, conformer):
            return placement
    return None


def is_genuine(placement: Placement, conformer: Conformer) -> bool:
    """Whether an example, touching or not, has the symmetry of the group and no more."""
    tries, _ = make_tries(placement, conformer, VOLUME * len(placement.operations), N_TRIES, torch.Generator().manual_seed(0))
    return has_symmetry_of_group(placement, conformer, arrangement(tries, 0))


def has_symmetry_of_group(placement: Placement, conformer: Conformer, found: Arrangement) -> bool:
    """Whether spglib finds the very group in a packing, hydrogens included."""
    fractional = all_positions(placement, conformer, found).reshape(-1, 3) @ np.linalg.inv(found.cell)
    lattice = lattice_from_cell(torch.from_numpy(found.cell)).numpy()
    numbers = np.tile(conformer.atomic_numbers, len(placement.operations))
    symmetry = symmetry_of(Sites("packing", numbers, fractional, lattice), TOLERANCE)
    return symmetry is not None and symmetry.number == placement.group.number

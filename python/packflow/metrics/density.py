"""Density of a crystal (paper, eq. 23)."""

import torch
from torch import Tensor

from packflow.elements import ATOMIC_NUMBERS, MASSES
from packflow.structure import CrystalBatch
from packflow.structure.lattice import volume

# g/cm3 of one amu/Å3
GRAM_PER_CM3 = 1.660539
# column of the total hydrogen count among the atom features, which counts up to 4 hydrogens of one atom
HYDROGENS = 5
MASS = torch.zeros(max(ATOMIC_NUMBERS.values()) + 1, dtype=torch.float64)
MASS[list(ATOMIC_NUMBERS.values())] = torch.tensor([MASSES[symbol] for symbol in ATOMIC_NUMBERS], dtype=torch.float64)


def density(crystals: CrystalBatch, hydrogens: bool = True) -> Tensor:
    """Mass of the unit cell over its volume.

    Args:
        crystals: Heavy atoms; the cell is what counts.
        hydrogens: Add the mass of the implicit hydrogens, as in a measured density; False is the paper's number.

    Returns:
        g/cm3; infinite for a cell without volume. [n_crystals] float64
    """
    template = crystals.template
    mass = MASS.to(template.atomic_numbers.device)[template.atomic_numbers]
    if hydrogens:
        mass = mass + MASSES["H"] * template.atom_features[:, HYDROGENS]
    total = torch.zeros(template.n_crystals, dtype=torch.float64, device=mass.device).index_add(0, template.crystal_index, mass)
    return GRAM_PER_CM3 * total / volume(crystals.lattice.double())

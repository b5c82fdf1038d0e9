"""Share of atoms that overlap another (paper, eqs. 25 and 26)."""

import torch
from torch import Tensor

from packflow.elements import ATOMIC_NUMBERS, COVALENT_RADII
from packflow.ops import clash
from packflow.structure import CrystalBatch
from packflow.structure.lattice import cell_from_lattice

# closer than this share of the covalent radii's sum is a clash (paper)
ALPHA = 0.75
RADIUS = torch.zeros(max(ATOMIC_NUMBERS.values()) + 1)
RADIUS[list(ATOMIC_NUMBERS.values())] = torch.tensor([COVALENT_RADII[symbol] for symbol in ATOMIC_NUMBERS])


def clash_percent(crystals: CrystalBatch, scale: float = ALPHA) -> Tensor:
    """Percentage of atoms with a periodic neighbour nearer than `scale` times the sum of covalent radii, bonded pairs included.

    Args:
        crystals: Their cells must have a volume.
        scale: The paper's alpha.

    Returns:
        [n_crystals] float64

    Raises:
        ValueError: a cell has no volume or a position is not finite.
    """
    template = crystals.template
    cell = cell_from_lattice(crystals.lattice)
    radii = RADIUS.to(template.atomic_numbers.device)[template.atomic_numbers]
    in_clash = clash(crystals.positions, cell, template.atom_ptr, radii, scale)
    count = torch.zeros(template.n_crystals, dtype=torch.float64, device=radii.device)
    return 100 * count.index_add(0, template.crystal_index, in_clash.double()) / template.atom_ptr.diff()

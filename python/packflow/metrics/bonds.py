"""Whether bonds have the length of bonds (paper, appendix G.1, eqs. 38 to 40)."""

from __future__ import annotations

import torch
from torch import Tensor

from packflow.metrics.clash import RADIUS
from packflow.metrics.validity import over_good
from packflow.ops import min_image
from packflow.structure import AtomsBatch

# Å, the paper's delta
TOLERANCE = 0.4


def bonds_valid_percent(atoms: AtomsBatch, tolerance: float = TOLERANCE) -> Tensor:
    """Percentage of bonds whose length is that of the covalent radii's sum, within the tolerance (paper, eq. 40).

    Args:
        atoms: Any values. A bond's length is that of its nearest image, the true one also in a skewed cell.
        tolerance: Å, the paper's delta.

    Returns:
        %, 100 for a structure that has no bonds; NaN for one with a problem or unknown bonds. [n_structures] float64
    """

    return over_good(atoms, lambda good: bonds_valid_percent_of_good(good, tolerance))


def bonds_valid_percent_of_good(atoms: AtomsBatch, tolerance: float = TOLERANCE) -> Tensor:
    """As `bonds_valid_percent`, of structures without problems, in float64. [n_structures] float64"""
    if not atoms.has_bonds.any():
        return torch.full((len(atoms),), torch.nan, dtype=torch.float64, device=atoms.cell.device)
    i, j = bonds = atoms.bond_index[:, atoms.bond_index[0] < atoms.bond_index[1]]
    radii = RADIUS.to(i.device)[atoms.atomic_numbers]
    error = (min_image(atoms.positions, atoms.cell, atoms.atom_ptr, bonds) - radii[i] - radii[j]).abs()
    owner = atoms.structure_index[i]
    wrong, count = torch.zeros(2, len(atoms), dtype=torch.float64, device=i.device).unbind(0)
    wrong.index_add_(0, owner, (error > tolerance).double())
    count.index_add_(0, owner, torch.ones_like(error))
    return (100 * (1 - wrong / count.clamp(min=1))).where(atoms.has_bonds, torch.nan)


def bonds_valid(atoms: AtomsBatch, tolerance: float = TOLERANCE) -> Tensor:
    """Whether all bonds of a structure are valid, the filter of the paper's Figure 5.

    Args:
        atoms: Any values.
        tolerance: Å, the paper's delta.

    Returns:
        1 or 0; NaN for a structure with a problem or unknown bonds. [n_structures] float64
    """
    percent = bonds_valid_percent(atoms, tolerance)
    return (percent == 100).double().where(percent.isfinite(), torch.nan)

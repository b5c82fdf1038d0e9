"""Share of atoms that overlap another (paper, eqs. 25 and 26)."""

from __future__ import annotations

import torch
from torch import Tensor

from packflow.elements import COVALENT_RADII
from packflow.metrics.pairs import nearest_of, pair_distances
from packflow.metrics.validity import by_atomic_number, over_good, sum_per_structure
from packflow.ops import clash, neighbors
from packflow.structure import AtomsBatch

# closer than this share of the covalent radii's sum is a clash (paper)
ALPHA = 0.75
RADIUS = by_atomic_number(COVALENT_RADII)


def clash_percent(atoms: AtomsBatch, scale: float = ALPHA, bonded: bool = True) -> Tensor:
    """Percentage of atoms with a periodic neighbor nearer than `scale` times the sum of covalent radii.

    Args:
        atoms: Any values.
        scale: The paper's alpha.
        bonded: Count bonded pairs too, as the paper does: a bond that is too short is then a clash. False leaves out the nearest image
            of each bonded pair, no other image and no pair that shares a bonded atom.

    Returns:
        %; NaN for a structure with a problem and, without bonded pairs, where bonds are unknown. [n_structures] float64

    Raises:
        ValueError: `scale` is no positive number.
    """

    reach = 2 * scale * max(COVALENT_RADII.values())
    return over_good(atoms, lambda good: clash_percent_of_good(good, scale, bonded), reach=reach)


def clash_percent_of_good(atoms: AtomsBatch, scale: float = ALPHA, bonded: bool = True) -> Tensor:
    """As `clash_percent`, of structures without problems, in float64. [n_structures] float64"""
    radii = RADIUS.to(atoms.atomic_numbers.device)[atoms.atomic_numbers]
    if bonded:
        in_clash = clash(atoms.positions, atoms.cell, atoms.atom_ptr, radii, scale)
        return 100 * sum_per_structure(atoms, in_clash) / atoms.sizes
    if not atoms.has_bonds.any():
        return torch.full((len(atoms),), torch.nan, dtype=torch.float64, device=radii.device)
    in_clash = _clash_without_bonds(atoms, radii, scale)
    return (100 * sum_per_structure(atoms, in_clash) / atoms.sizes).where(atoms.has_bonds, torch.nan)


def _clash_without_bonds(atoms: AtomsBatch, radii: Tensor, scale: float) -> Tensor:
    """Atoms in clash with another than the nearest image of one that they are bonded to. [n_atoms] bool"""
    pairs = neighbors(atoms.positions, atoms.cell, atoms.atom_ptr, 2 * scale * float(radii.max()))
    i, j = pairs.pair_index
    distance = pair_distances(atoms, pairs)
    clashing = distance < scale * (radii[i] + radii[j])
    clashing[nearest_of(atoms.bond_index, pairs.pair_index, distance, len(radii))] = False
    in_clash = torch.zeros(len(radii), dtype=torch.bool, device=radii.device)
    in_clash[i[clashing]] = True
    return in_clash

"""Which atoms of a crystal are impossibly close to another."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from packflow.ops._check import check_tensor
from packflow.ops._crystals import Crystals, check_positive


def clash(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    radii: Tensor,  # [n_atoms]
    scale: float = 0.75,
) -> Tensor:
    """Atoms closer to another than `scale` times the sum of their covalent radii (paper, eq. 25 and 26).

    Every periodic image counts, of bonded atoms and of the atom itself as well. Distances are computed in float64.

    Args:
        positions: Cartesian coordinates in Å, wherever in space, float32 or float64. [n_atoms, 3]
        cell: Rows are the lattice vectors in Å, same dtype. [n_crystals, 3, 3]
        atom_ptr: First atom of each crystal, then n_atoms, int32. [n_crystals + 1]
        radii: Covalent radii in Å, same dtype. [n_atoms]
        scale: Share of the sum of two radii below which two atoms clash.

    Returns:
        Whether each atom is in clash, bool. [n_atoms]
    """
    crystals = Crystals.of(positions, cell, atom_ptr)
    check_tensor("radii", radii, (crystals.n_atoms,), positions.dtype, positions.device)
    check_positive("scale", scale)
    smallest, largest = (float(r) for r in radii.aminmax()) if crystals.n_atoms else (0.0, 0.0)
    if not (smallest >= 0 and largest < math.inf):
        raise ValueError(f"radii must be finite and not negative, got values from {smallest} to {largest}")
    crystals.check(2 * scale * largest)
    return _launch(crystals, radii, scale)


def _launch(crystals: Crystals, radii: Tensor, scale: float, instruction_set: str = "") -> Tensor:
    """`instruction_set` is one of `_C.instruction_sets()`, or empty for the fastest."""
    radii = radii.detach().contiguous()
    in_clash = torch.empty(crystals.n_atoms, dtype=torch.bool, device=radii.device)
    crystals.call("clash", radii, scale, in_clash, instruction_set=instruction_set)
    return in_clash

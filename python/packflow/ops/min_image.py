"""Distances of given pairs of atoms at their nearest images."""

from __future__ import annotations

import torch
from torch import Tensor

from packflow.ops._check import check_tensor
from packflow.ops._crystals import Crystals


def min_image(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    pair_index: Tensor,  # [2, n_pairs]
) -> Tensor:
    """Distance between the atoms of each pair at their nearest images, such as bond lengths (paper, eq. 38).

    The true minimum over all images: equation 38 rounds fractional differences, which finds a longer distance for some pairs of
    a skewed cell. Computed in float64.

    Args:
        positions: Cartesian coordinates in Å, wherever in space, float32 or float64. [n_atoms, 3]
        cell: Rows are the lattice vectors in Å, same dtype. [n_crystals, 3, 3]
        atom_ptr: First atom of each crystal, then n_atoms, int32. [n_crystals + 1]
        pair_index: Two atoms of the same crystal, rows of the packed atom axis, int64. [2, n_pairs]

    Returns:
        Å, same dtype; 0 for an atom and itself. [n_pairs]

    Raises:
        ValueError: an argument, a pair across crystals or, as `packflow.ops.problems` says, a crystal that cannot be searched.
    """
    crystals = Crystals.of(positions, cell, atom_ptr)
    check_tensor("pair_index", pair_index, (2, "n_pairs"), torch.int64, positions.device)
    # Nearest images lie within the cell's own size.
    crystals.check(0.0)
    outside = ((pair_index < 0) | (pair_index >= crystals.n_atoms)).any(0)
    if outside.any():
        i, j = pair_index[:, outside][:, 0].tolist()
        raise ValueError(f"pair_index must be atoms from 0 to {crystals.n_atoms - 1}, got {i} and {j}")
    owner = torch.bucketize(pair_index, crystals.atom_ptr[1:].long(), right=True)
    across = owner[0] != owner[1]
    if across.any():
        (i, j), (one, other) = pair_index[:, across][:, 0].tolist(), owner[:, across][:, 0].tolist()
        raise ValueError(f"pair_index must join atoms of the same crystal, got atom {i} of crystal {one} and atom {j} of crystal {other}")
    return _launch(crystals, pair_index)


def _launch(crystals: Crystals, pair_index: Tensor, instruction_set: str = "") -> Tensor:
    """`instruction_set` is one of `_C.instruction_sets()`, or empty for the fastest."""
    pair_index = pair_index.contiguous()
    n_pairs = pair_index.shape[1]
    distances = torch.empty(n_pairs, dtype=crystals.positions.dtype, device=crystals.positions.device)
    crystals.call("min_image", pair_index, n_pairs, distances, instruction_set=instruction_set)
    return distances

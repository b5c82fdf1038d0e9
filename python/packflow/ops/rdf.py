"""Histogram of the periodic distances of each crystal."""

from __future__ import annotations

import torch
from torch import Tensor

from packflow.ops._crystals import Crystals, check_count, check_positive


def rdf(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    r_max: float = 10.0,
    n_bins: int = 100,
) -> Tensor:
    """Counts of periodic distances by bin (paper, eq. 28, before normalisation).

    Every pair (i, j, image) counts, in both directions and with an atom's own images, whatever the elements. Distances are computed in
    float64; no list of pairs is made.

    Args:
        positions: Cartesian coordinates in Å, wherever in space, float32 or float64. [n_atoms, 3]
        cell: Rows are the lattice vectors in Å, same dtype. [n_crystals, 3, 3]
        atom_ptr: First atom of each crystal, then n_atoms, int32. [n_crystals + 1]
        r_max: End of the last bin, Å; distances of r_max and more do not count.
        n_bins: Bins of equal width from 0 to r_max.

    Returns:
        int64 [n_crystals, n_bins]

    Raises:
        ValueError: an argument or, as `packflow.ops.problems` says, a crystal that cannot be searched; names it.
    """
    crystals = Crystals.of(positions, cell, atom_ptr)
    check_count("n_bins", n_bins)
    crystals.check(check_positive("r_max", r_max))
    return _launch(crystals, float(r_max), n_bins)


def _launch(crystals: Crystals, r_max: float, n_bins: int, instruction_set: str = "") -> Tensor:
    """`instruction_set` is one of `_C.instruction_sets()`, or empty for the fastest."""
    counts = torch.empty(len(crystals.cell), n_bins, dtype=torch.int64, device=crystals.positions.device)
    crystals.call("rdf", r_max, n_bins, counts, instruction_set=instruction_set)
    return counts

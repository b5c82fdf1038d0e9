"""All pairs of atoms within a cutoff, periodic images included."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from packflow.ops._crystals import Crystals, check_positive

# Bytes of one pair in the list: two atoms and three shifts.
PAIR_BYTES = 28


@dataclass(frozen=True)
class NeighborList:
    """Pairs (i, j, S) of atoms of the same crystal, sorted by i, then j, then S in lexicographic order.

    pair_index:  [2, n_pairs] int64, i and j, rows of the packed atom axis.
    cell_shifts: [n_pairs, 3] int32; the distance is |positions[j] - positions[i] + S @ cell|, of the positions as given.
    pair_ptr:    [n_atoms + 1] int64; atom i owns the pairs pair_ptr[i]:pair_ptr[i + 1].
    """

    pair_index: Tensor
    cell_shifts: Tensor
    pair_ptr: Tensor


def neighbors(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    cutoff: float,
    half: bool = False,
    max_bytes: int = 2**32,
) -> NeighborList:
    """All pairs of atoms nearer than the cutoff, in any cell however skewed or small; the set that vesin and ASE give.

    An atom is no neighbour of itself, but its images are. Distances are computed in float64.

    Args:
        positions: Cartesian coordinates in Å, wherever in space, float32 or float64. [n_atoms, 3]
        cell: Rows are the lattice vectors in Å, same dtype. [n_crystals, 3, 3]
        atom_ptr: First atom of each crystal, then n_atoms, int32. [n_crystals + 1]
        cutoff: Å; a pair at exactly this distance is not listed.
        half: List each pair once: with i < j, or i = j and S after (0, 0, 0).
        max_bytes: The list may not be larger.

    Returns:
        The pairs, on the same device.

    Raises:
        ValueError: an argument or, as `packflow.ops.problems` says, a crystal that cannot be searched, or a list of more than
            max_bytes; names it.
    """
    crystals = Crystals.of(positions, cell, atom_ptr)
    crystals.check(check_positive("cutoff", cutoff))
    return _launch(crystals, float(cutoff), half, max_bytes)


def _launch(crystals: Crystals, cutoff: float, half: bool = False, max_bytes: int = 2**32, instruction_set: str = "") -> NeighborList:
    """Count, allocate, write. `instruction_set` is one of `_C.instruction_sets()`, or empty for the fastest."""
    device = crystals.positions.device
    n_neighbors = torch.empty(crystals.n_atoms, dtype=torch.int64, device=device)
    crystals.call("count_neighbors", cutoff, half, n_neighbors, instruction_set=instruction_set)
    pair_ptr = torch.zeros(crystals.n_atoms + 1, dtype=torch.int64, device=device)
    pair_ptr[1:] = n_neighbors.cumsum(0)
    n_pairs = int(pair_ptr[-1])
    if n_pairs * PAIR_BYTES > max_bytes:
        counts = pair_ptr[crystals.atom_ptr.long()].diff()
        worst = int(counts.argmax())
        raise ValueError(
            f"cutoff must give a list of at most {max_bytes} bytes, got {n_pairs * PAIR_BYTES} at {cutoff} Å; "
            f"crystal {worst} alone has {int(counts[worst])} pairs"
        )
    pair_index = torch.empty(2, n_pairs, dtype=torch.int64, device=device)
    cell_shifts = torch.empty(n_pairs, 3, dtype=torch.int32, device=device)
    crystals.call("write_neighbors", cutoff, half, pair_ptr, pair_index, cell_shifts, n_pairs, instruction_set=instruction_set)
    return NeighborList(pair_index, cell_shifts, pair_ptr)

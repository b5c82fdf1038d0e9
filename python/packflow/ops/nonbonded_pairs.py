"""A neighbour list that is kept while atoms move little: found up to the cutoff and a skin, used until it may miss a pair."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from packflow.ops._crystals import check_positive
from packflow.ops.neighbors import neighbors

LARGEST_SKIN = 3.0  # Å
SHIFTS = 1024  # that are told apart along a lattice vector


@dataclass(frozen=True)
class PackedPairs:
    """Pairs (i, j, S) of atoms of the same crystal, eight bytes each.

    pair_ptr: [n_atoms + 1] int64; atom i owns the pairs pair_ptr[i]:pair_ptr[i + 1].
    atom:     [n_pairs] int32, j, rows of the packed atom axis.
    shift:    [n_pairs] int32, S + 512 along a, b and c in ten bits each, that along a lowest.
    """

    pair_ptr: Tensor
    atom: Tensor
    shift: Tensor


@dataclass(frozen=True)
class _Kept:
    """A list, and where the atoms were; cells that are not listed are the unit cube."""

    pairs: PackedPairs
    positions: Tensor
    atom_ptr: Tensor
    inverse_cell: Tensor
    listed: Tensor
    cutoff: float


class NonbondedPairs:
    """Keeps the pairs that `nonbonded` visits: one object for a batch whose atoms move, such as in a relaxation.

    n_builds: how often the list was made.
    """

    def __init__(self, skin: float = 1.0) -> None:
        """`skin` is in Å: a list lasts until an atom has moved by half of it relative to the cell, less where the cell changes."""
        if skin > LARGEST_SKIN:
            raise ValueError(f"skin must be at most {LARGEST_SKIN} Å, got {skin}")
        self.skin = check_positive("skin", skin)
        self.n_builds = 0
        self._kept: _Kept | None = None

    def of(self, positions: Tensor, cell: Tensor, atom_ptr: Tensor, listed: Tensor, cutoff: float) -> PackedPairs:
        """A list of at least all pairs within the cutoff in the `listed` structures [n_structures]; half of them on the CPU."""
        cell = _unit_where_not(listed, cell)
        if self._kept is None or not self._holds(self._kept, positions, cell, atom_ptr, listed, cutoff):
            pairs = find_pairs(positions, cell, atom_ptr, listed, cutoff + self.skin)
            self._kept = _Kept(pairs, positions.detach().clone(), atom_ptr.clone(), torch.linalg.inv(cell), listed.clone(), cutoff)
            self.n_builds += 1
        return self._kept.pairs

    def _holds(self, kept: _Kept, positions: Tensor, cell: Tensor, atom_ptr: Tensor, listed: Tensor, cutoff: float) -> bool:
        """Whether the list still has every pair.

        With F the deformation of the cell since and u the largest movement of an atom besides, a pair at d now was at most
        |F^-1| (d + 2 u) apart. F^-1 - 1 stretches by no more than its Frobenius norm.
        """
        if kept.cutoff != cutoff or kept.positions.device != positions.device or not torch.equal(kept.atom_ptr, atom_ptr):
            return False
        if bool((listed & ~kept.listed).any()):
            return False
        deformation = kept.inverse_cell @ _unit_where_not(kept.listed, cell)
        deformation = torch.where(listed[:, None, None], deformation, torch.eye(3, dtype=cell.dtype, device=cell.device))
        counts = atom_ptr.diff().long()
        owner = torch.repeat_interleave(torch.arange(len(cell), device=cell.device), counts)
        movement = (positions - torch.einsum("ni,nij->nj", kept.positions, deformation[owner])).norm(dim=1)
        farthest = torch.zeros_like(cell[:, 0, 0]).scatter_reduce(0, owner, movement, "amax")
        identity = torch.eye(3, dtype=cell.dtype, device=cell.device)
        stretch = 1 + (torch.linalg.inv(deformation) - identity).flatten(1).norm(dim=1)
        safe = stretch * (cutoff + 2 * farthest) <= cutoff + self.skin
        return bool((safe | ~listed).all())


def find_pairs(positions: Tensor, cell: Tensor, atom_ptr: Tensor, listed: Tensor, cutoff: float) -> PackedPairs:
    """Pairs of the listed structures alone, in the numbering of the batch; half of them on the CPU, where forces go to both atoms."""
    half = not positions.is_cuda
    if bool(listed.all()):
        found = neighbors(positions, cell, atom_ptr, cutoff, half)
        return PackedPairs(found.pair_ptr, found.pair_index[1].int(), _packed(found.cell_shifts))
    counts = atom_ptr.diff().long()
    rows = listed.repeat_interleave(counts).nonzero().squeeze(1)
    part_ptr = torch.zeros(int(listed.sum()) + 1, dtype=torch.int32, device=positions.device)
    part_ptr[1:] = counts[listed].cumsum(0)
    part = neighbors(positions[rows], cell[listed], part_ptr, cutoff, half)
    n_pairs = torch.zeros(len(positions) + 1, dtype=torch.int64, device=positions.device)
    n_pairs[rows + 1] = part.pair_ptr.diff()
    return PackedPairs(n_pairs.cumsum(0), rows.int()[part.pair_index[1]], _packed(part.cell_shifts))


def _packed(shifts: Tensor) -> Tensor:
    """Three shifts of at most 511 in one number. [n_pairs]"""
    return (
        torch.add(shifts[:, 0], shifts[:, 1], alpha=SHIFTS).add_(shifts[:, 2], alpha=SHIFTS**2).add_(SHIFTS // 2 * (1 + SHIFTS + SHIFTS**2))
    )


def _unit_where_not(listed: Tensor, cell: Tensor) -> Tensor:
    """Cells of structures that are not listed may be anything: they become the unit cube."""
    return torch.where(listed[:, None, None], cell.detach(), torch.eye(3, dtype=cell.dtype, device=cell.device))

"""A neighbour list that is kept while atoms move little: found up to the cutoff and a skin, used until it may miss a pair."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from packflow.ops._crystals import check_positive
from packflow.ops.neighbors import NeighborList, neighbors

LARGEST_SKIN = 3.0  # Å


@dataclass(frozen=True)
class _Kept:
    """A list, and where the atoms were; cells that are not listed are the unit cube."""

    pairs: NeighborList
    positions: Tensor
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

    def of(self, positions: Tensor, cell: Tensor, atom_ptr: Tensor, listed: Tensor, cutoff: float) -> NeighborList:
        """A list of at least all pairs within the cutoff in the `listed` structures [n_structures]; half of them on the CPU."""
        cell = _unit_where_not(listed, cell)
        if self._kept is None or not self._holds(self._kept, positions, cell, atom_ptr, listed, cutoff):
            pairs = find_pairs(positions, cell, atom_ptr, listed, cutoff + self.skin)
            self._kept = _Kept(pairs, positions.detach().clone(), torch.linalg.inv(cell), listed.clone(), cutoff)
            self.n_builds += 1
        return self._kept.pairs

    def _holds(self, kept: _Kept, positions: Tensor, cell: Tensor, atom_ptr: Tensor, listed: Tensor, cutoff: float) -> bool:
        """Whether the list still has every pair.

        With F the deformation of the cell since and u the largest movement of an atom besides, a pair at d now was at most
        |F^-1| (d + 2 u) apart. F^-1 - 1 stretches by no more than its Frobenius norm.
        """
        same_batch = len(kept.positions) == len(positions) and len(kept.listed) == len(listed) and kept.cutoff == cutoff
        if not same_batch or kept.positions.device != positions.device or bool((listed & ~kept.listed).any()):
            return False
        deformation = kept.inverse_cell @ _unit_where_not(kept.listed, cell)
        deformation = torch.where(listed[:, None, None], deformation, torch.eye(3, dtype=cell.dtype, device=cell.device))
        counts = atom_ptr.diff().long()
        of_atoms = deformation.repeat_interleave(counts, dim=0)
        movement = (positions - torch.einsum("ni,nij->nj", kept.positions, of_atoms)).norm(dim=1)
        farthest = torch.segment_reduce(movement, "max", lengths=counts, initial=0.0)
        identity = torch.eye(3, dtype=cell.dtype, device=cell.device)
        stretch = 1 + (torch.linalg.inv(deformation) - identity).flatten(1).norm(dim=1)
        safe = stretch * (cutoff + 2 * farthest) <= cutoff + self.skin
        return bool((safe | ~listed).all())


def find_pairs(positions: Tensor, cell: Tensor, atom_ptr: Tensor, listed: Tensor, cutoff: float) -> NeighborList:
    """Pairs of the listed structures alone, in the numbering of the batch; half of them on the CPU, where forces go to both atoms."""
    half = not positions.is_cuda
    if bool(listed.all()):
        return neighbors(positions, cell, atom_ptr, cutoff, half)
    counts = atom_ptr.diff().long()
    rows = listed.repeat_interleave(counts).nonzero().squeeze(1)
    part_ptr = torch.zeros(int(listed.sum()) + 1, dtype=torch.int32, device=positions.device)
    part_ptr[1:] = counts[listed].cumsum(0)
    part = neighbors(positions[rows], cell[listed], part_ptr, cutoff, half)
    n_pairs = torch.zeros(len(positions) + 1, dtype=torch.int64, device=positions.device)
    n_pairs[rows + 1] = part.pair_ptr.diff()
    return NeighborList(rows[part.pair_index], part.cell_shifts, n_pairs.cumsum(0))


def _unit_where_not(listed: Tensor, cell: Tensor) -> Tensor:
    """Cells of structures that are not listed may be anything: they become the unit cube."""
    return torch.where(listed[:, None, None], cell.detach(), torch.eye(3, dtype=cell.dtype, device=cell.device))

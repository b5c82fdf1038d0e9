"""Rows of a packed axis."""

from __future__ import annotations

import torch
from torch import Tensor


def atoms_of(structures: Tensor, atom_ptr: Tensor) -> Tensor:
    """Rows of the atom axis that belong to some structures, in their order. [n], [n_structures + 1] -> [n_atoms of them]"""
    sizes = atom_ptr.diff().long()[structures]
    begins = sizes.cumsum(0) - sizes
    new = torch.repeat_interleave(torch.arange(len(structures), device=sizes.device), sizes)
    return torch.arange(len(new), device=sizes.device) - begins[new] + atom_ptr.long()[structures][new]

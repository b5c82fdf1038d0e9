"""A neighbour list that is kept while atoms move little: found up to the cutoff and a skin, used until that may miss a pair."""

from __future__ import annotations

import torch
from torch import Tensor

from packflow.ops._crystals import Crystals, check_positive
from packflow.ops.neighbors import NeighborList, neighbors


class NonbondedPairs:
    """Keeps the pairs that `nonbonded` visits; one object per batch, or per relaxation.

    n_builds: how often the list was made.
    """

    def __init__(self, skin: float = 1.0) -> None:
        """`skin` is in Å: a list lasts until an atom has moved by half of it relative to the cell."""
        self.skin = check_positive("skin", skin)
        self.n_builds = 0

    def of(self, positions: Tensor, cell: Tensor, atom_ptr: Tensor, periodic: Tensor, cutoff: float) -> tuple[NeighborList, Tensor]:
        """A list that holds all pairs within the cutoff, and which structures it covers; as arguments of `nonbonded`."""
        raise NotImplementedError

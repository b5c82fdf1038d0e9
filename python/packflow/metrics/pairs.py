"""Listed pairs of atoms: their distances, and which of their images are the bonds."""

from __future__ import annotations

import torch
from torch import Tensor

from packflow.ops import NeighborList
from packflow.structure import AtomsBatch


def pair_distances(atoms: AtomsBatch, pairs: NeighborList) -> Tensor:
    """Distances of listed pairs in Å. [n_pairs] float64"""
    i, j = pairs.pair_index
    shift = torch.einsum("nk,nkl->nl", pairs.cell_shifts.double(), atoms.cell.double()[atoms.structure_index[i]])
    return (atoms.positions[j].double() - atoms.positions[i].double() + shift).norm(dim=1)


def nearest_of(bonds: Tensor, pair_index: Tensor, distance: Tensor, n_atoms: int) -> Tensor:
    """The nearest listed image of each bonded pair; the first of several that are equally near.

    Args:
        bonds: Both directions of each bond. [2, n_bonds] int64
        pair_index: Listed pairs. [2, n_pairs] int64
        distance: Their distances. [n_pairs]
        n_atoms: Number of atoms that both index.

    Returns:
        Rows of the list; none for a bond without a listed image. [n] int64
    """
    pair = pair_index[0] * n_atoms + pair_index[1]
    rows = torch.isin(pair, bonds[0] * n_atoms + bonds[1]).nonzero()[:, 0]
    # images of a pair come together, nearest first
    rows = rows[distance[rows].argsort(stable=True)]
    rows = rows[pair[rows].argsort(stable=True)]
    first = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    first[1:] = pair[rows][1:] != pair[rows][:-1]
    return rows[first]

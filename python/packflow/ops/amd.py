"""Distances to the k nearest atoms: per atom (PDD) and averaged over the crystal (AMD)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from packflow.ops._crystals import Crystals, check_count


def pdd(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    k: int = 100,
) -> Tensor:
    """Distances from each atom to its k nearest, the rows of the pointwise distance distribution (Widdowson and Kurlin, NeurIPS 2022).

    Images of all atoms count, the atom's own included, whatever the elements. Exact for every k and cell; computed in float64.

    Args:
        positions: Cartesian coordinates in Å, wherever in space, float32 or float64. [n_atoms, 3]
        cell: Rows are the lattice vectors in Å, same dtype. [n_crystals, 3, 3]
        atom_ptr: First atom of each crystal, then n_atoms, int32. [n_crystals + 1]
        k: Number of neighbours.

    Returns:
        Ascending distances in Å, one row per atom in the atoms' order, equal rows not merged; each row weighs 1 / atoms of its
        crystal. Same dtype. [n_atoms, k]

    Raises:
        ValueError: an argument or, as `packflow.ops.problems` says, a crystal that cannot be searched; names it.
    """
    crystals = _check(positions, cell, atom_ptr, k)
    return _launch("pdd", crystals, k)


def amd(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    k: int = 100,
) -> Tensor:
    """Average minimum distances: the mean of `pdd` over the atoms of each crystal (Widdowson et al., MATCH 2022; paper, eq. 27).

    Args:
        positions: Cartesian coordinates in Å, wherever in space, float32 or float64. [n_atoms, 3]
        cell: Rows are the lattice vectors in Å, same dtype. [n_crystals, 3, 3]
        atom_ptr: First atom of each crystal, then n_atoms, int32. [n_crystals + 1]
        k: Number of neighbours.

    Returns:
        Ascending, Å, same dtype; NaN for a crystal without atoms. [n_crystals, k]

    Raises:
        ValueError: an argument or, as `packflow.ops.problems` says, a crystal that cannot be searched; names it.
    """
    crystals = _check(positions, cell, atom_ptr, k)
    return _launch("amd", crystals, k)


def neighbor_radius(
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    k: int,
) -> Tensor:
    """Radius of a ball that holds k atoms where they are evenly spread: how far `amd` and `pdd` search at first.

    Args:
        cell: Rows are the lattice vectors in Å, any values. [n_crystals, 3, 3]
        atom_ptr: First atom of each crystal, then n_atoms, int32. [n_crystals + 1]
        k: Number of neighbours.

    Returns:
        Å, float64; no number where the cell has none. [n_crystals]
    """
    volume = torch.linalg.det(cell.double()).abs() / atom_ptr.diff().clamp(min=1)
    return (3 * k * volume / (4 * math.pi)).pow(1 / 3)


def _check(positions: Tensor, cell: Tensor, atom_ptr: Tensor, k: int) -> Crystals:
    crystals = Crystals.of(positions, cell, atom_ptr)
    check_count("k", k)
    crystals.check(neighbor_radius(crystals.cell, crystals.atom_ptr, k))
    return crystals


def _launch(op: str, crystals: Crystals, k: int, instruction_set: str = "") -> Tensor:
    """`op` is pdd or amd; `instruction_set` is one of `_C.instruction_sets()`, or empty for the fastest."""
    n_rows = crystals.n_atoms if op == "pdd" else len(crystals.cell)
    out = torch.empty(n_rows, k, dtype=crystals.positions.dtype, device=crystals.positions.device)
    workspace = [torch.empty(crystals.n_atoms, k, dtype=torch.float64, device=out.device)] if out.is_cuda else []
    crystals.call(op, k, *workspace, out, instruction_set=instruction_set)
    return out

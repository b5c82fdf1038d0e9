"""Which of many structures are the same crystal."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from packflow.ops import amd, neighbor_radius, problems
from packflow.ops.amd_groups import Confirm, DuplicateGroups, amd_groups
from packflow.rank.same_energy import SameEnergy
from packflow.rank.same_pdd import SamePdd
from packflow.structure import AtomsBatch

# Å; how far the ops are asked about every structure, at least: few need more for their k nearest atoms.
REACH = 10.0


def duplicates(
    atoms: AtomsBatch,
    tolerance: float = 0.01,
    k: int = 100,
    pdd_tolerance: float | None = 0.05,
    priority: Tensor | None = None,
    energies: Tensor | None = None,
    energy_tolerance: float = math.inf,
) -> DuplicateGroups:
    """Group the structures that are the same crystal, whatever their cells, frames and atom orders.

    Two structures are the same if their heavy atoms are in the same proportions, their average minimum distances (AMD) are within
    `tolerance` and their pointwise distance distributions (PDD) within `pdd_tolerance`. Mirror images are the same: distances do not tell
    them apart. How a group forms around its representative is told in `amd_groups`.

    The tolerances come from computed landscapes of four molecules (docs/duplicates.md): every pair with AMD within 0.02 Å and PDD within
    0.05 Å has the same packing, 15 of 15 molecules with an RMSD below 0.04 Å.

    Args:
        atoms: Heavy atoms of the structures, n of them; on the GPU, AMD and PDD are computed there.
        tolerance: Greatest L-infinity distance of AMDs, Å.
        k: Neighbors per atom.
        pdd_tolerance: Greatest earth mover's distance of PDDs, Å, atoms matched within their element; None for AMD alone.
        priority: Lower is better and becomes the representative, an energy say; NaN comes last. By default the densest. [n]
        energies: In any unit, per molecule where numbers of molecules differ: structures further apart than `energy_tolerance` are not the
            same. With it the other tolerances may be wide enough for what is left of soft strains after a relaxation. [n]
        energy_tolerance: In the unit of the energies.

    Returns:
        The groups; a structure that cannot be compared is in none and `problems` says why.

    Raises:
        ValueError: tolerances or k that are no numbers of the right kind, or a priority or energies of another length.
    """
    if pdd_tolerance is not None and not (math.isfinite(pdd_tolerance) and pdd_tolerance >= 0):
        raise ValueError(f"pdd_tolerance must be a number of at least 0 Å or None, got {pdd_tolerance}")
    if energies is not None and energies.shape != (len(atoms),):
        raise ValueError(f"energies must have shape {(len(atoms),)}, got {tuple(energies.shape)}")
    if not energy_tolerance >= 0:
        raise ValueError(f"energy_tolerance must be a number of at least 0, got {energy_tolerance}")
    failed = failures(atoms, k)
    amds = torch.full((len(atoms), k), torch.nan, dtype=torch.float64)
    good = torch.tensor([not problem for problem in failed], dtype=torch.bool)
    comparable = replace(atoms, bond_index=atoms.bond_index[:, :0]).select(good.to(atoms.cell.device))
    amds[good] = amd(comparable.positions, comparable.cell, comparable.atom_ptr, k).double().cpu()
    confirm: Confirm | None = None if pdd_tolerance is None else SamePdd(atoms, k, pdd_tolerance)
    if energies is not None:
        confirm = SameEnergy(energies.double().cpu().numpy(), energy_tolerance, confirm)
    groups = amd_groups(amds, tolerance, compositions(atoms), priority, confirm)
    return replace(groups, problems=tuple(failed))


def failures(atoms: AtomsBatch, k: int) -> list[str]:
    """Why the AMD of each structure cannot be computed; empty where it can."""
    radius = neighbor_radius(atoms.cell, atoms.atom_ptr, k).nan_to_num(REACH, posinf=REACH)
    found = problems(atoms.positions, atoms.cell, atoms.atom_ptr, radius.clamp(min=REACH))
    return ["it must have at least 1 heavy atom, got 0" if not n else f for n, f in zip(atoms.sizes.tolist(), found, strict=True)]


def compositions(atoms: AtomsBatch) -> Tensor:
    """A number per structure, the same where the elements of the heavy atoms are in the same proportions. [n] int64"""
    elements, column = np.unique(atoms.atomic_numbers.cpu().numpy(), return_inverse=True)
    counts = np.zeros((len(atoms), max(1, len(elements))), dtype=np.int64)
    np.add.at(counts, (atoms.structure_index.cpu().numpy(), column), 1)
    common = np.gcd.reduce(counts, axis=1, keepdims=True)
    _, kind = np.unique(counts // np.maximum(common, 1), axis=0, return_inverse=True)
    return torch.from_numpy(kind.reshape(-1).astype(np.int64))

"""Van der Waals and Coulomb energy, forces and stress of packed crystals and of molecules in vacuum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from packflow.ops._check import check_tensor
from packflow.ops.nonbonded_pairs import NonbondedPairs

KCAL_PER_MOL = 4.184 / 96.4853  # eV
COULOMB = 332.0716 * KCAL_PER_MOL  # eV Å / e2, the constant of MMFF94
SHORTEST_CUTOFF = 2.0  # Å
NEUTRAL = 1e-5  # e; a crystal's charge is refused above

# Bits of Nonbonded.problem.
NOT_FINITE, OVERLAP, CHARGED, CANNOT_SEARCH = 1, 2, 4, 8
REASONS = {
    NOT_FINITE: "positions and cell must be finite",
    OVERLAP: "atoms that are not bonded must be at least 0.3 Å apart",
    CHARGED: f"charges of a crystal must add up to zero within {NEUTRAL} e",
    CANNOT_SEARCH: "the cell must have a volume, and be neither too thin nor too large for a search up to the cutoff",
}


@dataclass(frozen=True)
class Nonbonded:
    """Nonbonded energy of each structure and its derivatives, float64; NaN where there is a problem.

    van_der_waals: [n_structures] eV.
    coulomb:       [n_structures] eV.
    forces:        [n_atoms, 3] eV/Å.
    stress:        [n_structures, 3, 3] eV/Å3, dE/d(strain) per volume, symmetric; zero in vacuum.
    problem:       [n_structures] uint8, 0 where there is none, else a sum of the bits NOT_FINITE, OVERLAP, CHARGED, CANNOT_SEARCH.
    """

    van_der_waals: Tensor
    coulomb: Tensor
    forces: Tensor
    stress: Tensor
    problem: Tensor

    @property
    def energy(self) -> Tensor:
        """Both parts together, eV. [n_structures]"""
        return self.van_der_waals + self.coulomb

    def reasons(self) -> list[str]:
        """What is wanted of each structure and was not found; empty for a good one."""
        return ["; ".join(text for bit, text in REASONS.items() if flags & bit) for flags in self.problem.tolist()]


def nonbonded(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_structures, 3, 3]
    atom_ptr: Tensor,  # [n_structures + 1]
    periodic: Tensor,  # [n_structures]
    charges: Tensor,  # [n_atoms]
    types: Tensor,  # [n_atoms]
    radius: Tensor,  # [2, n_types, n_types]
    epsilon: Tensor,  # [2, n_types, n_types]
    molecule: Tensor,  # [n_atoms]
    special_ptr: Tensor,  # [n_atoms + 1]
    special_index: Tensor,  # [n_special]
    special_scale: Tensor,  # [n_special, 2]
    cutoff: float = 10.0,
    pairs: NonbondedPairs | None = None,
    tail: Tensor | None = None,  # [n_structures]
) -> Nonbonded:
    """The nonbonded terms of MMFF94 (Halgren, J. Comput. Chem. 17, 490 and 520, 1996), periodic or in vacuum.

    Van der Waals is buffered 14-7, e (1.07 R / (r + 0.07 R))^7 (1.12 R^7 / (r^7 + 0.12 R^7) - 2); Coulomb is 1 / (r + 0.05 Å). In a
    crystal the former is switched to zero over the last Å before the cutoff, and what that leaves out is added for a uniform density;
    1 / r is summed without end (Ewald, tin-foil boundary), and the buffer's difference from it is switched likewise. In vacuum every
    pair counts. A structure's result does not depend on the rest of the batch; one with a problem is marked, the others go on.

    Args:
        positions: Å, float64; anywhere in space, but molecules whole. [n_atoms, 3]
        cell: Rows are the lattice vectors, Å, float64; ignored in vacuum. [n_structures, 3, 3]
        atom_ptr: First atom of each structure, then n_atoms, int32. [n_structures + 1]
        periodic: Whether a structure is a crystal, bool. [n_structures]
        charges: e, float64; those of a crystal add up to zero. [n_atoms]
        types: Row of each atom in the tables, int32. [n_atoms]
        radius: R of pairs of one molecule, then of pairs of different molecules or images, Å, symmetric, float64. [2, n_types, n_types]
        epsilon: e likewise, eV. [2, n_types, n_types]
        molecule: Which molecule each atom belongs to, numbered over the batch, int32. [n_atoms]
        special_ptr: Where each atom's entries of special_index begin, then n_special, int32. [n_atoms + 1]
        special_index: Atoms of the same molecule whose interaction with it, at the positions as given, is scaled; every pair is listed at
            both of its atoms, int32. [n_special]
        special_scale: Factors on van der Waals and on Coulomb, float64. [n_special, 2]
        cutoff: Å, at least 2.
        pairs: Keeps the neighbour list between calls; without, it is made anew.
        tail: What `nonbonded_tail` gives for these types, tables and cutoff, eV Å3; computed if not given. [n_structures]

    Returns:
        Energy, forces and stress, on the same device.

    Raises:
        ValueError: an argument; names it. Not for coordinates or charges of a structure: see Nonbonded.problem.
    """
    arguments = positions, cell, atom_ptr, periodic, charges, types, radius, epsilon, molecule, special_ptr, special_index, special_scale
    check_arguments(*arguments, cutoff)
    from packflow.ops import reference_nonbonded

    return reference_nonbonded.nonbonded(*arguments, cutoff)


def check_arguments(
    positions: Tensor,
    cell: Tensor,
    atom_ptr: Tensor,
    periodic: Tensor,
    charges: Tensor,
    types: Tensor,
    radius: Tensor,
    epsilon: Tensor,
    molecule: Tensor,
    special_ptr: Tensor,
    special_index: Tensor,
    special_scale: Tensor,
    cutoff: float,
) -> None:
    """Refuse arguments of `nonbonded` that have the wrong shape, type, device or values."""
    n_atoms = check_tensor("positions", positions, ("n_atoms", 3), torch.float64)["n_atoms"]
    device = positions.device
    n_structures = check_tensor("cell", cell, ("n_structures", 3, 3), torch.float64, device)["n_structures"]
    check_tensor("atom_ptr", atom_ptr, (n_structures + 1,), torch.int32, device)
    check_tensor("periodic", periodic, (n_structures,), torch.bool, device)
    check_tensor("charges", charges, (n_atoms,), torch.float64, device)
    check_tensor("types", types, (n_atoms,), torch.int32, device)
    n_types = check_tensor("radius", radius, (2, "n_types", "n_types"), torch.float64, device)["n_types"]
    check_tensor("epsilon", epsilon, (2, n_types, n_types), torch.float64, device)
    check_tensor("molecule", molecule, (n_atoms,), torch.int32, device)
    check_tensor("special_ptr", special_ptr, (n_atoms + 1,), torch.int32, device)
    n_special = check_tensor("special_index", special_index, ("n_special",), torch.int32, device)["n_special"]
    check_tensor("special_scale", special_scale, (n_special, 2), torch.float64, device)
    if not (math.isfinite(cutoff) and cutoff >= SHORTEST_CUTOFF):
        raise ValueError(f"cutoff must be a number of at least {SHORTEST_CUTOFF} Å, got {cutoff}")
    _check_pointers("atom_ptr", atom_ptr, n_atoms)
    _check_pointers("special_ptr", special_ptr, n_special)
    _check_rows("types", types, n_types)
    _check_rows("special_index", special_index, n_atoms)


def _check_pointers(name: str, pointers: Tensor, last: int) -> None:
    if int(pointers[0]) != 0 or int(pointers[-1]) != last or bool((pointers.diff() < 0).any()):
        raise ValueError(f"{name} must rise from 0 to {last} without a step down, got {pointers.tolist()[:20]}")


def _check_rows(name: str, rows: Tensor, n_rows: int) -> None:
    wrong = rows[(rows < 0) | (rows >= n_rows)]
    if len(wrong):
        raise ValueError(f"{name} must be from 0 to {n_rows - 1}, got {int(wrong[0])}")

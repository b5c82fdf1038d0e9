"""Atoms and cell as one set of coordinates that an optimizer moves, as the cell filters of ASE do it.

With F the deformation of the start's cell, cell = start @ F^T, atoms are at x @ F^T, where x are their coordinates in the start's cell:
changing F strains the crystal with all that is in it. The optimizer sees x and, of the cell, N times

    unit_cell  F itself
    frechet    U with F = exp(U): steps of it multiply, and equal steps there and back end where they began

N is the number of atoms (ASE's `cell_factor`); forces on the cell are the virial over N. Steps of atoms and cell are then of one size,
but a small force on the cell is no small stress: see `packflow.relax.relax.RelaxConfig.max_stress_gpa`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from packflow.relax.packed import Axis, atom_rows, rows_times

CellFilter = Literal["fixed", "unit_cell", "frechet"]


@dataclass(frozen=True)
class Coordinates:
    """What an optimizer moves, or forces on it, of a packed batch, float64.

    atoms: [n_atoms, 3], x, Å; forces in eV/Å.
    cell:  [n_structures, 3, 3], N F or N U, without unit; forces in eV. Forces are zero where the cell is fixed.
    """

    atoms: Tensor = atom_rows()
    cell: Tensor

    def plus(self, step: Coordinates) -> Coordinates:
        """Coordinates after a step."""
        return Coordinates(self.atoms + step.atoms, self.cell + step.cell)

    def scaled(self, factor: Tensor, axis: Axis) -> Coordinates:
        """Times a number for each structure. [n_structures]"""
        return Coordinates(self.atoms * factor[axis.owner][:, None], self.cell * factor[:, None, None])

    def dot(self, other: Coordinates, axis: Axis) -> Tensor:
        """Inner product over all coordinates of each structure. [n_structures]"""
        return axis.sum((self.atoms * other.atoms).sum(1)) + (self.cell * other.cell).sum((1, 2))

    def max_norm(self, axis: Axis) -> Tensor:
        """Largest length of a row, of atoms and cell, as ASE compares with fmax. [n_structures]"""
        return torch.maximum(axis.max(self.atoms.norm(dim=1)), self.cell.norm(dim=2).amax(1))


def start(cell_filter: CellFilter, positions: Tensor, cell: Tensor, sizes: Tensor) -> Coordinates:
    """Coordinates of structures where they begin. [n_atoms, 3], [n_structures, 3, 3], [n_structures]"""
    identity = torch.eye(3, dtype=cell.dtype, device=cell.device).expand_as(cell)
    factor = sizes.to(cell.dtype)[:, None, None]
    return Coordinates(positions, torch.zeros_like(cell) if cell_filter == "frechet" else factor * identity)


def deformation(cell_filter: CellFilter, coordinates: Coordinates, sizes: Tensor) -> Tensor:
    """F of each structure. [n_structures, 3, 3]"""
    scaled = coordinates.cell / sizes.to(coordinates.cell.dtype)[:, None, None]
    return torch.linalg.matrix_exp(scaled) if cell_filter == "frechet" else scaled


def geometry(cell_filter: CellFilter, coordinates: Coordinates, start_cell: Tensor, axis: Axis) -> tuple[Tensor, Tensor]:
    """Cartesian positions and cell, Å, of coordinates. start_cell [n_structures, 3, 3] -> [n_atoms, 3], [n_structures, 3, 3]"""
    if cell_filter == "fixed":
        return coordinates.atoms, start_cell
    transposed = deformation(cell_filter, coordinates, axis.sizes).mT
    return rows_times(coordinates.atoms, transposed[axis.owner]), start_cell @ transposed


def generalized_forces(
    cell_filter: CellFilter,
    coordinates: Coordinates,
    cell: Tensor,  # [n_structures, 3, 3]
    forces: Tensor,  # [n_atoms, 3]
    stress: Tensor,  # [n_structures, 3, 3]
    axis: Axis,
) -> Coordinates:
    """Forces on the coordinates, the negative gradient of the energy by them.

    With the virial V = -volume stress: F^T f on an atom; V F^-T / N on N F; on N U its adjoint of the derivative of exp at U,
    read off the exponential of a block matrix (Higham, Functions of Matrices, 2008, eq. 3.16).

    Args:
        cell_filter: Which coordinates.
        coordinates: Where the forces act.
        cell: Å.
        forces: On the atoms, eV/Å.
        stress: eV/Å3.
        axis: Of the batch.
    """
    if cell_filter == "fixed":
        return Coordinates(forces, torch.zeros_like(cell))
    deformed = deformation(cell_filter, coordinates, axis.sizes)
    virial = -torch.linalg.det(cell).abs()[:, None, None] * stress
    on_cell = virial @ torch.linalg.inv(deformed).mT
    factor = axis.sizes.to(cell.dtype)[:, None, None]
    if cell_filter == "frechet":
        transposed = (coordinates.cell / factor).mT
        block = torch.cat([torch.cat([transposed, on_cell], 2), torch.cat([torch.zeros_like(cell), transposed], 2)], 1)
        on_cell = torch.linalg.matrix_exp(block)[:, :3, 3:]
    return Coordinates(rows_times(forces, deformed[axis.owner]), on_cell / factor)

"""Atoms and cell as one set of coordinates that an optimizer moves, as the cell filters of ASE do it.

With F the deformation of the start's cell, cell = start @ F^T, atoms are at x @ F^T, where x are their coordinates in the start's cell:
changing F strains the crystal with all that is in it. The optimizer sees x and, of the cell, N times

    unit_cell  F itself
    frechet    U with F = exp(U): steps of it multiply, and equal steps there and back end where they began

    molecular  as frechet, but a strain moves molecules as they are: an atom is at c @ F^T + x - c, c the mean of its molecule

N is the number of atoms (ASE's `cell_factor`); forces on the cell are the virial over N. A small force on the cell is no small stress: see
`packflow.relax.relax.RelaxConfig.max_stress_gpa`. In the first two every strain stretches bonds, which makes the cell a hundred times
stiffer than it is to molecules that follow; `molecular` separates the two, and has the same minima. Its U is symmetric: turning the cell
is turning the molecules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from packflow.relax.packed import Axis, rows_times

CellFilter = Literal["fixed", "unit_cell", "frechet", "molecular"]


@dataclass(frozen=True)
class Coordinates:
    """What an optimizer moves, or forces on it, of a packed batch, float64.

    atoms: [n_atoms, 3], x, Å; forces in eV/Å.
    cell:  [n_structures, 3, 3], N F or N U, without unit; forces in eV. Forces are zero where the cell is fixed.
    """

    ATOM_ROWS: ClassVar = ("atoms",)

    atoms: Tensor
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


def exponential(matrices: Tensor) -> Tensor:
    """exp of matrices of norms up to about one, by a Taylor series of a sixteenth; the same bits in any batch. [n, m, m]

    `torch.linalg.matrix_exp` takes as many terms as the batch lets it and is off by 1e-10 for strains.
    """
    identity = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device).expand_as(matrices)
    scaled, total = matrices / 16.0, identity
    for k in range(12, 0, -1):
        total = identity + scaled @ total / k
    for _ in range(4):
        total = total @ total
    return total


def start(cell_filter: CellFilter, positions: Tensor, cell: Tensor, sizes: Tensor) -> Coordinates:
    """Coordinates of structures where they begin. [n_atoms, 3], [n_structures, 3, 3], [n_structures]"""
    identity = torch.eye(3, dtype=cell.dtype, device=cell.device).expand_as(cell)
    factor = sizes.to(cell.dtype)[:, None, None]
    return Coordinates(positions, factor * identity if cell_filter == "unit_cell" else torch.zeros_like(cell))


def deformation(cell_filter: CellFilter, coordinates: Coordinates, sizes: Tensor) -> Tensor:
    """F of each structure. [n_structures, 3, 3]"""
    scaled = coordinates.cell / sizes.to(coordinates.cell.dtype)[:, None, None]
    return scaled if cell_filter == "unit_cell" else exponential(scaled)


def geometry(
    cell_filter: CellFilter,
    coordinates: Coordinates,
    start_cell: Tensor,  # [n_structures, 3, 3]
    axis: Axis,
    molecules: Axis,
) -> tuple[Tensor, Tensor]:
    """Cartesian positions [n_atoms, 3] and cell [n_structures, 3, 3], Å, of coordinates.

    Args:
        cell_filter: Which coordinates.
        coordinates: The values.
        start_cell: Where the cells began, Å.
        axis: How atoms of structures lie.
        molecules: How atoms of molecules lie.
    """
    if cell_filter == "fixed":
        return coordinates.atoms, start_cell
    transposed = deformation(cell_filter, coordinates, axis.sizes).mT
    strained = transposed[axis.owner]
    if cell_filter == "molecular":
        center = molecules.mean(coordinates.atoms)[molecules.owner]
        positions = coordinates.atoms - center + rows_times(center, strained)
    else:
        positions = rows_times(coordinates.atoms, strained)
    return positions, start_cell @ transposed


def generalized_forces(
    cell_filter: CellFilter,
    coordinates: Coordinates,
    cell: Tensor,  # [n_structures, 3, 3]
    forces: Tensor,  # [n_atoms, 3]
    stress: Tensor,  # [n_structures, 3, 3]
    axis: Axis,
    molecules: Axis,
) -> Coordinates:
    """Forces on the coordinates, the negative gradient of the energy by them.

    With the virial V = -volume stress: F^T f on an atom; V F^-T / N on N F; on N U its adjoint of the derivative of exp at U,
    read off the exponential of a block matrix (Higham, Functions of Matrices, 2008, eq. 3.16). Of `molecular`, V is less the part
    that strains molecules, the sum of f_i (x_i - c)^T, and only the mean force of a molecule feels F.

    Args:
        cell_filter: Which coordinates.
        coordinates: Where the forces act.
        cell: Å.
        forces: On the atoms, eV/Å.
        stress: eV/Å3.
        axis: How atoms of structures lie.
        molecules: How atoms of molecules lie.
    """
    if cell_filter == "fixed":
        return Coordinates(forces, torch.zeros_like(cell))
    deformed = deformation(cell_filter, coordinates, axis.sizes)
    strained = deformed[axis.owner]
    volume = torch.linalg.det(cell).abs()[:, None, None]
    virial = -volume * stress
    if cell_filter == "molecular":
        mean_force = molecules.mean(forces)[molecules.owner]
        on_atoms = forces - mean_force + rows_times(mean_force, strained)
        arm = coordinates.atoms - molecules.mean(coordinates.atoms)[molecules.owner]
        # nothing strains a molecule in vacuum
        virial = torch.where(volume > 0.0, virial - axis.sum(forces[:, :, None] * arm[:, None, :]), 0.0)
    else:
        on_atoms = rows_times(forces, strained)
    on_cell = virial @ torch.linalg.inv(deformed).mT
    factor = axis.sizes.to(cell.dtype)[:, None, None]
    if cell_filter != "unit_cell":
        transposed = (coordinates.cell / factor).mT
        block = torch.cat([torch.cat([transposed, on_cell], 2), torch.cat([torch.zeros_like(cell), transposed], 2)], 1)
        on_cell = exponential(block)[:, :3, 3:]
    if cell_filter == "molecular":
        on_cell = (on_cell + on_cell.mT) / 2.0
    return Coordinates(on_atoms, on_cell / factor)


def largest_force(cell_filter: CellFilter, pulls: Coordinates, cell: Tensor, forces: Tensor, stress: Tensor, axis: Axis) -> Tensor:
    """What is compared with fmax, eV/Å: of ASE's filters what ASE compares, of `molecular` nearly the same. [n_structures]

    Args:
        cell_filter: Which coordinates.
        pulls: From `generalized_forces`.
        cell, forces, stress: As there.
        axis: How atoms of structures lie.
    """
    if cell_filter != "molecular":
        return pulls.max_norm(axis)
    per_atom = torch.linalg.det(cell).abs() / axis.sizes
    return Coordinates(forces, per_atom[:, None, None] * stress).max_norm(axis)

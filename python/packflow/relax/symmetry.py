"""Relaxation within the space group of the start: forces and stress averaged over the operations, as ASE's FixSymmetry does."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from packflow.relax.packed import Axis, rows_times
from packflow.structure.full import FullStructure, full_numbers


@dataclass(frozen=True)
class Operations:
    """The space group of one structure, in the Cartesian frame of its cell.

    rotations: [n_operations, 3, 3], orthogonal, to the right of row vectors.
    image:     [n_operations, n_atoms] int64, the atom that each atom is moved onto, up to a lattice vector.
    """

    rotations: np.ndarray
    image: np.ndarray


def symmetrized(structure: FullStructure, tolerance: float) -> tuple[FullStructure, Operations]:
    """The structure moved to the exact symmetry that it has within a tolerance, and that symmetry.

    Args:
        structure: As it starts. A molecule in vacuum, or one in which spglib finds nothing, keeps the identity alone.
        tolerance: How far an operation may miss an atom, Å.
    """
    rotations, translations = _space_group(structure, tolerance)
    if structure.cell is None or len(rotations) == 1:
        n_atoms = len(structure.positions)
        return structure, Operations(np.eye(3)[None], np.arange(n_atoms)[None])
    fractional = structure.positions @ np.linalg.inv(structure.cell)
    numbers = full_numbers(structure.template)
    image = np.zeros((len(rotations), len(fractional)), dtype=np.int64)
    average = np.zeros_like(fractional)
    for k, (rotation, translation) in enumerate(zip(rotations, translations, strict=True)):
        moved = fractional @ rotation.T + translation
        apart = moved[:, None] - fractional[None]
        apart -= np.rint(apart)
        distance = np.linalg.norm(apart @ structure.cell, axis=2)
        distance[numbers[:, None] != numbers[None]] = np.inf
        image[k] = distance.argmin(1)
        average[image[k]] += apart[np.arange(len(moved)), image[k]] / len(rotations)
    cell = _symmetric_cell(structure.cell, rotations)
    cartesian = np.linalg.inv(cell) @ rotations.transpose(0, 2, 1) @ cell
    return FullStructure(structure.template, (fractional + average) @ cell, cell), Operations(cartesian, image)


def _space_group(structure: FullStructure, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotations [n, 3, 3] and translations [n, 3] on columns of fractional coordinates; the identity where there are no more."""
    import spglib

    found = None
    if structure.cell is not None:
        fractional = structure.positions @ np.linalg.inv(structure.cell)
        cell = structure.cell.tolist(), fractional.tolist(), full_numbers(structure.template).tolist()
        with warnings.catch_warnings():
            # spglib announces that a later version will raise where this one returns None
            warnings.simplefilter("ignore", DeprecationWarning)
            found = spglib.get_symmetry_dataset(cell, symprec=tolerance)
    if found is None:
        return np.eye(3)[None], np.zeros((1, 3))
    return np.asarray(found.rotations, dtype=np.float64), np.asarray(found.translations)


def _symmetric_cell(cell: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """The cell nearest to the given one whose metric the rotations keep. [3, 3], [n, 3, 3] -> [3, 3]"""
    metric = (rotations.transpose(0, 2, 1) @ (cell @ cell.T) @ rotations).mean(0)
    root = np.linalg.cholesky(metric)
    left, _, right = np.linalg.svd(root.T @ cell)
    return root @ left @ right


class Symmetrizer:
    """Averages over the operations of every structure of a batch."""

    def __init__(self, operations: Sequence[Operations], axis: Axis) -> None:
        """Operations of each structure, and how their atoms lie."""
        device, begins = axis.atom_ptr.device, axis.atom_ptr.tolist()[:-1]

        def tensor(arrays: list[np.ndarray], empty: np.ndarray) -> Tensor:
            return torch.from_numpy(np.concatenate([empty, *arrays])).to(device)

        counts = torch.tensor([len(x.rotations) for x in operations], dtype=torch.int64, device=device)
        first = (counts.cumsum(0) - counts).tolist()
        none = np.zeros(0, dtype=np.int64)
        self.rotations = tensor([x.rotations for x in operations], np.zeros((0, 3, 3)))
        self.structure = torch.repeat_interleave(torch.arange(len(operations), device=device), counts)
        self.weight = 1.0 / counts.double()
        # of every operation and atom: the operation, the atom, and where it is moved to
        numbered = zip(operations, first, strict=True)
        self.operation = tensor([np.repeat(np.arange(len(x.image)) + f, x.image.shape[1]) for x, f in numbered], none)
        placed = list(zip(operations, begins, strict=True))
        self.source = tensor([np.tile(np.arange(x.image.shape[1]) + b, len(x.image)) for x, b in placed], none)
        self.target = tensor([x.image.ravel() + b for x, b in placed], none)
        self.axis = axis

    def forces(self, forces: Tensor) -> Tensor:
        """Averaged forces. [n_atoms, 3] -> [n_atoms, 3]"""
        rotated = rows_times(forces[self.source], self.rotations[self.operation])
        return torch.zeros_like(forces).index_add(0, self.target, rotated) * self.weight[self.axis.owner][:, None]

    def stress(self, stress: Tensor) -> Tensor:
        """Averaged stress. [n_structures, 3, 3] -> [n_structures, 3, 3]"""
        rotated = self.rotations.mT @ stress[self.structure] @ self.rotations
        return torch.zeros_like(stress).index_add(0, self.structure, rotated) * self.weight[:, None, None]

"""Crystal: a template with coordinates and a cell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from packflow.structure.lattice import cell_from_lattice
from packflow.structure.template import Template
from packflow.structure.unwrap import unwrap


@dataclass(frozen=True)
class Crystal:
    """Heavy atoms of one unit cell, molecules whole, the mean of all atoms at the origin.

    template:  graph and number of molecules; gives elements and bonds.
    positions: [n_atoms, 3] float64, Cartesian, Å, in the frame of `cell`.
    lattice:   [6] float64, a, b, c in Å; alpha, beta, gamma in degrees.
    """

    template: Template
    positions: np.ndarray
    lattice: np.ndarray

    def __post_init__(self) -> None:
        """Refuse arrays of another shape than the template's."""
        if self.positions.shape != (self.template.n_atoms, 3):
            raise ValueError(f"positions must have shape {(self.template.n_atoms, 3)}, got {self.positions.shape}")
        if self.lattice.shape != (6,):
            raise ValueError(f"lattice must have shape (6,), got {self.lattice.shape}")

    @cached_property
    def cell(self) -> np.ndarray:
        """Rows are the lattice vectors in Å, c along z (pymatgen's frame). [3, 3]"""
        return cell_from_lattice(torch.from_numpy(self.lattice)).numpy()

    @property
    def fractional(self) -> np.ndarray:
        """Fractional coordinates, not wrapped into the cell. [n_atoms, 3]"""
        return self.positions @ np.linalg.inv(self.cell)

    @classmethod
    def from_fractional(cls, template: Template, fractional: np.ndarray, lattice: np.ndarray) -> Crystal:
        """Unwrap molecules (paper, appendix B), go to the pymatgen frame and centre (appendix C).

        Args:
            template: Its atoms, copy by copy, are those of `fractional`.
            fractional: [n_atoms, 3]
            lattice: a, b, c (Å), alpha, beta, gamma (degrees). [6]
        """
        lattice = np.asarray(lattice, dtype=np.float64)
        cell = cell_from_lattice(torch.from_numpy(lattice)).numpy()
        positions = unwrap(fractional, template.bond_index, cell) @ cell
        return cls(template, positions - positions.mean(0), lattice)

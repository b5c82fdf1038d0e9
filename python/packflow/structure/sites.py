"""Sites: all atoms of a unit cell before anything is known of molecules."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np
import torch

from packflow.elements import SYMBOLS
from packflow.errors import StructureError
from packflow.structure.bonds import PeriodicBonds
from packflow.structure.lattice import cell_from_lattice, lattice_from_cell, min_height

# Å; no cell of a molecular crystal is thinner between opposite faces
MIN_HEIGHT = 1.0
# cells; coordinates beyond have lost the digits that tell where in the cell they are
FARTHEST = 1e6


@dataclass(frozen=True)
class Sites:
    """The full contents of one unit cell, symmetry expanded, hydrogens included where the source has them.

    name:           where the structure comes from.
    atomic_numbers: [n_sites] int64.
    fractional:     [n_sites, 3] float64.
    lattice:        [6] float64, a, b, c in Å; alpha, beta, gamma in degrees.
    smiles:         of the molecule, where the source states it.
    bonds:          between the sites, where the source states them; else the distances tell.
    """

    name: str
    atomic_numbers: np.ndarray
    fractional: np.ndarray
    lattice: np.ndarray
    smiles: str | None = None
    bonds: PeriodicBonds | None = None

    def __post_init__(self) -> None:
        """Refuse coordinates or a cell that are not numbers of a real cell, and elements outside the supported ones."""
        if not len(self.atomic_numbers):
            raise StructureError("no atoms")
        if not np.isfinite(self.fractional).all():
            raise StructureError("missing coordinates", "some atoms have no fractional coordinates")
        if (np.abs(self.fractional) > FARTHEST).any():
            raise StructureError("no valid coordinates", f"fractional coordinates reach {np.abs(self.fractional).max():.3g}")
        if not (np.isfinite(self.lattice).all() and (self.lattice > 0).all() and min_height(torch.from_numpy(self.lattice)) > MIN_HEIGHT):
            raise StructureError("no valid cell", f"lattice parameters are {self.lattice.tolist()}")
        unknown = sorted({int(z) for z in self.atomic_numbers} - set(SYMBOLS))
        if unknown:
            raise StructureError("unsupported element", f"atomic numbers {unknown}")

    @property
    def cell(self) -> np.ndarray:
        """Rows are the lattice vectors in Å, c along z. [3, 3]"""
        return cell_from_lattice(torch.from_numpy(self.lattice)).numpy()

    @property
    def heavy(self) -> np.ndarray:
        """True for every atom but hydrogen. [n_sites]"""
        return self.atomic_numbers > 1

    def niggli(self) -> Sites:
        """The same crystal in the Niggli-reduced cell of its lattice as given (a centred cell stays centred)."""
        vector = gemmi.GruberVector(gemmi.UnitCell(*self.lattice), None, track_change_of_basis=True)
        vector.niggli_reduce()
        # columns of the rotation are the new lattice vectors in the old basis; its determinant is 1
        basis = np.array(vector.change_of_basis.rot).T / gemmi.Op.DEN
        inverse = np.linalg.inv(basis)
        bonds = None
        if self.bonds is not None:
            bonds = PeriodicBonds(self.bonds.index, np.rint(self.bonds.shift @ inverse).astype(np.int64))
        return Sites(
            name=self.name,
            atomic_numbers=self.atomic_numbers,
            fractional=self.fractional @ inverse,
            lattice=lattice_from_cell(torch.from_numpy(basis @ self.cell)).numpy(),
            smiles=self.smiles,
            bonds=bonds,
        )

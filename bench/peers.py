"""How other libraries are called in the benchmarks of the periodic ops: crystals one by one, prepared outside the clock."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import ase
import numpy as np
from cases import Case


@dataclass(frozen=True)
class OneCrystal:
    """One crystal of a case, in double.

    positions: [n_atoms, 3], Å, inside the cell.
    cell:      [3, 3], rows are the lattice vectors, Å.
    radii:     [n_atoms], Å.
    place:     where its atoms lie in the case.
    """

    positions: np.ndarray
    cell: np.ndarray
    radii: np.ndarray
    place: slice

    @property
    def atoms(self) -> ase.Atoms:
        """For ASE and matscipy."""
        return ase.Atoms(numbers=np.ones(len(self.positions)), positions=self.positions, cell=self.cell, pbc=True)


def crystals_of(case: Case) -> list[OneCrystal]:
    """The crystals of a case, atoms moved into the cell."""
    positions, cells, radii = (x.double().numpy() for x in (case.positions, case.cell, case.radii))
    crystals = []
    for (first, last), cell in zip(itertools.pairwise(case.atom_ptr.tolist()), cells, strict=True):
        fractional = positions[first:last] @ np.linalg.inv(cell) % 1.0
        place = slice(first, last)
        crystals.append(OneCrystal(np.ascontiguousarray(fractional @ cell), np.ascontiguousarray(cell), radii[place], place))
    return crystals

"""The space group of the atoms of a cell, by spglib, whatever the source states."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from packflow.structure.sites import Sites

# Å; coordinates of computed structures are listed less exactly than 0.01 Å, and 0.1 Å finds symmetry that is not there
TOLERANCE = 0.05


@dataclass(frozen=True)
class Symmetry:
    """Which symmetry a cell has.

    number:       of the space group type, 1 to 230, the same for all settings (P2_1/c and P2_1/n are 14).
    symbol:       international short symbol in the standard setting.
    n_operations: of the group, counted in the cell as given: that of the point group times the lattice points in the cell.
    """

    number: int
    symbol: str
    n_operations: int

    def z_prime(self, n_copies: int) -> Fraction:
        """Molecules per asymmetric unit: below 1 where they lie on symmetry elements.

        Args:
            n_copies: Molecules in the cell of `n_operations`.
        """
        return Fraction(n_copies, self.n_operations)


def symmetry_of(sites: Sites, tolerance: float = TOLERANCE) -> Symmetry | None:
    """Symmetry of all listed atoms, hydrogens included where the source has them.

    Args:
        sites: Contents of a unit cell, primitive or not.
        tolerance: How far an operation may miss an atom, Å.

    Returns:
        The symmetry, or None where spglib finds none, as with two atoms at one place.
    """
    import spglib

    with warnings.catch_warnings():
        # spglib announces that a later version will raise where this one returns None
        warnings.simplefilter("ignore", DeprecationWarning)
        cell = sites.cell.tolist(), sites.fractional.tolist(), sites.atomic_numbers.tolist()
        found = spglib.get_symmetry_dataset(cell, symprec=tolerance)
        if found is None:
            return None
        # not those of `found`: it leaves out what the shape of a supercell breaks
        operations = spglib.get_symmetry_from_database(found.hall_number)
    assert operations is not None, "spglib knows the group that it found"
    point_group_order = len(np.unique(operations["rotations"], axis=0))
    lattice_points = len(sites.atomic_numbers) // len(np.unique(found.mapping_to_primitive))
    return Symmetry(int(found.number), str(found.international), point_group_order * lattice_points)

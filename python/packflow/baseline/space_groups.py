"""Space groups in their standard settings, by gemmi, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np

# gemmi counts translations in 24ths of a lattice vector
DENOMINATOR = 24
N_GROUPS = 230
IDENTITY = np.eye(3, 4)


@dataclass(frozen=True)
class SpaceGroup:
    """A space group type.

    number:     1 to 230.
    symbol:     Hermann-Mauguin, of the setting that is used: the standard one, R groups with hexagonal axes.
    system:     "triclinic", "monoclinic" (unique axis b), "orthorhombic", "tetragonal", "trigonal", "hexagonal" or "cubic".
    sohncke:    whether it has rotations and screws only, so that one enantiomer can crystallize in it.
    rotations:  [order, 3, 3] int64, W of each operation f -> W f + w, centering translations included, the identity first.
    shifts:     [order, 3] int64, w in 24ths, 0 to 23.
    """

    number: int
    symbol: str
    system: str
    sohncke: bool
    rotations: np.ndarray
    shifts: np.ndarray

    @property
    def order(self) -> int:
        """Number of operations in the unit cell: molecules on general positions."""
        return len(self.rotations)

    def operations(self) -> np.ndarray:
        """W and behind each row the component of w. [order, 3, 4]"""
        return np.concatenate([self.rotations, self.shifts[:, :, None] / DENOMINATOR], axis=2)


@lru_cache(maxsize=N_GROUPS)
def space_group(number: int) -> SpaceGroup:
    """The space group of a number from 1 to 230."""
    group = gemmi.find_spacegroup_by_number(number)
    operations = sorted(group.operations(), key=lambda op: op.triplet() != "x,y,z")
    rotations = np.array([op.rot for op in operations], dtype=np.int64) // DENOMINATOR
    shifts = np.array([op.tran for op in operations], dtype=np.int64) % DENOMINATOR
    return SpaceGroup(number, group.short_name(), group.crystal_system_str(), group.is_sohncke(), rotations, shifts)

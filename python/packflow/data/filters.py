"""What becomes part of a dataset: the filters of the paper's section 4.4.1, each on or off."""

from __future__ import annotations

import math
from dataclasses import dataclass

from packflow.elements import ATOMIC_NUMBERS, SYMBOLS
from packflow.errors import InputError, StructureError
from packflow.structure.sites import Sites
from packflow.structure.symmetry import Symmetry

# The 21 symbols of eq. 31 are 20 types: P2_1/c and P2_1/n are settings of number 14.
PAPER_SPACE_GROUPS = (1, 2, 4, 5, 7, 9, 11, 12, 13, 14, 15, 18, 19, 29, 33, 60, 61, 62, 88, 148)
PAPER_Z_PRIMES = (1, 2, 3, 4, 5)
N_SPACE_GROUPS = 230


@dataclass(frozen=True)
class PrepareConfig:
    """What becomes part of a dataset.

    max_atoms:           heavy atoms per unit cell, at most (paper: 250); 0 for no limit.
    niggli:              take the Niggli-reduced cell, so that one crystal has one cell; else the cell as given.
    fractions:           of the molecules, for training, validation and test.
    seed:                of the split.
    elements:            symbols that may occur, hydrogen included; None for all 14 of the paper, which are all that the model knows.
    space_groups:        numbers of the space groups that are kept; None for all.
    z_primes:            molecules per asymmetric unit that are kept; None for all, those on symmetry elements among them.
    duplicate_tolerance: crystals of one molecule whose AMDs are this close, in Å, are the same: one is kept; 0 keeps all.
    """

    max_atoms: int = 250
    niggli: bool = True
    fractions: tuple[float, float, float] = (0.9, 0.05, 0.05)
    seed: int = 0
    elements: tuple[str, ...] | None = None
    space_groups: tuple[int, ...] | None = None
    z_primes: tuple[int, ...] | None = None
    duplicate_tolerance: float = 0.01

    def __post_init__(self) -> None:
        """Refuse limits that no crystal can meet and fractions that are none."""
        if self.max_atoms < 0:
            raise InputError(f"max_atoms must be at least 1, or 0 for no limit, got {self.max_atoms}")
        unknown = sorted(set(self.elements or ()) - set(ATOMIC_NUMBERS))
        if unknown or self.elements == ():
            raise InputError(f"elements must be some of {' '.join(ATOMIC_NUMBERS)}, got {' '.join(unknown) or 'none'}")
        if self.space_groups is not None and not (self.space_groups and all(1 <= n <= N_SPACE_GROUPS for n in self.space_groups)):
            raise InputError(f"space_groups must be numbers from 1 to {N_SPACE_GROUPS}, got {self.space_groups}")
        if self.z_primes is not None and not (self.z_primes and min(self.z_primes) >= 1):
            raise InputError(f"z_primes must be whole numbers of at least 1, got {self.z_primes}")
        if not (math.isfinite(self.duplicate_tolerance) and self.duplicate_tolerance >= 0):
            raise InputError(f"duplicate_tolerance must be a number of at least 0 Å, got {self.duplicate_tolerance}")
        if len(self.fractions) != 3 or not min(self.fractions) >= 0 or not math.isclose(sum(self.fractions), 1, abs_tol=1e-6):
            raise InputError(f"fractions must be three numbers of at least 0 with sum 1, got {self.fractions}")


DEFAULT = PrepareConfig()


def check_sites(sites: Sites, config: PrepareConfig) -> None:
    """Refuse a cell by what can be seen before molecules are known.

    Raises:
        StructureError: too many heavy atoms, or an element that is not asked for.
    """
    n_heavy = int(sites.heavy.sum())
    if config.max_atoms and n_heavy > config.max_atoms:
        raise StructureError("too large", f"{n_heavy} heavy atoms in the cell, at most {config.max_atoms}")
    if config.elements is not None:
        others = sorted({SYMBOLS[z] for z in sites.atomic_numbers.tolist()} - set(config.elements))
        if others:
            raise StructureError("other element", f"{' '.join(others)}; wanted are {' '.join(config.elements)}")


def check_symmetry(symmetry: Symmetry | None, n_copies: int, config: PrepareConfig) -> None:
    """Refuse a crystal by its space group or the molecules per asymmetric unit.

    Args:
        symmetry: Of the cell; None where it could not be determined.
        n_copies: Molecules in that cell.
        config: What is kept.

    Raises:
        StructureError: a space group or Z' that is not asked for, or none where one is.
    """
    if config.space_groups is None and config.z_primes is None:
        return
    if symmetry is None:
        raise StructureError("no space group", "spglib finds no symmetry of the listed atoms")
    if config.space_groups is not None and symmetry.number not in config.space_groups:
        raise StructureError("other space group", f"{symmetry.symbol} (number {symmetry.number})")
    z_prime = symmetry.z_prime(n_copies)
    if config.z_primes is not None and z_prime not in config.z_primes:
        raise StructureError("other Z'", f"{z_prime}: {n_copies} molecules and {symmetry.n_operations} operations in the cell")

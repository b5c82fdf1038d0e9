"""Template: how many copies of a molecule are in the unit cell, without coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from packflow.errors import InputError
from packflow.structure.molecule import Molecule


@dataclass(frozen=True)
class Template:
    """n_copies of one molecule in a unit cell: the condition of a proposal.

    Atoms are ordered copy by copy, each copy in the order of the molecule.
    """

    molecule: Molecule
    n_copies: int

    def __post_init__(self) -> None:
        """Refuse a cell without molecules."""
        if self.n_copies < 1:
            raise InputError(f"n_copies must be at least 1 molecule per unit cell, got {self.n_copies}")

    @property
    def n_atoms(self) -> int:
        """Number of heavy atoms in the unit cell."""
        return self.n_copies * self.molecule.n_atoms

    @cached_property
    def atomic_numbers(self) -> np.ndarray:
        """[n_atoms] int64."""
        return np.tile(self.molecule.atomic_numbers, self.n_copies)

    @cached_property
    def atom_features(self) -> np.ndarray:
        """[n_atoms, 10] uint8."""
        return np.tile(self.molecule.atom_features, (self.n_copies, 1))

    @cached_property
    def bond_index(self) -> np.ndarray:
        """[2, n_bonds] int64, each bond in both directions, copy by copy."""
        return self._in_copies(self.molecule.bond_index)

    @cached_property
    def bond_features(self) -> np.ndarray:
        """[n_bonds, 2] uint8."""
        return np.tile(self.molecule.bond_features, (self.n_copies, 1))

    @cached_property
    def pair_index(self) -> np.ndarray:
        """[2, n_pairs] int64, atoms of one copy at most three bonds apart, copy by copy."""
        return self._in_copies(self.molecule.pair_index)

    @cached_property
    def pair_features(self) -> np.ndarray:
        """[n_pairs, 3] float32."""
        return np.tile(self.molecule.pair_features, (self.n_copies, 1))

    def _in_copies(self, index: np.ndarray) -> np.ndarray:
        """Edges of the molecule, [2, n_edges], as those of every copy. [2, n_copies * n_edges]"""
        first_atom = np.repeat(np.arange(self.n_copies) * self.molecule.n_atoms, index.shape[1])
        return np.tile(index, (1, self.n_copies)) + first_atom

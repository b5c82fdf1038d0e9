"""Cells with all their atoms along one axis, with what is known of each atom from its molecule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from packflow.ops import neighbors
from packflow.relax.hydrogens_molecule import HydrogenTable, hydrogen_table
from packflow.structure.template import Template

# stands for the bonds between atoms of different molecules
APART = 1_000


@dataclass(frozen=True)
class Pairs:
    """Pairs of atoms within a distance, images included.

    i, j:      [n_pairs] int64.
    vectors:   [n_pairs, 3] from i to that image of j, Å.
    distances: [n_pairs] Å.
    bonds:     [n_pairs] int64, bonds between them; APART in different molecules or images.
    """

    i: np.ndarray
    j: np.ndarray
    vectors: np.ndarray
    distances: np.ndarray
    bonds: np.ndarray

    def select(self, rows: np.ndarray) -> Pairs:
        """Some of the pairs. Indices or bool of each"""
        return Pairs(self.i[rows], self.j[rows], self.vectors[rows], self.distances[rows], self.bonds[rows])


@dataclass(frozen=True)
class HydrogenCells:
    """Atoms of many cells in the order of FullStructure, molecules whole.

    positions: [n_atoms, 3] float64, Å.
    cells:     [n_crystals, 3, 3] float64, rows are the lattice vectors, Å.
    atom_ptr:  [n_crystals + 1] int64; crystal c owns atoms atom_ptr[c]:atom_ptr[c + 1].
    crystal:   [n_atoms] int64, owner of each atom.
    tables:    of the different molecules, n_tables of them.
    table:     [n_copies] int64, the molecule that each copy is.
    copy:      [n_atoms] int64, the copy of a molecule that each atom belongs to.
    start:     [n_copies] int64, first atom of each copy.
    """

    positions: np.ndarray
    cells: np.ndarray
    atom_ptr: np.ndarray
    crystal: np.ndarray
    tables: list[HydrogenTable]
    table: np.ndarray
    copy: np.ndarray
    start: np.ndarray

    @classmethod
    def pack(cls, templates: Sequence[Template], positions: Sequence[np.ndarray], cells: np.ndarray) -> HydrogenCells:
        """Join cells; positions of each [n_full_atoms(template), 3], cells [n_crystals, 3, 3]."""
        names = [template.molecule.smiles for template in templates]
        kinds = {name: kind for kind, name in enumerate(dict.fromkeys(names))}
        tables = [hydrogen_table(name) for name in kinds]
        table = np.repeat([kinds[name] for name in names], [template.n_copies for template in templates])
        sizes = np.array([len(t.numbers) for t in tables])[table]
        atom_ptr = np.cumsum([0, *(len(p) for p in positions)])
        return cls(
            positions=np.concatenate(positions),
            cells=cells,
            atom_ptr=atom_ptr,
            crystal=np.repeat(np.arange(len(positions)), np.diff(atom_ptr)),
            tables=tables,
            table=table,
            copy=np.repeat(np.arange(len(table)), sizes),
            start=np.cumsum(sizes) - sizes,
        )

    def at(self, positions: np.ndarray) -> HydrogenCells:
        """The same atoms elsewhere. [n_atoms, 3]"""
        return replace(self, positions=positions)

    def of_atoms(self, name: str) -> np.ndarray:
        """A column of `HydrogenTable` for each atom; its atoms as rows of the molecule. [n_atoms]"""
        columns = [getattr(t, name) for t in self.tables]
        first = np.cumsum([0, *(len(c) for c in columns)])[:-1]
        return np.concatenate(columns)[first[self.table][self.copy] + self.place]

    @property
    def place(self) -> np.ndarray:
        """Row of each atom in its molecule. [n_atoms]"""
        return np.arange(len(self.positions)) - self.start[self.copy]

    def pairs(self, cutoff: float, half: bool = False, of: np.ndarray | None = None) -> Pairs:
        """Pairs of atoms nearer than the cutoff (Å), each once if half; only those whose i is true in `of` [n_atoms] if given."""
        found = neighbors(
            torch.from_numpy(self.positions), torch.from_numpy(self.cells), torch.from_numpy(self.atom_ptr).int(), cutoff, half
        )
        (i, j), shifts = found.pair_index.numpy(), found.cell_shifts.numpy()
        if of is not None:
            wanted = np.nonzero(of[i])[0]
            i, j, shifts = i[wanted], j[wanted], shifts[wanted]
        moved = (shifts != 0).any(1)
        vectors = self.positions[j] - self.positions[i]
        vectors[moved] += np.einsum("px,pxy->py", shifts[moved], self.cells[self.crystal[i[moved]]])
        return Pairs(i, j, vectors, lengths(vectors), self._bonds_between(i, j, moved))

    def _bonds_between(self, i: np.ndarray, j: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """Bonds between two atoms, APART in different molecules or, `moved`, images. [n_pairs] int64"""
        sizes = np.array([len(t.numbers) for t in self.tables])
        first = np.cumsum(sizes**2) - sizes**2
        within = np.nonzero((self.copy[i] == self.copy[j]) & ~moved)[0]
        kind, place = self.table[self.copy[i[within]]], self.place
        bonds = np.full(len(i), APART, dtype=np.int64)
        flat = np.concatenate([t.separation.reshape(-1) for t in self.tables])
        bonds[within] = flat[first[kind] + place[i[within]] * sizes[kind] + place[j[within]]]
        return bonds


def lengths(vectors: np.ndarray) -> np.ndarray:
    """Euclidean, over the last axis. [..., 3] -> [...]"""
    return np.sqrt(np.einsum("...x,...x->...", vectors, vectors))

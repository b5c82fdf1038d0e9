"""FullBatch: structures with all their atoms, hydrogens included, as potentials see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from rdkit import Chem
from torch import Tensor

from packflow.structure.molecule import heavy_atom_mol
from packflow.structure.packed import atoms_of
from packflow.structure.template import Template


@dataclass(frozen=True)
class FullStructure:
    """One crystal, or a molecule alone, with its hydrogens.

    Atoms are ordered copy by copy; in each copy the heavy atoms in the order of the molecule, then its hydrogens as `full_mol` has them.

    template:  molecule and number of copies.
    positions: [n_atoms, 3] float64, Cartesian, Å; molecules whole.
    cell:      [3, 3] float64, rows are the lattice vectors, Å; none for a molecule in vacuum.
    """

    template: Template
    positions: np.ndarray
    cell: np.ndarray | None

    def __post_init__(self) -> None:
        """Refuse arrays of another shape than the template's."""
        if self.positions.shape != (n_full_atoms(self.template), 3):
            raise ValueError(f"positions must have shape {(n_full_atoms(self.template), 3)}, got {self.positions.shape}")
        if self.cell is not None and self.cell.shape != (3, 3):
            raise ValueError(f"cell must have shape (3, 3), got {self.cell.shape}")


@dataclass(frozen=True)
class FullBatch:
    """Structures of different size with all their atoms along one atom axis; nothing is promised of the values.

    templates:      of each structure; copies of one template should be one object.
    atomic_numbers: [n_atoms] int64, in the order of FullStructure.
    positions:      [n_atoms, 3] float64, Cartesian, Å; molecules whole.
    cell:           [n_structures, 3, 3] float64, rows are the lattice vectors, Å; zeros of a molecule in vacuum.
    atom_ptr:       [n_structures + 1] int32; structure s owns atoms atom_ptr[s]:atom_ptr[s + 1].
    periodic:       [n_structures] bool; False for a molecule in vacuum.
    """

    templates: tuple[Template, ...]
    atomic_numbers: Tensor
    positions: Tensor
    cell: Tensor
    atom_ptr: Tensor
    periodic: Tensor

    def __len__(self) -> int:
        """Number of structures."""
        return len(self.templates)

    @property
    def sizes(self) -> Tensor:
        """Number of atoms of each structure. [n_structures] int64"""
        return self.atom_ptr.diff().long()

    @property
    def structure_index(self) -> Tensor:
        """The structure that each atom belongs to. [n_atoms] int64"""
        return torch.repeat_interleave(torch.arange(len(self), device=self.cell.device), self.sizes, output_size=len(self.positions))

    @classmethod
    def pack(cls, structures: Sequence[FullStructure]) -> FullBatch:
        """Join structures along the atom axis, in their order."""
        sizes = [len(s.positions) for s in structures]
        no_atoms, no_cell = np.zeros((0, 3)), np.zeros((0, 3, 3))
        return cls(
            templates=tuple(s.template for s in structures),
            atomic_numbers=torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *(full_numbers(s.template) for s in structures)])),
            positions=torch.from_numpy(np.concatenate([no_atoms, *(s.positions for s in structures)])),
            cell=torch.from_numpy(
                np.concatenate([no_cell, *(np.zeros((1, 3, 3)) if s.cell is None else s.cell[None] for s in structures)])
            ),
            atom_ptr=torch.tensor(np.cumsum([0, *sizes]), dtype=torch.int32),
            periodic=torch.tensor([s.cell is not None for s in structures], dtype=torch.bool),
        )

    def split(self) -> list[FullStructure]:
        """The structures one by one, on the CPU."""
        parts = self.positions.detach().cpu().double().split(self.sizes.tolist())
        cells = self.cell.detach().cpu().double().numpy()
        rows = zip(self.templates, parts, cells, self.periodic.tolist(), strict=True)
        return [FullStructure(template, part.numpy(), cell if periodic else None) for template, part, cell, periodic in rows]

    def select(self, structures: Tensor) -> FullBatch:
        """Some of the structures, in the given order, repeats allowed. [n] int64, or bool of each structure"""
        if structures.dtype == torch.bool:
            structures = structures.nonzero()[:, 0]
        sizes = self.sizes[structures]
        atom_ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        atoms = atoms_of(structures, self.atom_ptr)
        return FullBatch(
            templates=tuple(self.templates[s] for s in structures.tolist()),
            atomic_numbers=self.atomic_numbers[atoms],
            positions=self.positions[atoms],
            cell=self.cell[structures],
            atom_ptr=atom_ptr.int(),
            periodic=self.periodic[structures],
        )

    def at(self, positions: Tensor, cell: Tensor) -> FullBatch:
        """The same structures elsewhere. [n_atoms, 3], [n_structures, 3, 3]"""
        return replace(self, positions=positions, cell=cell)

    def to(self, device: torch.device | str) -> FullBatch:
        """The same batch on another device."""
        names = ("atomic_numbers", "positions", "cell", "atom_ptr", "periodic")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


@lru_cache(maxsize=1024)
def full_mol(smiles: str) -> Chem.Mol:
    """RDKit molecule of a SMILES with its hydrogens as atoms behind the heavy ones, which are in SMILES order; not to be changed.

    Raises:
        InputError: as `Molecule.from_smiles`.
    """
    return Chem.AddHs(heavy_atom_mol(smiles))


def full_numbers(template: Template) -> np.ndarray:
    """Atomic numbers in the order of FullStructure. [n_full_atoms(template)] int64"""
    of_molecule = np.array([atom.GetAtomicNum() for atom in full_mol(template.molecule.smiles).GetAtoms()], dtype=np.int64)
    return np.tile(of_molecule, template.n_copies)


def n_full_atoms(template: Template) -> int:
    """Number of atoms in the unit cell with hydrogens."""
    return template.n_copies * int(full_mol(template.molecule.smiles).GetNumAtoms())

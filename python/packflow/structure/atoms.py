"""AtomsBatch: atoms and cells of many structures, whatever is known of their molecules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from packflow.structure.batch import CrystalBatch
from packflow.structure.crystal import Crystal
from packflow.structure.lattice import cell_from_lattice
from packflow.structure.packed import atoms_of

# column of the total hydrogen count among the atom features, which counts up to 4 hydrogens of one atom
HYDROGENS = 5


@dataclass(frozen=True)
class AtomsBatch:
    """Periodic structures of different size along one atom axis: what metrics and duplicate search look at.

    Nothing is promised of the values: a structure may have a flat cell or coordinates that are not numbers.

    atomic_numbers: [n_atoms] int64; heavy atoms.
    positions:      [n_atoms, 3] float32 or float64, Cartesian, Å, wherever in space.
    cell:           [n_structures, 3, 3], same dtype, rows are the lattice vectors, Å.
    atom_ptr:       [n_structures + 1] int32; structure s owns atoms atom_ptr[s]:atom_ptr[s + 1].
    bond_index:     [2, n_bonds] int64, each bond in both directions, rows of the packed atom axis; of structures with `has_bonds`.
    has_bonds:      [n_structures] bool, whether the bonds of a structure are known.
    n_hydrogens:    [n_atoms] int64, hydrogens bound to each atom that are not atoms here; 0 where unknown.
    """

    atomic_numbers: Tensor
    positions: Tensor
    cell: Tensor
    atom_ptr: Tensor
    bond_index: Tensor
    has_bonds: Tensor
    n_hydrogens: Tensor

    def __len__(self) -> int:
        """Number of structures."""
        return len(self.cell)

    @property
    def sizes(self) -> Tensor:
        """Number of atoms of each structure. [n_structures] int64"""
        return self.atom_ptr.diff().long()

    @property
    def structure_index(self) -> Tensor:
        """The structure that each atom belongs to. [n_atoms] int64"""
        return torch.repeat_interleave(torch.arange(len(self), device=self.cell.device), self.sizes, output_size=len(self.positions))

    @classmethod
    def from_crystals(cls, crystals: Sequence[Crystal]) -> AtomsBatch:
        """Join crystals along the atom axis, in their order; float64. Impossible lattices give cells of NaN."""
        if not crystals:
            return cls._empty()
        templates = [c.template for c in crystals]
        atom_ptr = np.cumsum([0, *(t.n_atoms for t in templates)])
        bonds = [t.bond_index + first for t, first in zip(templates, atom_ptr[:-1], strict=True)]
        return cls(
            atomic_numbers=torch.from_numpy(np.concatenate([t.atomic_numbers for t in templates])),
            positions=torch.from_numpy(np.concatenate([c.positions for c in crystals])),
            cell=_cell_of(torch.from_numpy(np.stack([c.lattice for c in crystals]))),
            atom_ptr=torch.from_numpy(atom_ptr.astype(np.int32)),
            bond_index=torch.from_numpy(np.concatenate(bonds, axis=1)),
            has_bonds=torch.ones(len(crystals), dtype=torch.bool),
            n_hydrogens=torch.from_numpy(np.concatenate([t.atom_features[:, HYDROGENS] for t in templates]).astype(np.int64)),
        )

    @classmethod
    def from_batch(cls, crystals: CrystalBatch) -> AtomsBatch:
        """The atoms of a batch of crystals, in its precision and on its device. Impossible lattices give cells of NaN."""
        template = crystals.template
        return cls(
            atomic_numbers=template.atomic_numbers,
            positions=crystals.positions,
            cell=_cell_of(crystals.lattice),
            atom_ptr=template.atom_ptr,
            bond_index=template.bond_index,
            has_bonds=torch.ones(template.n_crystals, dtype=torch.bool, device=crystals.cell.device),
            n_hydrogens=template.atom_features[:, HYDROGENS].long(),
        )

    @classmethod
    def join(cls, batches: Sequence[AtomsBatch]) -> AtomsBatch:
        """One batch of several, in their order, float64 if any is."""
        if not batches:
            return cls._empty()
        dtype = torch.float64 if any(b.positions.dtype == torch.float64 for b in batches) else torch.float32
        first_atom = np.cumsum([0, *(len(b.positions) for b in batches)]).tolist()
        sizes = torch.cat([b.atom_ptr.diff() for b in batches])
        return cls(
            atomic_numbers=torch.cat([b.atomic_numbers for b in batches]),
            positions=torch.cat([b.positions.to(dtype) for b in batches]),
            cell=torch.cat([b.cell.to(dtype) for b in batches]),
            atom_ptr=torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]).int(),
            bond_index=torch.cat([b.bond_index + first for b, first in zip(batches, first_atom[:-1], strict=True)], 1),
            has_bonds=torch.cat([b.has_bonds for b in batches]),
            n_hydrogens=torch.cat([b.n_hydrogens for b in batches]),
        )

    @classmethod
    def _empty(cls) -> AtomsBatch:
        integers, numbers = torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.float64)
        pointers, flags = torch.zeros(1, dtype=torch.int32), torch.zeros(0, dtype=torch.bool)
        return cls(integers, numbers.reshape(0, 3), numbers.reshape(0, 3, 3), pointers, integers.reshape(2, 0), flags, integers)

    def select(self, structures: Tensor) -> AtomsBatch:
        """Some of the structures, in the given order, repeats allowed. [n] int64, or bool of each structure"""
        if structures.dtype == torch.bool:
            structures = structures.nonzero()[:, 0]
        sizes = self.sizes[structures]
        atom_ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        atoms = atoms_of(structures, self.atom_ptr)
        return AtomsBatch(
            atomic_numbers=self.atomic_numbers[atoms],
            positions=self.positions[atoms],
            cell=self.cell[structures],
            atom_ptr=atom_ptr.int(),
            bond_index=self._bonds_of(structures, atom_ptr),
            has_bonds=self.has_bonds[structures],
            n_hydrogens=self.n_hydrogens[atoms],
        )

    def _bonds_of(self, structures: Tensor, atom_ptr: Tensor) -> Tensor:
        """Bonds of selected structures, whose atoms begin at `atom_ptr` in the result."""
        owner = torch.bucketize(self.bond_index[0], self.atom_ptr[1:].long(), right=True)
        order = owner.argsort(stable=True)
        counts = torch.bincount(owner, minlength=len(self))
        first = counts.cumsum(0) - counts
        new = torch.repeat_interleave(torch.arange(len(structures), device=counts.device), counts[structures])
        begins = counts[structures].cumsum(0) - counts[structures]
        bonds = order[torch.arange(len(new), device=counts.device) - begins[new] + first[structures][new]]
        return self.bond_index[:, bonds] - self.atom_ptr.long()[structures][new] + atom_ptr[new]

    def to(self, device: torch.device | str) -> AtomsBatch:
        """The same batch on another device."""
        return AtomsBatch(*(getattr(self, f.name).to(device) for f in fields(self)))


def _cell_of(lattice: Tensor) -> Tensor:
    """The cell, or NaN where a length is not positive or an angle not between 0 and 180 degrees. [..., 6] -> [..., 3, 3]

    The formula takes such numbers too: a negative length turns a vector round, and what comes is the cell of another lattice.
    """
    possible = (lattice > 0).all(-1) & (lattice[..., 3:] < 180).all(-1)
    return torch.where(possible[..., None, None], cell_from_lattice(lattice), torch.nan)

"""Crystals and templates of different sizes along one atom axis, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from packflow.structure.crystal import Crystal
from packflow.structure.lattice import cell_from_lattice
from packflow.structure.template import Template


@dataclass(frozen=True)
class TemplateBatch:
    """What is known of crystals before their coordinates: the condition of the flow.

    atomic_numbers: [n_atoms] int64.
    atom_features:  [n_atoms, 10] uint8, vocabulary indices (paper, Table 5).
    bond_index:     [2, n_bonds] int64, each bond in both directions, rows of the packed atom axis.
    bond_features:  [n_bonds, 2] uint8, vocabulary indices of that directed edge's bond (paper, Table 6).
    pair_index:     [2, n_pairs] int64, atoms of a molecule at most three bonds apart, in both directions, ascending.
    pair_features:  [n_pairs, 3] float32, bonds apart, smallest and largest distance in Å, see packflow.structure.pairs.
    atom_ptr:       [n_crystals + 1] int32; crystal c owns atoms atom_ptr[c]:atom_ptr[c + 1].
    n_copies:       [n_crystals] int64; a crystal's atoms are n_copies equal blocks, one per molecule.
    """

    atomic_numbers: Tensor
    atom_features: Tensor
    bond_index: Tensor
    bond_features: Tensor
    pair_index: Tensor
    pair_features: Tensor
    atom_ptr: Tensor
    n_copies: Tensor

    @property
    def n_crystals(self) -> int:
        """Number of crystals in the batch."""
        return len(self.atom_ptr) - 1

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all crystals together."""
        return len(self.atomic_numbers)

    @property
    def sizes(self) -> list[int]:
        """Number of atoms of each crystal."""
        return self.atom_ptr.diff().tolist()

    @property
    def crystal_index(self) -> Tensor:
        """The crystal that each atom belongs to. [n_atoms] int64."""
        counts = self.atom_ptr.diff().long()
        return torch.repeat_interleave(torch.arange(self.n_crystals, device=counts.device), counts, output_size=self.n_atoms)

    @classmethod
    def pack(cls, templates: Sequence[Template]) -> TemplateBatch:
        """Join templates along the atom axis, in their order."""
        atom_ptr = np.cumsum([0, *(t.n_atoms for t in templates)])
        bonds = [t.bond_index + first for t, first in zip(templates, atom_ptr[:-1], strict=True)]
        pairs = [t.pair_index + first for t, first in zip(templates, atom_ptr[:-1], strict=True)]
        return cls(
            atomic_numbers=torch.from_numpy(np.concatenate([t.atomic_numbers for t in templates])),
            atom_features=torch.from_numpy(np.concatenate([t.atom_features for t in templates])),
            bond_index=torch.from_numpy(np.concatenate(bonds, axis=1)),
            bond_features=torch.from_numpy(np.concatenate([t.bond_features for t in templates])),
            pair_index=torch.from_numpy(np.concatenate(pairs, axis=1)),
            pair_features=torch.from_numpy(np.concatenate([t.pair_features for t in templates])),
            atom_ptr=torch.from_numpy(atom_ptr.astype(np.int32)),
            n_copies=torch.tensor([t.n_copies for t in templates]),
        )

    def to(self, device: torch.device | str) -> TemplateBatch:
        """The same batch on another device."""
        return TemplateBatch(*(getattr(self, f.name).to(device) for f in fields(self)))


@dataclass(frozen=True)
class CrystalBatch:
    """Crystals of different size along one atom axis, without padding.

    template:  their graphs and pointers.
    positions: [n_atoms, 3] float32, Cartesian, Å, molecules whole, centred per crystal.
    lattice:   [n_crystals, 6] float32, a, b, c in Å; alpha, beta, gamma in degrees.
    """

    template: TemplateBatch
    positions: Tensor
    lattice: Tensor

    @property
    def cell(self) -> Tensor:
        """Rows are the lattice vectors in Å, c along z. [n_crystals, 3, 3]"""
        return cell_from_lattice(self.lattice)

    @classmethod
    def pack(cls, crystals: Sequence[Crystal]) -> CrystalBatch:
        """Join crystals along the atom axis, in their order."""
        return cls(
            template=TemplateBatch.pack([c.template for c in crystals]),
            positions=torch.from_numpy(np.concatenate([c.positions for c in crystals]).astype(np.float32)),
            lattice=torch.from_numpy(np.stack([c.lattice for c in crystals]).astype(np.float32)),
        )

    def split(self, templates: Sequence[Template]) -> list[Crystal]:
        """The crystals one by one; `templates` are those that were packed, in the same order."""
        positions = self.positions.double().cpu().split(self.template.sizes)
        lattice = self.lattice.double().cpu()
        return [Crystal(t, x.numpy(), cell.numpy()) for t, x, cell in zip(templates, positions, lattice, strict=True)]

    def to(self, device: torch.device | str) -> CrystalBatch:
        """The same batch on another device."""
        return CrystalBatch(self.template.to(device), self.positions.to(device), self.lattice.to(device))

"""Which atom, molecule and crystal belong together while crystals are cleaned, and the contacts between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from packflow.ops import neighbors
from packflow.relax.clean_centers import Centers
from packflow.relax.clean_wanted import PUSHED_TO, NearPairs, contact_reach, nearest_allowed
from packflow.structure import TemplateBatch

# Å beyond the reach of a push to which pairs are listed, so that a list serves several steps
SKIN = 0.8


@dataclass(frozen=True)
class Layout:
    """What stays while the atoms of a batch move.

    atomic_numbers: [n_atoms] int64.
    atom_ptr:       [n_crystals + 1] int32.
    crystal:        [n_atoms] int64, the crystal of each atom.
    molecule:       [n_atoms] int64, the molecule of each atom, counted through the batch.
    crystal_of:     [n_molecules] int64, the crystal of each molecule.
    near:           distances within molecules.
    centers:        tetrahedral atoms.
    """

    atomic_numbers: Tensor
    atom_ptr: Tensor
    crystal: Tensor
    molecule: Tensor
    crystal_of: Tensor
    near: NearPairs
    centers: Centers

    @classmethod
    def of(cls, template: TemplateBatch, positions: Tensor) -> Layout:
        """That of a batch whose atoms are at `positions` at first. [n_atoms, 3] float64"""
        crystal, copies = template.crystal_index, template.n_copies
        sizes = template.atom_ptr.diff().long()
        within = torch.arange(template.n_atoms, device=crystal.device) - template.atom_ptr[:-1].long()[crystal]
        molecule = (copies.cumsum(0) - copies)[crystal] + within // (sizes // copies).clamp(min=1)[crystal]
        crystal_of = torch.repeat_interleave(torch.arange(len(copies), device=crystal.device), copies)
        shapes = NearPairs.of(template, positions), Centers.of(template, positions)
        return cls(template.atomic_numbers, template.atom_ptr, crystal, molecule, crystal_of, *shapes)

    @property
    def n_crystals(self) -> int:
        """Number of crystals."""
        return len(self.atom_ptr) - 1

    def centroids(self, positions: Tensor) -> Tensor:
        """Mean position of each molecule's atoms. [n_atoms, 3] -> [n_molecules, 3]"""
        total = positions.new_zeros(len(self.crystal_of), 3).index_add_(0, self.molecule, positions)
        return total / torch.bincount(self.molecule, minlength=len(total))[:, None]

    def scaled(self, positions: Tensor, factor: Tensor) -> Tensor:
        """Positions when lattice vectors are multiplied by `factor` [n_crystals] and molecules go along undeformed. [n_atoms, 3]"""
        return positions + self.centroids(positions)[self.molecule] * (factor - 1)[self.crystal, None]

    def centered(self, positions: Tensor) -> Tensor:
        """Positions whose mean over the atoms of each crystal is the origin. [n_atoms, 3]"""
        total = positions.new_zeros(self.n_crystals, 3).index_add_(0, self.crystal, positions)
        return positions - (total / self.atom_ptr.diff().clamp(min=1)[:, None])[self.crystal]

    def select(self, keep: Tensor) -> Layout:
        """Some of the crystals, bool [n_crystals], in their order."""
        atoms, molecules = keep[self.crystal], keep[self.crystal_of]
        of_crystal, of_molecule, of_atom = (mask.long().cumsum(0) - 1 for mask in (keep, molecules, atoms))
        sizes = self.atom_ptr.diff()[keep]
        return Layout(
            atomic_numbers=self.atomic_numbers[atoms],
            atom_ptr=torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]).int(),
            crystal=of_crystal[self.crystal[atoms]],
            molecule=of_molecule[self.molecule[atoms]],
            crystal_of=of_crystal[self.crystal_of[molecules]],
            near=self.near.select(atoms, of_atom),
            centers=self.centers.select(atoms, of_atom),
        )


@dataclass(frozen=True)
class Contacts:
    """Listed pairs of atoms that are not near by their bonds: of two molecules or images, or more than three bonds apart.

    positions: [n_atoms, 3] float64, those of the list.
    cell:      [n_crystals, 3, 3] float64, those of the list.
    i, j:      [n_contacts] int64.
    owner:     [n_contacts] int64, the crystal of each.
    offset:    [n_contacts, 3] float64, Å; the vector is positions[j] - positions[i] + offset, which grows with the cell.
    limit:     [n_contacts] float64, Å, the distance below which they are too near.
    """

    positions: Tensor
    cell: Tensor
    i: Tensor
    j: Tensor
    owner: Tensor
    offset: Tensor
    limit: Tensor

    @classmethod
    def of(cls, layout: Layout, positions: Tensor, cell: Tensor) -> Contacts:
        """All pairs that push each other, and those within a skin of that."""
        pairs = neighbors(positions, cell, layout.atom_ptr, contact_reach(layout.atomic_numbers) + SKIN, half=True)
        i, j = pairs.pair_index
        owner, shifts = layout.crystal[i], pairs.cell_shifts.double()
        offset = sum((shifts[:, k, None] * cell[:, k].index_select(0, owner) for k in range(1, 3)), shifts[:, :1] * cell[owner, 0])
        distance = (positions.index_select(0, j) - positions.index_select(0, i) + offset).norm(dim=1)
        limit = nearest_allowed(layout.atomic_numbers, i, j)
        close = (distance < PUSHED_TO * limit + SKIN).nonzero()[:, 0]
        close = close[~_near_by_bonds(layout, i[close], j[close], offset[close])]
        return cls(positions, cell, *(x.index_select(0, close) for x in (i, j, owner, offset, limit)))

    def serves(self, layout: Layout, positions: Tensor, cell: Tensor) -> bool:
        """Whether no pair can push that is not listed.

        A vector d of the list is s d + u_j - u_i where cells grew by the factor s, never below 1, and atoms moved by u beyond that.
        """
        growth = self.growth(cell)[layout.crystal]
        beyond = (positions - growth[:, None] * self.positions).norm(dim=1)
        return bool((2 * beyond <= SKIN * growth).all())

    def growth(self, cell: Tensor) -> Tensor:
        """Lengths of the lattice vectors over those of the list. [n_crystals, 3, 3] -> [n_crystals]"""
        return cell[:, 0].norm(dim=1) / self.cell[:, 0].norm(dim=1)

    def vectors(self, positions: Tensor, cell: Tensor) -> Tensor:
        """From atom i to atom j of each, Å. [n_contacts, 3]"""
        offset = self.growth(cell)[self.owner, None] * self.offset
        return offset + positions.index_select(0, self.j) - positions.index_select(0, self.i)


def _near_by_bonds(layout: Layout, i: Tensor, j: Tensor, offset: Tensor) -> Tensor:
    """Listed pairs that are at most three bonds apart in one molecule, at one image. [n_pairs] bool"""
    n_atoms = len(layout.crystal)
    known = layout.near.index[0] * n_atoms + layout.near.index[1]
    pair = torch.where((offset == 0).all(1), i * n_atoms + j, -1)
    if not len(known):
        return torch.zeros_like(pair, dtype=torch.bool)
    return known[torch.searchsorted(known, pair).clamp(max=len(known) - 1)] == pair

"""Force field parameters of a packed batch, as the ops take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from packflow.ops import BondedTerms, nonbonded_tail
from packflow.potential.mmff_parameters import MoleculeParameters, packed
from packflow.structure.packed import atoms_of


@dataclass(frozen=True)
class MmffBatch:
    """Parameters of structures along one atom axis; see the arguments of `packflow.ops.nonbonded` and `packflow.ops.bonded`.

    atom_ptr:      [n_structures + 1] int32.
    n_copies:      [n_structures] int64, molecules of each structure.
    charges:       [n_atoms] float64, e.
    types:         [n_atoms] int32, rows of the tables.
    copy:          [n_atoms] int64, which molecule of its structure an atom belongs to.
    special_ptr:   [n_atoms + 1] int32, into the next two.
    special_index: [n_special] int32, rows of the atom axis.
    special_scale: [n_special, 2] float64.
    radius:        [2, n_types, n_types] float64, Å, within a molecule and between molecules.
    epsilon:       [2, n_types, n_types] float64, eV.
    tail:          [n_structures] float64, eV Å3.
    terms:         bonded terms.
    """

    atom_ptr: Tensor
    n_copies: Tensor
    charges: Tensor
    types: Tensor
    copy: Tensor
    special_ptr: Tensor
    special_index: Tensor
    special_scale: Tensor
    radius: Tensor
    epsilon: Tensor
    tail: Tensor
    terms: BondedTerms

    @property
    def molecule(self) -> Tensor:
        """Which molecule an atom belongs to, numbered over the batch. [n_atoms] int32"""
        first = self.n_copies.cumsum(0) - self.n_copies
        return (self.copy + torch.repeat_interleave(first, self.atom_ptr.diff().long(), output_size=len(self.copy))).int()

    def total_charges(self) -> Tensor:
        """Charge of each structure, e. [n_structures]"""
        owner = torch.repeat_interleave(torch.arange(len(self.tail), device=self.charges.device), self.atom_ptr.diff().long())
        return self.charges.new_zeros(len(self.tail)).index_add_(0, owner, self.charges)

    def select(self, structures: Tensor) -> MmffBatch:
        """Parameters of some structures, in the given order, repeats allowed; all tables are kept. [n] int64"""
        atoms = atoms_of(structures, self.atom_ptr)
        sizes = self.atom_ptr.diff().long()[structures]
        atom_ptr = _pointers(sizes)
        entries = atoms_of(atoms, self.special_ptr)
        n_entries = self.special_ptr.diff().long()[atoms]
        moved_by = torch.repeat_interleave(atom_ptr[:-1] - self.atom_ptr.long()[structures], sizes)
        return replace(
            self,
            atom_ptr=atom_ptr.int(),
            n_copies=self.n_copies[structures],
            charges=self.charges[atoms],
            types=self.types[atoms],
            copy=self.copy[atoms],
            special_ptr=_pointers(n_entries).int(),
            special_index=(self.special_index[entries] + torch.repeat_interleave(moved_by, n_entries)).int(),
            special_scale=self.special_scale[entries],
            tail=self.tail[structures],
            terms=self.terms.select(structures, self.atom_ptr),
        )

    def to(self, device: torch.device | str) -> MmffBatch:
        """The same parameters on another device."""
        return MmffBatch(**{name: value.to(device) for name, value in vars(self).items()})


def _pointers(sizes: Tensor) -> Tensor:
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])


@dataclass(frozen=True)
class Scales:
    """Factors on radius and depth of van der Waals pairs of different molecules: one for all, or one for each pair of types."""

    radius: float | np.ndarray
    depth: float | np.ndarray


def pack(molecules: Sequence[MoleculeParameters], n_copies: Sequence[int], scales: Sequence[Scales], cutoff: float) -> MmffBatch:
    """Parameters of one structure per molecule, with so many copies of it.

    Args:
        molecules: Their parameters.
        n_copies: Of each molecule in its structure.
        scales: For the pairs between molecules, of each molecule.
        cutoff: Of van der Waals terms in crystals, Å, for the tail.
    """
    sizes = [len(m.charges) for m in molecules]
    first_atoms = list(accumulate((size * n for size, n in zip(sizes, n_copies, strict=True)), initial=0))
    first_types = list(accumulate((len(m.radius) for m in molecules), initial=0))
    rows = list(zip(molecules, sizes, n_copies, first_atoms, first_types, strict=False))
    special = [special_of(m, n, first) for m, _, n, first, _ in rows]
    counts = np.concatenate([np.zeros(1, np.int64), *(count for count, _, _ in special)])
    radius, epsilon = tables(molecules, scales, first_types)
    tailed = zip(molecules, n_copies, scales, strict=True)
    atom_ptr = torch.tensor(first_atoms, dtype=torch.int32)
    types = torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *(np.tile(m.types + k, n) for m, _, n, _, k in rows)])).int()
    return MmffBatch(
        atom_ptr=atom_ptr,
        n_copies=torch.tensor(list(n_copies), dtype=torch.int64),
        charges=torch.from_numpy(np.concatenate([np.zeros(0), *(np.tile(m.charges, n) for m, _, n, _, _ in rows)])),
        types=types,
        copy=torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *(np.repeat(np.arange(n), size) for _, size, n, _, _ in rows)])),
        special_ptr=torch.from_numpy(counts.cumsum()).int(),
        special_index=torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *(index for _, index, _ in special)])).int(),
        special_scale=torch.from_numpy(np.concatenate([np.zeros((0, 2)), *(share for _, _, share in special)])),
        radius=radius,
        epsilon=epsilon,
        tail=torch.cat([torch.zeros(0, dtype=torch.float64), *(tail_of(m, n, s, cutoff) for m, n, s in tailed)]),
        terms=BondedTerms.join([in_copies(m, n) for m, _, n, _, _ in rows], first_atoms[:-1]),
    )


def special_of(molecule: MoleculeParameters, n_copies: int, first_atom: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Special pairs of all copies at both of their atoms: how many each atom has [n_atoms], the other atoms, and the shares."""
    n_atoms = len(molecule.charges)
    both = np.concatenate([molecule.special_index, molecule.special_index[:, ::-1]])
    order = np.lexsort((both[:, 1], both[:, 0]))
    copies = first_atom + n_atoms * np.arange(n_copies)
    other = (copies[:, None] + both[order, 1]).reshape(-1)
    share = np.tile(np.tile(molecule.special_share, (2, 1))[order], (n_copies, 1))
    return np.tile(np.bincount(both[:, 0], minlength=n_atoms), n_copies), other, share


def tables(molecules: Sequence[MoleculeParameters], scales: Sequence[Scales], first_types: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Radius and depth of all pairs of types, within and between molecules; types of different molecules never meet. [2, n, n] twice"""
    n_types = first_types[-1]
    radius, epsilon = np.ones((2, n_types, n_types)), np.zeros((2, n_types, n_types))
    for m, scale, first in zip(molecules, scales, first_types, strict=False):
        block = slice(first, first + len(m.radius))
        radius[:, block, block] = m.radius, scale.radius * m.radius
        epsilon[:, block, block] = m.depth, scale.depth * m.depth
    return torch.from_numpy(radius), torch.from_numpy(epsilon)


def tail_of(molecule: MoleculeParameters, n_copies: int, scale: Scales, cutoff: float) -> Tensor:
    """The tail of a structure of so many copies; molecule by molecule, since its cost grows with the square of the types. [1]"""
    radius, depth = tables([molecule], [scale], [0, len(molecule.radius)])
    atom_ptr = torch.tensor([0, n_copies * len(molecule.charges)], dtype=torch.int32)
    return nonbonded_tail(atom_ptr, torch.from_numpy(np.tile(molecule.types, n_copies)).int(), radius, depth, cutoff)


def in_copies(molecule: MoleculeParameters, n_copies: int) -> BondedTerms:
    """Bonded terms of a structure of so many copies of a molecule."""
    ends = torch.tensor([0, len(molecule.charges)], dtype=torch.int32)
    terms = molecule.terms.select(torch.zeros(n_copies, dtype=torch.int64), ends)
    by_kind = terms.kind.argsort(stable=True)
    return BondedTerms(terms.kind[by_kind], terms.atoms[by_kind], terms.parameters[by_kind], terms.term_ptr[[0, -1]])


def blank(n_atoms: int) -> MoleculeParameters:
    """Parameters of a molecule that feels nothing, in place of one that has none."""
    return MoleculeParameters(
        model="none",
        charges=np.zeros(n_atoms),
        types=np.zeros(n_atoms, dtype=np.int64),
        radius=np.ones((1, 1)),
        depth=np.zeros((1, 1)),
        special_index=np.zeros((0, 2), dtype=np.int64),
        special_share=np.zeros((0, 2)),
        terms=packed([]),
    )

"""StructureSet: structures as they were read from files, those that could not be read among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from packflow.errors import StructureError
from packflow.structure import AtomsBatch, Template
from packflow.structure.atoms import HYDROGENS
from packflow.structure.bonds import bound_hydrogens, find_bonds
from packflow.structure.recognize import assign
from packflow.structure.sites import Sites

# how the bonds of a structure are known; any other text says why they are not
STATED = "stated"
RECOGNIZED = "recognized"
NO_BONDS = np.zeros((2, 0), dtype=np.int64)


@dataclass(frozen=True)
class StructureSet:
    """Structures in the order of their files; one that cannot be used is present without atoms, with its problem.

    names:    what each is called: stem of the file, with "#" and a block, frame or index where a file holds several.
    molecule: SMILES as the source states it; "" where it does not.
    problem:  why a structure could not be read; "" for the others.
    bonds:    "stated", "recognized", or why the bonds are unknown.
    atoms:    heavy atoms, float64; no atoms and a cell of NaN where there is a problem.
    columns:  what else the source says of each structure (numbers or text); None where it says nothing.
    """

    names: list[str]
    molecule: list[str]
    problem: list[str]
    bonds: list[str]
    atoms: AtomsBatch
    columns: dict[str, list[object]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of structures."""
        return len(self.names)

    @classmethod
    def join(cls, sets: Sequence[StructureSet]) -> StructureSet:
        """One set of several, in their order."""
        columns = {name: None for s in sets for name in s.columns}
        return cls(
            names=[x for s in sets for x in s.names],
            molecule=[x for s in sets for x in s.molecule],
            problem=[x for s in sets for x in s.problem],
            bonds=[x for s in sets for x in s.bonds],
            atoms=AtomsBatch.join([s.atoms for s in sets]),
            columns={name: [x for s in sets for x in s.columns.get(name, [None] * len(s))] for name in columns},
        )

    @classmethod
    def from_entries(cls, entries: Sequence[Entry]) -> StructureSet:
        """The set of structures that were read one by one."""
        columns = {name: None for e in entries for name in e.columns}
        return cls(
            names=[e.name for e in entries],
            molecule=[e.molecule for e in entries],
            problem=[e.problem for e in entries],
            bonds=[e.bonds for e in entries],
            atoms=_pack(entries),
            columns={name: [e.columns.get(name) for e in entries] for name in columns},
        )


@dataclass(frozen=True)
class Entry:
    """One structure of a file; without atoms if it has a problem. Arrays, not tensors: they travel between processes.

    atomic_numbers, n_hydrogens: [n_atoms] int64; positions: [n_atoms, 3]; cell: [3, 3]; bond_index: [2, n_bonds] int64.
    """

    name: str
    molecule: str = ""
    problem: str = ""
    bonds: str = ""
    atomic_numbers: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    positions: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    cell: np.ndarray = field(default_factory=lambda: np.full((3, 3), np.nan))
    bond_index: np.ndarray = field(default_factory=lambda: NO_BONDS)
    n_hydrogens: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    columns: dict[str, object] = field(default_factory=dict)

    @property
    def has_bonds(self) -> bool:
        """Whether the bonds are those of the molecule, not merely short distances."""
        return self.bonds in (STATED, RECOGNIZED)


def entry_of(sites: Sites, stated: Template | None = None, cell: np.ndarray | None = None) -> Entry:
    """Heavy atoms, bonds and hydrogen counts of a unit cell.

    Bonds are never guessed: a prediction's broken bond would be missing from a guess. They are those of `stated`, else those of
    the SMILES if the distances give its connectivity, else unknown.

    Args:
        sites: All atoms; `smiles` of the molecule where known.
        stated: The source says that the heavy atoms, in order, are those of this template.
        cell: Rows are the lattice vectors in the source's own frame, Å; else pymatgen's frame. [3, 3]

    Returns:
        Heavy atoms in the template's order where the bonds are known, else in that of the sites. Hydrogens are counted where
        they are listed, else taken from the template, else 0.

    Raises:
        StructureError: no heavy atoms.
    """
    if not sites.heavy.any():
        raise StructureError("no heavy atoms")
    template, order, how = (stated, np.flatnonzero(sites.heavy), STATED) if stated is not None else _recognized(sites)
    if template is not None and sites.heavy.all():
        n_hydrogens = hydrogens_of(template)
    else:
        n_hydrogens = bound_hydrogens(sites.atomic_numbers, sites.fractional, sites.cell)[order]
    cell = sites.cell if cell is None else cell
    return Entry(
        name=sites.name,
        molecule=sites.smiles or "",
        bonds=how,
        atomic_numbers=sites.atomic_numbers[order],
        positions=sites.fractional[order] @ cell,
        cell=cell,
        bond_index=NO_BONDS if template is None else template.bond_index,
        n_hydrogens=n_hydrogens,
    )


def hydrogens_of(template: Template) -> np.ndarray:
    """Implicit hydrogens of each atom. [n_atoms] int64"""
    return template.atom_features[:, HYDROGENS].astype(np.int64)


def _recognized(sites: Sites) -> tuple[Template | None, np.ndarray, str]:
    """Template and order of the heavy atoms by the SMILES, or None, the order as it is and why."""
    if not sites.smiles:
        return None, np.flatnonzero(sites.heavy), "no SMILES"
    try:
        bonds = find_bonds(sites.atomic_numbers, sites.fractional, sites.cell)
        template, order, _ = assign(sites, bonds, sites.smiles)
    except StructureError as error:
        return None, np.flatnonzero(sites.heavy), error.reason
    return template, order, RECOGNIZED


def _pack(entries: Sequence[Entry]) -> AtomsBatch:
    """Join entries along the atom axis."""
    if not entries:
        return AtomsBatch.join([])
    first = np.cumsum([0, *(len(e.atomic_numbers) for e in entries)])
    bonds = [e.bond_index + begin for e, begin in zip(entries, first[:-1], strict=True)]
    return AtomsBatch(
        atomic_numbers=torch.from_numpy(np.concatenate([e.atomic_numbers for e in entries])),
        positions=torch.from_numpy(np.concatenate([e.positions for e in entries])),
        cell=torch.from_numpy(np.stack([e.cell for e in entries])),
        atom_ptr=torch.from_numpy(first.astype(np.int32)),
        bond_index=torch.from_numpy(np.concatenate(bonds, axis=1)),
        has_bonds=torch.tensor([e.has_bonds for e in entries]),
        n_hydrogens=torch.from_numpy(np.concatenate([e.n_hydrogens for e in entries])),
    )

"""From the atoms of a unit cell to a crystal: which molecules they are, in the molecule's own atom order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds
from rdkit.rdBase import BlockLogs

from packflow.errors import InputError, StructureError
from packflow.structure.bonds import PeriodicBonds, find_bonds, whole_molecules
from packflow.structure.crystal import Crystal
from packflow.structure.molecule import Molecule, heavy_atom_mol
from packflow.structure.sites import Sites
from packflow.structure.template import Template


@dataclass(frozen=True)
class Fragment:
    """One molecule found in a unit cell: its atoms (rows of the sites) and bonds (pairs of places in `atoms`)."""

    atoms: list[int]
    bonds: list[tuple[int, int]]

    def graph(self, atomic_numbers: np.ndarray) -> Chem.Mol:
        """Graph of elements with single bonds and no hydrogens added."""
        return element_graph([int(atomic_numbers[a]) for a in self.atoms], self.bonds)


def element_graph(atomic_numbers: list[int], bonds: list[tuple[int, int]]) -> Chem.Mol:
    """RDKit molecule that knows elements and connectivity only."""
    mol = Chem.RWMol()
    for number in atomic_numbers:
        atom = Chem.Atom(number)
        atom.SetNoImplicit(True)
        mol.AddAtom(atom)
    for i, j in bonds:
        mol.AddBond(i, j, Chem.BondType.SINGLE)
    return mol.GetMol()


@lru_cache(maxsize=4096)
def molecule_of(smiles: str) -> tuple[Molecule, Chem.Mol]:
    """The molecule of a SMILES and its element graph."""
    mol = heavy_atom_mol(smiles)
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()]
    return Molecule.from_smiles(smiles), element_graph([a.GetAtomicNum() for a in mol.GetAtoms()], bonds)


def fragments_of(sites: Sites, bonds: PeriodicBonds, keep: np.ndarray) -> tuple[list[Fragment], np.ndarray]:
    """The molecules made of the sites in `keep` [n_sites], and the cell shifts [n_sites, 3] that make them whole."""
    inside = keep[bonds.index].all(1)
    kept_bonds = PeriodicBonds(bonds.index[inside], bonds.shift[inside])
    molecules, offset = whole_molecules(len(sites.atomic_numbers), kept_bonds)
    partners: dict[int, list[int]] = {}
    for i, j in kept_bonds.index.tolist():
        partners.setdefault(i, []).append(j)
    found = []
    for atoms in molecules:
        if keep[atoms[0]]:
            ordered = sorted(atoms)
            place = {atom: k for k, atom in enumerate(ordered)}
            found.append(Fragment(ordered, [(place[i], place[j]) for i in ordered for j in partners.get(i, [])]))
    return found, offset


def recognize(sites: Sites, smiles: str | None = None) -> Crystal:
    """The crystal of one kind of molecule that the sites hold.

    Args:
        sites: Contents of a unit cell.
        smiles: Of the molecule; else that of the sites; else it is perceived from the hydrogens and distances.

    Raises:
        StructureError: molecules of several kinds, infinite networks, or connectivity that differs from the SMILES'.
    """
    bonds = find_bonds(sites.atomic_numbers, sites.fractional, sites.cell)
    fragments, offset = fragments_of(sites, bonds, sites.heavy)
    smiles = smiles or sites.smiles or perceive_smiles(sites, bonds)
    try:
        molecule, graph = molecule_of(smiles)
    except InputError as error:
        raise StructureError("unusable SMILES", str(error)) from error
    order = np.array([atom for fragment in fragments for atom in match(fragment, sites.atomic_numbers, graph, smiles)])
    whole = (sites.fractional + offset)[order].reshape(len(fragments), molecule.n_atoms, 3)
    wrapped = (whole - np.floor(whole)).reshape(-1, 3)
    return Crystal.from_fractional(Template(molecule, len(fragments)), wrapped, sites.lattice)


def match(fragment: Fragment, atomic_numbers: np.ndarray, graph: Chem.Mol, smiles: str) -> list[int]:
    """Sites of the fragment in the atom order of the SMILES; refuses another connectivity."""
    if len(fragment.atoms) != graph.GetNumAtoms():
        raise StructureError("another molecule", f"{len(fragment.atoms)} heavy atoms in one piece, {graph.GetNumAtoms()} in {smiles}")
    if len(fragment.bonds) != graph.GetNumBonds():
        raise StructureError("another connectivity", f"{len(fragment.bonds)} bonds in one molecule, {graph.GetNumBonds()} in {smiles}")
    places = fragment.graph(atomic_numbers).GetSubstructMatch(graph)
    if not places:
        raise StructureError("another connectivity", f"the bonded atoms are not those of {smiles}")
    return [fragment.atoms[place] for place in places]


def perceive_smiles(sites: Sites, bonds: PeriodicBonds) -> str:
    """SMILES of the molecule from its hydrogens and connectivity, by RDKit.

    Raises:
        StructureError: no hydrogens are listed, or no neutral or zwitterionic bond orders fit.
    """
    if sites.heavy.all():
        raise StructureError("no SMILES", "none is given and without hydrogens it cannot be perceived")
    fragments, offset = fragments_of(sites, bonds, np.ones(len(sites.atomic_numbers), dtype=bool))
    fragment = max(fragments, key=lambda f: len(f.atoms))
    mol = fragment.graph(sites.atomic_numbers)
    conformer = Chem.Conformer(len(fragment.atoms))
    conformer.SetPositions(np.ascontiguousarray((sites.fractional + offset)[fragment.atoms] @ sites.cell))
    mol.AddConformer(conformer)
    candidates = [found for order in atom_orders(mol) if (found := with_bond_orders(Chem.RenumberAtoms(mol, order))) is not None]
    if not candidates:
        raise StructureError("no SMILES", "none is given and RDKit finds no bond orders that fit the hydrogens")
    best = min(candidates, key=lambda m: sum(abs(a.GetFormalCharge()) for a in m.GetAtoms()))
    return Chem.MolToSmiles(Chem.RemoveHs(best))


def atom_orders(mol: Chem.Mol) -> list[list[int]]:
    """Orders of the atoms to try: RDKit's search for bond orders depends on it and can miss nitro groups."""
    given = list(range(mol.GetNumAtoms()))
    heavy_first = sorted(given, key=lambda i: -mol.GetAtomWithIdx(i).GetAtomicNum())
    return [given, given[::-1], heavy_first, heavy_first[::-1]]


def with_bond_orders(mol: Chem.Mol) -> Chem.Mol | None:
    """The neutral molecule with bond orders that fit its hydrogens, or None."""
    with BlockLogs():
        try:
            rdDetermineBonds.DetermineBondOrders(mol, charge=0, maxIterations=2000, embedChiral=False)
        except (ValueError, RuntimeError):
            return None
        return mol

"""Which site of a crystal is which atom of the molecule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rdkit import Chem

from packflow.errors import StructureError
from packflow.structure.bonds import radii_of
from packflow.structure.molecule import BOND_TYPES, HYDROGEN_COUNTS, Molecule, heavy_atom_mol

HYDROGEN_FEATURE = 5
# Å that a bond is shorter than the sum of single-bond radii: single, double, triple, aromatic (mean over organic crystals), other
SHORTENING = np.array([0.0, 0.17, 0.31, 0.12, 0.0])
assert len(SHORTENING) == len(BOND_TYPES) + 1
MAX_MATCHES = 512


@dataclass(frozen=True)
class Fragment:
    """One molecule found in a unit cell.

    atoms:     rows of the sites, ascending.
    bonds:     pairs of places in `atoms`.
    positions: [n_atoms, 3], Å, in one piece.
    hydrogens: [n_atoms], hydrogens bonded to each atom, or None where the source lists none at all.
    """

    atoms: list[int]
    bonds: list[tuple[int, int]]
    positions: np.ndarray
    hydrogens: np.ndarray | None


def element_graph(atomic_numbers: Iterable[int], bonds: Iterable[tuple[int, int]], hydrogens: Sequence[int] | None = None) -> Chem.Mol:
    """RDKit molecule that knows elements and connectivity, and hydrogen counts if given (as isotopes, which a match compares)."""
    mol = Chem.RWMol()
    for place, number in enumerate(atomic_numbers):
        atom = Chem.Atom(int(number))
        atom.SetNoImplicit(True)
        if hydrogens is not None:
            atom.SetIsotope(int(hydrogens[place]) + 1)
        mol.AddAtom(atom)
    for i, j in bonds:
        mol.AddBond(i, j, Chem.BondType.SINGLE)
    return mol.GetMol()


@lru_cache(maxsize=4096)
def molecule_graphs(smiles: str) -> tuple[Molecule, Chem.Mol, Chem.Mol]:
    """The molecule of a SMILES, its element graph, and the same with hydrogen counts."""
    mol = heavy_atom_mol(smiles)
    numbers = [a.GetAtomicNum() for a in mol.GetAtoms()]
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()]
    hydrogens = [a.GetTotalNumHs() for a in mol.GetAtoms()]
    return Molecule.from_smiles(smiles), element_graph(numbers, bonds), element_graph(numbers, bonds, hydrogens)


def match(fragment: Fragment, atomic_numbers: np.ndarray, smiles: str) -> list[int]:
    """Sites of the fragment in the atom order of the SMILES.

    Many molecules fit in more than one way as graphs of elements: the two oxygens of a carboxylic acid, the nitrogens of an
    imidazole. The hydrogens tell them apart, and where none are listed the bond lengths do.

    Args:
        fragment: One connected molecule.
        atomic_numbers: Of all sites. [n_sites]
        smiles: Of the molecule.

    Raises:
        StructureError: the connectivity is another one.
    """
    molecule, graph, graph_with_hydrogens = molecule_graphs(smiles)
    if len(fragment.atoms) != graph.GetNumAtoms():
        raise StructureError("another molecule", f"{len(fragment.atoms)} heavy atoms in one piece, {graph.GetNumAtoms()} in {smiles}")
    if len(fragment.bonds) != graph.GetNumBonds():
        raise StructureError("another connectivity", f"{len(fragment.bonds)} bonds in one molecule, {graph.GetNumBonds()} in {smiles}")
    numbers = atomic_numbers[fragment.atoms]
    if fragment.hydrogens is not None:
        exact = element_graph(numbers, fragment.bonds, fragment.hydrogens.tolist()).GetSubstructMatch(graph_with_hydrogens)
        if exact:
            return [fragment.atoms[place] for place in exact]
    matches = element_graph(numbers, fragment.bonds).GetSubstructMatches(graph, uniquify=False, maxMatches=MAX_MATCHES)
    if not matches:
        raise StructureError("another connectivity", f"the bonded atoms are not those of {smiles}")
    best = min(matches, key=lambda places: misfit(fragment, list(places), molecule))
    return [fragment.atoms[place] for place in best]


def misfit(fragment: Fragment, places: list[int], molecule: Molecule) -> tuple[int, float]:
    """How badly a match fits: wrong hydrogens, then squared deviation of bond lengths from those of the bond types (Å2)."""
    wrong = 0
    if fragment.hydrogens is not None:
        expected = np.minimum(molecule.atom_features[:, HYDROGEN_FEATURE], len(HYDROGEN_COUNTS))
        wrong = int(np.abs(fragment.hydrogens[places] - expected).sum())
    i, j = molecule.bond_index[:, ::2]
    positions, radii = fragment.positions[places], radii_of(molecule.atomic_numbers)
    lengths = np.linalg.norm(positions[i] - positions[j], axis=1)
    expected_lengths = radii[i] + radii[j] - SHORTENING[molecule.bond_features[::2, 0]]
    return wrong, float(((lengths - expected_lengths) ** 2).sum())

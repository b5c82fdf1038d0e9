"""Molecule: a heavy-atom graph with the RDKit features of the paper's appendix I."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from packflow.elements import COVALENT_RADII
from packflow.errors import InputError
from packflow.structure.pairs import near_pairs

# Vocabularies of the paper's appendix I; a value outside maps to the last index. The lists end before that "misc" entry.
N_ATOM_FEATURES = 10
N_BOND_FEATURES = 2
ATOMIC_NUMBERS = range(1, 75)
TOTAL_DEGREES = range(11)
RING_COUNTS = range(3)
IMPLICIT_VALENCES = range(7)
FORMAL_CHARGES = range(-5, 6)
HYDROGEN_COUNTS = range(5)
HYBRIDIZATIONS = ("SP", "SP2", "SP3", "SP3D", "SP3D2")
BOND_TYPES = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")

ATOM_FEATURE_SIZES = (75, 12, 4, 8, 12, 6, 6, 2, 2, 2)
BOND_FEATURE_SIZES = (5, 2)


@dataclass(frozen=True)
class Molecule:
    """Heavy atoms and bonds of one molecule, in the atom order of its SMILES.

    smiles:         the SMILES whose heavy atoms, in order, are the atoms here.
    atomic_numbers: [n_atoms] int64.
    atom_features:  [n_atoms, 10] uint8, vocabulary indices (paper, Table 5).
    bond_index:     [2, n_bonds] int64; edges 2k and 2k + 1 are the two directions of RDKit's bond k.
    bond_features:  [n_bonds, 2] uint8, type and conjugation of that edge's own bond (paper, Table 6).
    pair_index:     [2, n_pairs] int64, atoms at most three bonds apart, in both directions, ascending.
    pair_features:  [n_pairs, 3] float32, bonds apart, smallest and largest distance in Å, see pairs.near_pairs.
    """

    smiles: str
    atomic_numbers: np.ndarray
    atom_features: np.ndarray
    bond_index: np.ndarray
    bond_features: np.ndarray
    pair_index: np.ndarray
    pair_features: np.ndarray

    @property
    def n_atoms(self) -> int:
        """Number of heavy atoms."""
        return len(self.atomic_numbers)

    @classmethod
    def from_smiles(cls, smiles: str) -> Molecule:
        """Read a molecule; hydrogens become implicit.

        Args:
            smiles: SMILES of one molecule, without counter-ions or solvent.

        Raises:
            InputError: the SMILES cannot be parsed, holds several molecules, no heavy atom, or an element outside
                the 14 supported ones (H C N O F Cl Br I P S B Si Se As).
        """
        mol = heavy_atom_mol(smiles)
        bonds = list(mol.GetBonds())
        ends = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in bonds]
        bond_index = np.array([edge for i, j in ends for edge in ((i, j), (j, i))], dtype=np.int64).reshape(-1, 2).T
        bond_features = np.array([bond_feature(b) for b in bonds], dtype=np.uint8).reshape(-1, N_BOND_FEATURES)
        pair_index, pair_features = near_pairs(mol)
        return cls(
            smiles=smiles,
            atomic_numbers=np.array([a.GetAtomicNum() for a in mol.GetAtoms()], dtype=np.int64),
            atom_features=np.array([atom_feature(a) for a in mol.GetAtoms()], dtype=np.uint8),
            bond_index=np.ascontiguousarray(bond_index),
            bond_features=np.repeat(bond_features, 2, axis=0),
            pair_index=pair_index,
            pair_features=pair_features,
        )


def heavy_atom_mol(smiles: str) -> Chem.Mol:
    """RDKit molecule of a SMILES without hydrogen atoms, in SMILES order; raises InputError as Molecule.from_smiles."""
    with BlockLogs():
        mol = Chem.MolFromSmiles(smiles, sanitize=False)
        if mol is None or not smiles.strip():
            raise InputError(f"SMILES {smiles!r} cannot be parsed: check brackets, ring closures and bonds")
        problems = Chem.DetectChemistryProblems(mol)
        if problems:
            raise InputError(f"SMILES {smiles!r} is not a valid molecule: {problems[0].Message()}")
        mol = Chem.MolFromSmiles(smiles)
        remove_all = Chem.RemoveHsParameters()
        for kind in ("Isotopes", "Hydrides", "WithQuery", "DefiningBondStereo", "Nonimplicit", "Mapped"):
            setattr(remove_all, f"remove{kind}", True)
        mol = Chem.RemoveHs(mol, remove_all)
    if len(Chem.GetMolFrags(mol)) > 1:
        raise InputError(
            f"SMILES {smiles!r} holds several molecules: only crystals of one kind of molecule are supported (no salts, no solvates)"
        )
    elements = {a.GetSymbol() for a in mol.GetAtoms()}
    if elements <= {"H"}:
        raise InputError(f"SMILES {smiles!r} has no heavy atom: PackFlow places heavy atoms only")
    unsupported = sorted(elements - set(COVALENT_RADII))
    if unsupported:
        raise InputError(f"SMILES {smiles!r} holds unsupported element {', '.join(unsupported)}; supported are {' '.join(COVALENT_RADII)}")
    return mol


def one_molecule(smiles: str) -> str:
    """The SMILES of one of several equal molecules, as "CCO" of "CCO.CCO"; what holds one or different molecules stays as it is.

    Molecules are equal without regard to stereochemistry, which the result then states only where all of them share it.
    """
    if "." not in smiles:
        return smiles
    with BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        parts = Chem.GetMolFrags(mol, asMols=True) if mol is not None else ()
        for with_stereo in (True, False):
            found = {Chem.MolToSmiles(part, isomericSmiles=with_stereo) for part in parts}
            if len(found) == 1:
                return str(found.pop())
    return smiles


def vocabulary_index(value: int | str, vocabulary: range | tuple[str, ...]) -> int:
    """Index of a value, or the one after the last for a value outside."""
    return vocabulary.index(value) if value in vocabulary else len(vocabulary)  # type: ignore[arg-type]


def atom_feature(atom: Chem.Atom) -> list[int]:
    """The ten indices of paper Table 5, in its order."""
    atom.UpdatePropertyCache()
    rings, index = atom.GetOwningMol().GetRingInfo(), atom.GetIdx()
    return [
        vocabulary_index(atom.GetAtomicNum(), ATOMIC_NUMBERS),
        vocabulary_index(atom.GetTotalDegree(), TOTAL_DEGREES),
        vocabulary_index(rings.NumAtomRings(index), RING_COUNTS),
        vocabulary_index(atom.GetValence(Chem.ValenceType.IMPLICIT), IMPLICIT_VALENCES),
        vocabulary_index(atom.GetFormalCharge(), FORMAL_CHARGES),
        vocabulary_index(atom.GetTotalNumHs(), HYDROGEN_COUNTS),
        vocabulary_index(str(atom.GetHybridization()), HYBRIDIZATIONS),
        int(atom.GetIsAromatic()),
        int(rings.IsAtomInRingOfSize(index, 5)),
        int(rings.IsAtomInRingOfSize(index, 6)),
    ]


def bond_feature(bond: Chem.Bond) -> list[int]:
    """The two indices of paper Table 6."""
    return [vocabulary_index(str(bond.GetBondType()), BOND_TYPES), int(bond.GetIsConjugated())]

"""Molecules on paper: where RDKit draws their atoms, and what is written there."""

from __future__ import annotations

from rdkit import Chem
from rdkit.Chem import rdDepictor

from packflow.structure.full import full_mol
from packflow.structure.molecule import heavy_atom_mol


def drawing(smiles: str) -> dict[str, list[list[float | int | str]]]:
    """A structural formula: hydrogens only in labels, aromatic rings with alternating bonds.

    Args:
        smiles: Of a molecule that `Molecule.from_smiles` takes.

    Returns:
        atoms: x, y (bond lengths of about 1.5), symbol, hydrogens, charge of each; bonds: two atoms, order.

    Raises:
        InputError: as `Molecule.from_smiles`.
    """
    mol = Chem.Mol(heavy_atom_mol(smiles))
    Chem.Kekulize(mol, clearAromaticFlags=True)
    rdDepictor.Compute2DCoords(mol)
    points = mol.GetConformer().GetPositions()
    about = [(a.GetSymbol(), a.GetTotalNumHs(), a.GetFormalCharge()) for a in mol.GetAtoms()]
    return {
        "atoms": [[round(x, 3), round(y, 3), *label] for (x, y, _), label in zip(points.tolist(), about, strict=True)],
        "bonds": [[b.GetBeginAtomIdx(), b.GetEndAtomIdx(), int(b.GetBondTypeAsDouble())] for b in mol.GetBonds()],
    }


def atoms_and_bonds(smiles: str) -> dict[str, object]:
    """Elements of one copy as `FullStructure` orders them, how many of them are heavy, and bonds: two atoms, order; rings alternate."""
    mol = Chem.Mol(full_mol(smiles))
    Chem.Kekulize(mol, clearAromaticFlags=True)
    return {
        "elements": [atom.GetSymbol() for atom in mol.GetAtoms()],
        "n_heavy": mol.GetNumHeavyAtoms(),
        "bonds": [[b.GetBeginAtomIdx(), b.GetEndAtomIdx(), int(b.GetBondTypeAsDouble())] for b in mol.GetBonds()],
    }

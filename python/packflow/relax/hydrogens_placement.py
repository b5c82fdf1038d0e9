"""Hydrogens by RDKit's local geometry, many copies of a molecule in one call."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from rdkit import Chem

from packflow.structure.molecule import heavy_atom_mol

# conformers of one call, to bound the memory
COPIES_AT_ONCE = 512
# digits of Å that RDKit sees
DIGITS = 9
# Å; RDKit's radii make these bonds to hydrogen 0.2 Å too short (silane and phosphine by electron diffraction and microwaves)
LENGTHENED = {14: 1.48, 15: 1.42}


@lru_cache(maxsize=1024)
def bare_mol(smiles: str) -> Chem.Mol:
    """The heavy atoms of a SMILES in its order, without coordinates; not to be changed."""
    mol = heavy_atom_mol(smiles)
    mol.RemoveAllConformers()
    return mol


def place_hydrogens(
    smiles: str,
    heavy: np.ndarray,  # [n_copies, n_heavy, 3]
) -> np.ndarray:
    """RDKit's AddHs(addCoords=True) (paper, section 4.5.1) on every copy of a molecule.

    Each copy is a conformer, flagged 3-D, of the molecule that the SMILES states: valences and stereochemistry are not perceived again.
    Bonds of silicon and phosphorus to hydrogen are then made as long as they are. Where three bonds of a stereocentre lie in a plane, the
    side of its hydrogen is RDKit's guess. Where a bond lies in a plane of the frame, what is left of a zero decides how RDKit turns a
    methyl, so it sees each copy from its first atom, rounded to 1e-9 Å: the same wherever the molecule is.

    Args:
        smiles: Of the molecule.
        heavy: Heavy atoms in SMILES order, whole molecules, Å. [n_copies, n_heavy, 3]

    Returns:
        Heavy atoms as given, then hydrogens in the order of `full_mol`, Å, float64. [n_copies, n_full, 3]
    """
    parts = [heavy[first : first + COPIES_AT_ONCE] for first in range(0, len(heavy), COPIES_AT_ONCE)]
    return np.concatenate([_place(bare_mol(smiles), part) for part in parts])


def _place(mol: Chem.Mol, heavy: np.ndarray) -> np.ndarray:
    conformers = Chem.Mol(mol)
    origin = heavy[:, :1]
    for copy in np.ascontiguousarray(np.round(heavy - origin, DIGITS), dtype=np.float64):
        conformer = Chem.Conformer(len(copy))
        conformer.Set3D(True)
        conformer.SetPositions(copy)
        conformers.AddConformer(conformer)
    full = Chem.AddHs(conformers, addCoords=True)
    positions = np.stack([conformer.GetPositions() for conformer in full.GetConformers()]) + origin
    # the numbers that came, to the last bit
    positions[:, : heavy.shape[1]] = heavy
    for bond in full.GetBonds():
        length = LENGTHENED.get(bond.GetBeginAtom().GetAtomicNum())
        if length and bond.GetEndAtom().GetAtomicNum() == 1:
            center, hydrogen = positions[:, bond.GetBeginAtomIdx()], positions[:, bond.GetEndAtomIdx()]
            away = hydrogen - center
            positions[:, bond.GetEndAtomIdx()] = center + away * (length / np.linalg.norm(away, axis=1, keepdims=True))
    return positions

"""A rigid molecule: a conformer by RDKit's ETKDG with its hydrogens, its radii and its point symmetry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom
from rdkit.rdBase import BlockLogs

from packflow.baseline.point_symmetry import PointSymmetry, point_symmetry
from packflow.errors import InputError
from packflow.structure.full import full_mol

# Å, van der Waals: Bondi 1964 (J. Phys. Chem. 68, 441); hydrogen, boron and arsenic as in Mantina et al. 2009 (J. Phys. Chem. A 113, 5806)
VDW_RADII = {1: 1.10, 5: 1.92, 6: 1.70, 7: 1.55, 8: 1.52, 9: 1.47, 14: 2.10, 15: 1.80, 16: 1.80, 17: 1.75, 33: 1.85, 34: 1.90, 35: 1.85}
VDW_RADII[53] = 1.98
# attempts of RDKit to embed a molecule
MAX_ATTEMPTS = 50
MAX_SEED = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Conformer:
    """One shape of a molecule, centered at the mean of all its atoms.

    positions:      [n_full, 3] float64, Å; heavy atoms in the order of the molecule, then hydrogens, as `packflow.structure.full.full_mol`.
    atomic_numbers: [n_full] int64.
    radii:          [n_full] float64, van der Waals, Å.
    n_heavy:        number of heavy atoms.
    symmetry:       what brings it to itself.
    chiral:         whether its mirror image is another molecule, by the stereochemistry that the SMILES states.
    """

    positions: np.ndarray
    atomic_numbers: np.ndarray
    radii: np.ndarray
    n_heavy: int
    symmetry: PointSymmetry
    chiral: bool


@lru_cache(maxsize=256)
def conformer_of(smiles: str, seed: int, number: int = 0) -> Conformer:
    """A conformer of a molecule by ETKDG version 3 (Wang et al., J. Chem. Inf. Model. 2020, 60, 2044).

    Atoms that are nearly symmetric are made so, see `point_symmetry`.

    Args:
        smiles: As of `Molecule`.
        seed: 0 or more.
        number: Of the conformer; it is a function of the two.

    Raises:
        InputError: RDKit cannot embed the molecule, or as `Molecule.from_smiles`.
    """
    mol = Chem.Mol(full_mol(smiles))
    if not embed(mol, int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) % MAX_SEED):
        raise InputError(f"SMILES {smiles!r} cannot be embedded: RDKit's ETKDG finds no conformer, check its rings and stereochemistry")
    numbers = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()])
    positions = mol.GetConformer().GetPositions()
    positions, symmetry = point_symmetry(mol, positions - positions.mean(0))
    radii = np.array([VDW_RADII[z] for z in numbers.tolist()])
    return Conformer(positions, numbers, radii, int((numbers > 1).sum()), symmetry, is_chiral(smiles))


def embed(mol: Chem.Mol, seed: int) -> bool:
    """Add a conformer to a molecule; random coordinates are the second start. Whether one was found."""
    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.randomSeed, parameters.maxIterations = seed, MAX_ATTEMPTS
    with BlockLogs():
        for parameters.useRandomCoords in (False, True):
            if rdDistGeom.EmbedMolecule(mol, parameters) >= 0:
                return True
    return False


def is_chiral(smiles: str) -> bool:
    """Whether the stereocenters that a SMILES states make its mirror image another molecule."""
    mol = Chem.MolFromSmiles(smiles)
    mirrored = Chem.Mol(mol)
    for atom in mirrored.GetAtoms():
        atom.InvertChirality()
    return bool(
        Chem.MolToSmiles(Chem.MolFromSmiles(Chem.MolToSmiles(mirrored))) != Chem.MolToSmiles(Chem.MolFromSmiles(Chem.MolToSmiles(mol)))
    )

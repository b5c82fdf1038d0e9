"""What placing and turning hydrogens must know of a molecule."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rdkit import Chem

from packflow.relax.rotors import SP2, Rotors
from packflow.structure.full import full_mol

# Å, Bondi 1964 (J. Phys. Chem. 68, 441); hydrogen, boron and arsenic as in Mantina et al. 2009 (J. Phys. Chem. A 113, 5806)
VDW_RADII = {1: 1.10, 5: 1.92, 6: 1.70, 7: 1.55, 8: 1.52, 9: 1.47, 14: 2.10, 15: 1.80, 16: 1.80, 17: 1.75, 33: 1.85, 34: 1.90, 35: 1.85}
VDW_RADII[53] = 1.98
# Å, X-H from neutron diffraction (Allen and Bruno 2010, Acta Cryst. B66, 380): C 1.09, N 1.02, O 0.98; gas phase for the others
HYDROGEN_BONDS = {5: 1.19, 6: 1.09, 7: 1.02, 8: 0.98, 14: 1.48, 15: 1.42, 16: 1.34, 33: 1.52, 34: 1.46}
# a hydrogen on these can make a hydrogen bond, as strong as this beside a hydroxyl
DONORS = {7: 0.9, 8: 1.0, 16: 0.4, 34: 0.3}
# halogens of a molecule accept weakly, and so does an oxygen or sulfur whose lone pair is conjugated
HALOGENS = {9: 0.3, 17: 0.25, 35: 0.2, 53: 0.2}
# nitrogen on an aromatic ring; that of amides and in rings accepts nothing
ANILINE = 0.5
# per formal charge of the group
CHARGE_FACTOR = 1.5


@dataclass(frozen=True)
class HydrogenTable:
    """Atoms of the full molecule, heavy ones first: [n_full] each.

    numbers:    int64, atomic numbers.
    bearer:     int64, the atom that a hydrogen is bonded to; -1 of heavy atoms.
    radii:      Å, van der Waals.
    lengths:    Å, tabulated length of a hydrogen's bond; 0 of heavy atoms.
    donates:    strength of the hydrogen bond that this hydrogen can make, 0 for none.
    accepts:    strength with which this atom accepts one, 0 for none.
    separation: [n_full, n_full] bonds between two atoms.
    angles:     [3, n_angles] int64: a hydrogen, its bearer, and a further neighbor of that.
    rotors:     hydrogens that turn.
    """

    numbers: np.ndarray
    bearer: np.ndarray
    radii: np.ndarray
    lengths: np.ndarray
    donates: np.ndarray
    accepts: np.ndarray
    separation: np.ndarray
    angles: np.ndarray
    rotors: Rotors


@lru_cache(maxsize=1024)
def hydrogen_table(smiles: str) -> HydrogenTable:
    """The table of a molecule by its SMILES."""
    mol = full_mol(smiles)
    atoms = list(mol.GetAtoms())
    numbers = np.array([a.GetAtomicNum() for a in atoms], dtype=np.int64)
    bearer = np.array([a.GetNeighbors()[0].GetIdx() if a.GetAtomicNum() == 1 else -1 for a in atoms], dtype=np.int64)
    angles = [
        (h, center, n.GetIdx())
        for h, center in enumerate(bearer.tolist())
        if center >= 0
        for n in atoms[center].GetNeighbors()
        if n.GetIdx() != h
    ]
    return HydrogenTable(
        numbers=numbers,
        bearer=bearer,
        radii=np.array([VDW_RADII[z] for z in numbers.tolist()]),
        lengths=np.array([HYDROGEN_BONDS[int(numbers[b])] if b >= 0 else 0.0 for b in bearer.tolist()]),
        donates=np.array([donor_strength(atoms[b]) if b >= 0 else 0.0 for b in bearer.tolist()]),
        accepts=np.array([acceptor_strength(a) for a in atoms]),
        separation=Chem.GetDistanceMatrix(mol).astype(np.int64),
        angles=np.array(angles, dtype=np.int64).reshape(-1, 3).T,
        rotors=Rotors.of(mol),
    )


def donor_strength(atom: Chem.Atom) -> float:
    """Of the hydrogens of a heavy atom, beside a hydroxyl's; 0 on carbon."""
    return DONORS.get(atom.GetAtomicNum(), 0.0) * CHARGE_FACTOR ** max(0, atom.GetFormalCharge())


def acceptor_strength(atom: Chem.Atom) -> float:
    """Of an atom with a lone pair, beside a carbonyl's; 0 where the lone pair is conjugated nitrogen's or there is none."""
    number, conjugated = atom.GetAtomicNum(), any(bond.GetIsConjugated() for bond in atom.GetBonds())
    if atom.GetFormalCharge() > 0:
        return 0.0
    if number == 7 and atom.GetTotalDegree() > 2 and atom.GetHybridization() == SP2:
        return ANILINE if _is_aniline(atom) else 0.0
    if number in HALOGENS and atom.GetFormalCharge() == 0:
        return HALOGENS[number]
    if number not in (7, 8, 9, 16, 17, 34, 35, 53):
        return 0.0
    of_element = 1.0 if number in (7, 8) else 0.5
    if number in (8, 16, 34) and atom.GetTotalDegree() == 2 and conjugated:
        of_element *= 0.5
    if number == 8 and any(_is_nitro(n) for n in atom.GetNeighbors()):
        return 0.4
    return of_element * (CHARGE_FACTOR if _shares_charge(atom) else 1.0)


def _is_aniline(atom: Chem.Atom) -> bool:
    neighbors = [n for n in atom.GetNeighbors() if n.GetAtomicNum() > 1]
    return not atom.GetIsAromatic() and all(n.GetIsAromatic() or n.GetHybridization() == Chem.HybridizationType.SP3 for n in neighbors)


def _is_nitro(atom: Chem.Atom) -> bool:
    return atom.GetAtomicNum() == 7 and sum(n.GetAtomicNum() == 8 and n.GetDegree() == 1 for n in atom.GetNeighbors()) > 1


def _shares_charge(atom: Chem.Atom) -> bool:
    """Whether an atom is negative, or the other oxygen of a carboxylate."""
    if atom.GetFormalCharge() < 0:
        return True
    return atom.GetDegree() == 1 and any(other.GetFormalCharge() < 0 for n in atom.GetNeighbors() for other in n.GetNeighbors())

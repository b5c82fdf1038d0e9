"""Atomic charges by equilibration, for molecules that MMFF94 has no charges for."""

from __future__ import annotations

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom
from rdkit.rdBase import BlockLogs

COULOMB = 14.399645  # eV Å / e2
# Electronegativity and half the idempotential (hardness), eV, of charge equilibration (Rappé and Goddard, J. Phys. Chem. 95, 3358 (1991);
# as tabulated with UFF).
ELECTRONEGATIVITY_HARDNESS = {
    "H": (4.528, 6.9452),
    "B": (5.110, 4.750),
    "C": (5.343, 5.063),
    "N": (6.899, 5.880),
    "O": (8.741, 6.682),
    "F": (10.874, 7.474),
    "Si": (4.168, 3.487),
    "P": (5.463, 4.000),
    "S": (6.928, 4.486),
    "Cl": (8.564, 4.946),
    "As": (5.188, 3.809),
    "Se": (6.428, 4.131),
    "Br": (7.790, 4.425),
    "I": (6.822, 3.762),
}
SEED = 61453  # of the conformer
N_CONFORMERS = 4


def equilibrated_charges(mol: Chem.Mol) -> np.ndarray:
    """Charges at which no atom gains energy from giving charge to another, averaged over conformers and equivalent atoms.

    The energy is sum of X q + J q2 / 2 and the Coulomb energy of all pairs, damped to the mean of their J at no distance (Ohno, Theor.
    Chim. Acta 2, 219 (1964)); distances are those of conformers that RDKit embeds with a fixed seed.

    Args:
        mol: With hydrogens, of the elements above.

    Returns:
        e; they add up to the formal charge. [n_atoms]

    Raises:
        ValueError: RDKit cannot embed the molecule.
    """
    embedded = Chem.Mol(mol)
    with BlockLogs():
        found = list(rdDistGeom.EmbedMultipleConfs(embedded, N_CONFORMERS, randomSeed=SEED))
        found = found or list(rdDistGeom.EmbedMultipleConfs(embedded, N_CONFORMERS, randomSeed=SEED, useRandomCoords=True))
    if not found:
        raise ValueError("RDKit cannot embed the molecule, so that its charges cannot be equilibrated")
    symbols = [atom.GetSymbol() for atom in mol.GetAtoms()]
    total = Chem.GetFormalCharge(mol)
    charges = np.mean([charges_at(symbols, embedded.GetConformer(k).GetPositions(), total) for k in found], axis=0)
    ranks = np.array(Chem.CanonicalRankAtoms(mol, breakTies=False, includeChirality=False))
    of_rank = np.bincount(ranks, charges) / np.maximum(np.bincount(ranks), 1)
    return of_rank[ranks]


def charges_at(symbols: list[str], positions: np.ndarray, total: float) -> np.ndarray:
    """Equilibrated charges of atoms at given places that add up to `total`, e. [n_atoms, 3] -> [n_atoms]"""
    electronegativity, hardness = np.array([ELECTRONEGATIVITY_HARDNESS[s] for s in symbols]).T
    n = len(symbols)
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    # J is twice the hardness, so that the mean J of a pair is the sum of the two.
    at_no_distance = hardness[:, None] + hardness[None]
    matrix = np.ones((n + 1, n + 1))
    matrix[:n, :n] = COULOMB / np.sqrt(distance**2 + (COULOMB / at_no_distance) ** 2)
    matrix[n, n] = 0
    return np.linalg.solve(matrix, [*-electronegativity, total])[:n]

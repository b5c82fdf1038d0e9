"""Atoms of a molecule that are near each other in any conformation: one, two or three bonds apart."""

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom
from rdkit.rdBase import BlockLogs
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

MOST_BONDS_APART = 3
N_PAIR_FEATURES = 3


def near_pairs(mol: Chem.Mol) -> tuple[np.ndarray, np.ndarray]:
    """Ordered pairs of atoms at most three bonds apart, with the range of distances that such a pair has in molecules.

    Between atoms one or two bonds apart the range is narrow: bond lengths, and bond angles. Three bonds apart it reaches from
    cis to trans, unless a ring or a double bond decides.

    Args:
        mol: Without hydrogen atoms, sanitized.

    Returns:
        pair_index [2, n_pairs] int64, ascending, each pair in both directions, and pair_features [n_pairs, 3] float32: bonds
        apart, smallest and largest distance in Å, from RDKit's distance geometry.
    """
    n = mol.GetNumAtoms()
    if n == 1:
        return np.zeros((2, 0), dtype=np.int64), np.zeros((0, N_PAIR_FEATURES), dtype=np.float32)
    apart = shortest_path(csr_array(Chem.GetAdjacencyMatrix(mol)), unweighted=True)
    with BlockLogs():
        bounds = rdDistGeom.GetMoleculeBoundsMatrix(mol, doTriangleSmoothing=False)
    first, second = np.nonzero((apart > 0) & (apart <= MOST_BONDS_APART))
    low, high = np.maximum(first, second), np.minimum(first, second)
    features = np.stack([apart[first, second], bounds[low, high], bounds[high, low]], 1)
    return np.stack([first, second]), features.astype(np.float32)

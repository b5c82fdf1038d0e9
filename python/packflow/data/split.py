"""Training, validation and test molecules, never of one family in two splits (paper, section 4.4.2)."""

from collections.abc import Sequence

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolHash

SPLITS = ("train", "validation", "test")


def family(smiles: str) -> str:
    """What a molecule shares with its stereoisomers, tautomers and charge states: the graph of its elements."""
    mol = Chem.MolFromSmiles(smiles)
    Chem.RemoveStereochemistry(mol)
    return str(rdMolHash.MolHash(mol, rdMolHash.HashFunction.ElementGraph))


def split_families(families: Sequence[str], fractions: Sequence[float], seed: int) -> np.ndarray:
    """A split for every molecule: families in random order, each to the split that lacks most of its share.

    Args:
        families: Of each molecule.
        fractions: Of train, validation and test; they add up to 1.
        seed: Of the order.

    Returns:
        "train", "validation" or "test" for each molecule. [n_molecules]
    """
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions must be three numbers of at least 0 with sum 1, got {tuple(fractions)}")
    names, members = np.unique(np.asarray(families), return_inverse=True)
    counts = np.bincount(members, minlength=len(names))
    filled = np.zeros(len(SPLITS))
    chosen = np.zeros(len(names), dtype=np.int64)
    for k in np.random.default_rng(seed).permutation(len(names)):
        chosen[k] = np.argmax(np.asarray(fractions) * len(families) - filled)
        filled[chosen[k]] += counts[k]
    return np.asarray(SPLITS)[chosen[members]]

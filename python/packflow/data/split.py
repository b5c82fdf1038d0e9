"""Training, validation and test molecules, never of one family in two splits (paper, section 4.4.2)."""

import re
from collections.abc import Sequence

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolHash
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SPLITS = ("train", "validation", "test")
# of the Cambridge Structural Database: six letters for the family, two digits for its second and later entries
REFCODE = re.compile(r"([A-Z]{6})(\d\d)?")


def family(smiles: str) -> str:
    """What a molecule shares with its stereoisomers, tautomers and charge states: the graph of its elements."""
    mol = Chem.MolFromSmiles(smiles)
    Chem.RemoveStereochemistry(mol)
    return str(rdMolHash.MolHash(mol, rdMolHash.HashFunction.ElementGraph))


def refcode_family(name: str) -> str:
    """Letters of a CSD refcode, DOLBIR of DOLBIR07; "" for any other name."""
    found = REFCODE.fullmatch(name)
    return found[1] if found else ""


def families_of(smiles: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Family of each molecule: those of one element graph, and those that crystals of one refcode family have.

    Both count, so that no refcode family and no molecule is in two splits, also where a source mixes refcodes with other names.

    Args:
        smiles: Molecule of each crystal.
        names: Of each crystal, without folder and ending.

    Returns:
        By SMILES, the first of the family's element graphs.
    """
    graph_of = {molecule: family(molecule) for molecule in sorted(set(smiles))}
    graphs = sorted(set(graph_of.values()))
    place = {graph: k for k, graph in enumerate(graphs)}
    first: dict[str, int] = {}
    links = []
    for molecule, name in zip(smiles, names, strict=True):
        own = place[graph_of[molecule]]
        if prefix := refcode_family(name):
            links.append((first.setdefault(prefix, own), own))
    pairs = np.array(links, dtype=np.int64).reshape(-1, 2)
    joined = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(graphs), len(graphs)))
    _, component = connected_components(joined, directed=False)
    # graphs are sorted: the first of a component is its least
    _, least = np.unique(component, return_index=True)
    return {molecule: graphs[least[component[place[graph]]]] for molecule, graph in graph_of.items()}


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

"""Covalent bonds of a periodic structure, from distances."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from packflow.elements import COVALENT_RADII, SYMBOLS
from packflow.errors import StructureError

# Å beyond the sum of the covalent radii; the CSD's 0.4 would bond the bridgeheads of bicyclo[1.1.1]pentane (1.87 Å)
TOLERANCE = 0.3
# Å; two atoms closer than this are disorder or an error, whatever their elements (H2 is 0.74 Å)
OVERLAP = 0.5


@dataclass(frozen=True)
class PeriodicBonds:
    """Bonds of a unit cell, each once.

    index: [n_bonds, 2] int64, atoms i and j.
    shift: [n_bonds, 3] int64; the vector is (fractional_j + shift - fractional_i) @ cell.
    """

    index: np.ndarray
    shift: np.ndarray


def radii_of(atomic_numbers: np.ndarray) -> np.ndarray:
    """Covalent radii in Å. [n] -> [n]"""
    return np.array([COVALENT_RADII[SYMBOLS[int(z)]] for z in atomic_numbers])


def find_bonds(atomic_numbers: np.ndarray, fractional: np.ndarray, cell: np.ndarray) -> PeriodicBonds:
    """Pairs closer than the sum of their covalent radii + 0.3 Å, over all periodic images; never hydrogen to hydrogen.

    Args:
        atomic_numbers: [n_atoms]
        fractional: [n_atoms, 3], need not be wrapped.
        cell: Rows are the lattice vectors, Å. [3, 3]

    Raises:
        StructureError: two atoms are closer than 0.5 Å.
    """
    bonds, distance = close_pairs(atomic_numbers, fractional, cell)
    if (distance < OVERLAP).any():
        raise StructureError("overlapping atoms", f"two atoms are {distance.min():.2f} Å apart")
    radii, (i, j) = radii_of(atomic_numbers), bonds.index.T
    bonded = (distance < radii[i] + radii[j] + TOLERANCE) & ((atomic_numbers[i] > 1) | (atomic_numbers[j] > 1))
    return PeriodicBonds(bonds.index[bonded], bonds.shift[bonded])


def close_pairs(atomic_numbers: np.ndarray, fractional: np.ndarray, cell: np.ndarray) -> tuple[PeriodicBonds, np.ndarray]:
    """All pairs that could be bonded by their distance, whatever their elements, and the distances in Å. [n_pairs]"""
    cutoff = 2 * radii_of(atomic_numbers).max() + TOLERANCE
    floor = np.floor(fractional)
    wrapped = fractional - floor
    reach = cutoff * np.linalg.norm(np.linalg.inv(cell), axis=0)
    steps = [np.arange(-int(np.ceil(r)), int(np.ceil(r)) + 1) for r in reach]
    shifts = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)
    images = wrapped[None] + shifts[:, None]
    near_cell = ((images > -reach) & (images < 1 + reach)).all(-1)
    shift_row, owner = np.nonzero(near_cell)
    pairs = cKDTree(wrapped @ cell).sparse_distance_matrix(cKDTree(images[near_cell] @ cell), cutoff, output_type="coo_matrix")
    i, j, shift, distance = pairs.row, owner[pairs.col], shifts[shift_row[pairs.col]], pairs.data
    once = (i < j) | ((i == j) & (np.sign(shift) @ [9, 3, 1] > 0))
    i, j, shift, distance = i[once], j[once], shift[once], distance[once]
    shift = shift - floor[j] + floor[i]
    return PeriodicBonds(np.stack([i, j], 1).astype(np.int64), shift.astype(np.int64)), distance


def bonds_between(pairs: np.ndarray, fractional: np.ndarray, cell: np.ndarray) -> PeriodicBonds:
    """Bonds of pairs of atoms, each with the nearest of its images.

    Args:
        pairs: Different atoms of the cell; a pair that comes twice, either way round, is one bond. [n_pairs, 2]
        fractional: [n_atoms, 3], need not be wrapped.
        cell: Rows are the lattice vectors, Å. [3, 3]
    """
    index = np.unique(np.sort(pairs, axis=1), axis=0).astype(np.int64)
    between = fractional[index[:, 1]] - fractional[index[:, 0]]
    around = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)
    # [n_bonds, 27, 3]
    shifts = around - np.rint(between).astype(np.int64)[:, None]
    nearest = np.linalg.norm((between[:, None] + shifts) @ cell, axis=2).argmin(1)
    return PeriodicBonds(index, shifts[np.arange(len(index)), nearest])


def bound_hydrogens(atomic_numbers: np.ndarray, fractional: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Number of hydrogens of each atom: every hydrogen counts once, for the heavy atom that it fits best, if any is in reach.

    Unlike the bonds of `find_bonds`, a hydrogen between two atoms is not counted twice, and overlapping atoms are no error.

    Args:
        atomic_numbers: [n_atoms]
        fractional: [n_atoms, 3], need not be wrapped.
        cell: Rows are the lattice vectors, Å. [3, 3]

    Returns:
        [n_atoms] int64, 0 for hydrogens.
    """
    counts = np.zeros(len(atomic_numbers), dtype=np.int64)
    if (atomic_numbers > 1).all():
        return counts
    pairs, distance = close_pairs(atomic_numbers, fractional, cell)
    ends = np.concatenate([pairs.index, pairs.index[:, ::-1]])
    radii = radii_of(atomic_numbers)
    excess = np.tile(distance, 2) - radii[ends].sum(1)
    bound = (atomic_numbers[ends[:, 0]] == 1) & (atomic_numbers[ends[:, 1]] > 1) & (excess < TOLERANCE)
    ends, excess = ends[bound], excess[bound]
    best_first = ends[np.lexsort((excess, ends[:, 0]))]
    _, first = np.unique(best_first[:, 0], return_index=True)
    np.add.at(counts, best_first[first, 1], 1)
    return counts


def whole_molecules(n_atoms: int, bonds: PeriodicBonds) -> tuple[list[list[int]], np.ndarray]:
    """Follow the bonds: the molecules, and for every atom the cell shift that puts it into one piece with its molecule.

    Returns:
        Atoms of each molecule in the order of the walk, and shifts [n_atoms, 3] to add to the fractional coordinates.

    Raises:
        StructureError: bonds lead from an atom to its own image: a polymer or framework.
    """
    neighbors: list[list[tuple[int, np.ndarray]]] = [[] for _ in range(n_atoms)]
    for (i, j), shift in zip(bonds.index.tolist(), bonds.shift, strict=True):
        neighbors[i].append((j, shift))
        neighbors[j].append((i, -shift))
    offset = np.zeros((n_atoms, 3), dtype=np.int64)
    seen = [False] * n_atoms
    molecules = []
    for first in range(n_atoms):
        if not seen[first]:
            seen[first] = True
            molecule = [first]
            for atom in molecule:
                for other, shift in neighbors[atom]:
                    if not seen[other]:
                        seen[other] = True
                        offset[other] = offset[atom] + shift
                        molecule.append(other)
            molecules.append(molecule)
    i, j = bonds.index.T
    if (offset[i] + bonds.shift != offset[j]).any():
        raise StructureError("infinite network", "bonds lead from an atom to its own periodic image")
    return molecules, offset

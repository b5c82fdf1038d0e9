"""Making molecules whole across the cell's faces (paper, appendix B)."""

from collections import deque
from collections.abc import Sequence

import numpy as np

# The nearest image of a bonded neighbour: the rounded shift is exact unless the cell is very skewed, so its 26 neighbours are tried too.
SHIFTS = np.stack(np.meshgrid(*[[0, -1, 1]] * 3, indexing="ij"), -1).reshape(-1, 3).astype(np.float64)

Neighbors = list[list[int]]


def neighbors_of_bonds(n_atoms: int, bond_index: np.ndarray) -> Neighbors:
    """Neighbours of every atom in the order of the directed edges. bond_index [2, n_bonds]"""
    neighbors: Neighbors = [[] for _ in range(n_atoms)]
    for i, j in bond_index.T.tolist():
        neighbors[i].append(j)
    return neighbors


def components(neighbors: Neighbors) -> list[list[int]]:
    """Connected components, each in ascending order, by their first atom."""
    seen = [False] * len(neighbors)
    found = []
    for first in range(len(neighbors)):
        if not seen[first]:
            seen[first] = True
            component = [first]
            for atom in component:
                for other in neighbors[atom]:
                    if not seen[other]:
                        seen[other] = True
                        component.append(other)
            found.append(sorted(component))
    return found


def unwrap(fractional: np.ndarray, bond_index: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Make every molecule whole, each on the side of the cell that holds its central atom.

    Two breadth-first passes per connected component. The first, from the component's first atom, gives the centroid; the
    second starts again from the atom nearest to it in fractional units, which stays where it was.

    Args:
        fractional: Fractional coordinates. [n_atoms, 3]
        bond_index: Directed bonds. [2, n_bonds]
        cell: Rows are the lattice vectors, Å. [3, 3]

    Returns:
        Fractional coordinates that differ from the input by whole numbers. [n_atoms, 3]
    """
    neighbors = neighbors_of_bonds(len(fractional), bond_index)
    whole = fractional.astype(np.float64, copy=True)
    for component in components(neighbors):
        if len(component) > 1:
            placed = place_from(component[0], fractional, neighbors, cell)
            points = np.array(list(placed.values()))
            central = list(placed)[int(((points - points.mean(0)) ** 2).sum(1).argmin())]
            for atom, point in place_from(central, fractional, neighbors, cell).items():
                whole[atom] = point
    return whole


def place_from(root: int, fractional: np.ndarray, neighbors: Sequence[Sequence[int]], cell: np.ndarray) -> dict[int, np.ndarray]:
    """Breadth-first walk over the bonds, every atom at the image nearest to the one that it was reached from."""
    placed = {root: fractional[root].astype(np.float64)}
    queue = deque([root])
    while queue:
        atom = queue.popleft()
        new = [j for j in neighbors[atom] if j not in placed]
        if new:
            nearest = nearest_images(fractional[new], placed[atom], cell)
            for j, point in zip(new, nearest, strict=True):
                if j not in placed:
                    placed[j] = point
                    queue.append(j)
    return placed


def nearest_images(fractional: np.ndarray, center: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """The periodic image of each point that is nearest to the centre in Å. [n, 3], [3] -> [n, 3]"""
    images = (fractional - np.round(fractional - center))[:, None] + SHIFTS
    distances = np.linalg.norm((images - center) @ cell, axis=-1)
    # the rounded image stands first and wins a tie, also one broken by the last digit
    distances[:, 0] -= 1e-9
    return images[np.arange(len(images)), distances.argmin(1)]

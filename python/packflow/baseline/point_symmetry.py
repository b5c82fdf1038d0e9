"""The point symmetry of a conformer, and how it can be that of a place in a crystal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rdkit import Chem

# Å: how far an operation may miss an atom. ETKDG does not make symmetric conformers exactly so.
TOLERANCE = 0.2
# automorphisms that are looked at; molecules with more have many like groups that turn, and rarely more symmetry than these show
MAX_AUTOMORPHISMS = 2000
N_REFINEMENTS = 20


@dataclass(frozen=True, eq=False)
class PointSymmetry:
    """A finite group of rotations and reflections about the origin, the identity first.

    operations: [order, 3, 3] float64, orthogonal.
    table:      [order, order] int64, number of the product of two of them.
    """

    operations: np.ndarray
    table: np.ndarray

    @property
    def order(self) -> int:
        """Number of operations."""
        return len(self.operations)


NO_SYMMETRY = PointSymmetry(np.eye(3)[None], np.zeros((1, 1), dtype=np.int64))


def point_symmetry(mol: Chem.Mol, positions: np.ndarray) -> tuple[np.ndarray, PointSymmetry]:
    """Find the symmetry of a conformer and make it exact.

    Operations are sought among the automorphisms of the molecular graph, hydrogens included: each that an orthogonal matrix realizes
    within TOLERANCE. If they form a group, the atoms go to the mean of their images. Linear molecules count as asymmetric.

    Args:
        mol: With hydrogens.
        positions: Centered, Å. [n_full, 3]

    Returns:
        The positions, exactly symmetric, and their symmetry.
    """
    if np.linalg.matrix_rank(positions, tol=TOLERANCE) < 2:
        return positions, NO_SYMMETRY
    found = [(np.arange(len(positions)), 1)]
    for match in mol.GetSubstructMatches(mol, uniquify=False, maxMatches=MAX_AUTOMORPHISMS):
        order = np.array(match)
        for sign in (1, -1):
            turned = positions @ best_operation(positions, positions[order], sign).T
            identity = sign == 1 and (order == found[0][0]).all()
            if not identity and np.abs(turned - positions[order]).max() < TOLERANCE:
                found.append((order, sign))
    table = product_table(found)
    if len(found) == 1 or table is None:
        return positions, NO_SYMMETRY
    for _ in range(N_REFINEMENTS):
        operations = np.array([best_operation(positions, positions[order], sign) for order, sign in found])
        # atom i goes to the place of atom order[i]: bring that back
        positions = np.mean([positions[order] @ turn for (order, _), turn in zip(found, operations, strict=True)], axis=0)
    return positions, PointSymmetry(operations, table)


def best_operation(positions: np.ndarray, images: np.ndarray, sign: int) -> np.ndarray:
    """The orthogonal matrix of a determinant that brings positions next to images (Kabsch, Acta Cryst. A 1976, 32, 922). [3, 3]"""
    left, _, right = np.linalg.svd(images.T @ positions)
    return left @ np.diag([1.0, 1.0, sign * np.sign(np.linalg.det(left @ right))]) @ right


def product_table(found: list[tuple[np.ndarray, int]]) -> np.ndarray | None:
    """Number of the product of two operations (permutation, determinant), None if one is missing. [order, order]"""
    number = {(tuple(order.tolist()), sign): k for k, (order, sign) in enumerate(found)}
    table = np.zeros((len(found), len(found)), dtype=np.int64)
    for j, (one, sign) in enumerate(found):
        for k, (other, other_sign) in enumerate(found):
            # first `other`, then `one`
            product = number.get((tuple(one[other].tolist()), sign * other_sign))
            if product is None:
                return None
            table[j, k] = product
    return table


def embeddings(site: np.ndarray, symmetry: PointSymmetry) -> tuple[np.ndarray, ...]:
    """All ways in which the symmetry of a site can be part of that of a molecule: homomorphisms that keep traces.

    Args:
        site: Rotation parts, whole numbers, a group with the identity first. [order, 3, 3]
        symmetry: Of the molecule.

    Returns:
        For each way, the operation of the molecule for each of the site. [order of the site] int64
    """
    return _embeddings(np.rint(site).astype(np.int8).tobytes(), symmetry)


@lru_cache(maxsize=1024)
def _embeddings(key: bytes, symmetry: PointSymmetry) -> tuple[np.ndarray, ...]:
    """As `embeddings`; a symmetry is known by its identity, since conformers are kept."""
    site = np.frombuffer(key, dtype=np.int8).reshape(-1, 3, 3).astype(np.int64)
    if symmetry.order % len(site):
        return ()
    table = matrix_table(site)
    traces = np.trace(symmetry.operations, axis1=1, axis2=2)
    wanted = np.trace(site, axis1=1, axis2=2)
    candidates = [np.flatnonzero(np.abs(traces - trace) < 0.1) for trace in wanted]
    return tuple(_extended(table, symmetry.table, candidates, np.full(len(site), -1)))


def matrix_table(matrices: np.ndarray) -> np.ndarray:
    """Multiplication table of a group of matrices. [order, 3, 3] -> [order, order]"""
    products = np.einsum("aij,bjk->abik", matrices, matrices)
    return np.abs(products[:, :, None] - matrices).max((3, 4)).argmin(2)


def _extended(table: np.ndarray, images_table: np.ndarray, candidates: list[np.ndarray], images: np.ndarray) -> Iterator[np.ndarray]:
    """All homomorphisms that continue a partial one, in which -1 is an operation without image yet."""
    if images[0] < 0:
        images = images.copy()
        images[0] = 0
    open_ones = np.flatnonzero(images < 0)
    if not len(open_ones):
        yield images
        return
    for candidate in candidates[open_ones[0]]:
        tried = images.copy()
        tried[open_ones[0]] = candidate
        if _closed(table, images_table, candidates, tried):
            yield from _extended(table, images_table, candidates, tried)


def _closed(table: np.ndarray, images_table: np.ndarray, candidates: list[np.ndarray], images: np.ndarray) -> bool:
    """Fill in all products of what has an image; False where that contradicts."""
    changed = True
    while changed:
        changed = False
        known = np.flatnonzero(images >= 0)
        for j in known:
            for k in known:
                product, image = table[j, k], images_table[images[j], images[k]]
                if images[product] < 0:
                    if image not in candidates[product]:
                        return False
                    images[product] = image
                    changed = True
                elif images[product] != image:
                    return False
    return len(set(images[images >= 0].tolist())) == int((images >= 0).sum())

"""Earth mover's distance between pointwise distance distributions (Widdowson and Kurlin, NeurIPS 2022)."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import eye_array, kron, vstack
from scipy.spatial.distance import cdist
from torch import Tensor

from packflow import ops
from packflow.metrics.references import reference_rows
from packflow.metrics.validity import N_NEIGHBORS, good, neighbor_radius
from packflow.structure import AtomsBatch

# atoms of the common multiple of two cells up to which atoms are assigned one to one; beyond it a linear program is faster
MAX_ASSIGNED = 400
# Å; rows that agree to it are one in the linear program, the distance changes by no more
SAME = 1e-9


def pdd_distance(predictions: AtomsBatch, references: AtomsBatch, reference_of: Tensor | None = None, k: int = N_NEIGHBORS) -> Tensor:
    """Least mean change of the distances to the k nearest that turns the atoms of a prediction into those of its reference.

    The earth mover's distance between the rows of both, all atoms of a cell weighing the same and the largest difference of two rows
    being the cost. Exact. At least `amd_distance`, and zero for fewer pairs of different crystals; milliseconds a pair.

    Args:
        predictions: Any values.
        references: Any values.
        reference_of: The reference of each prediction; the one in its place if not given. [n_predictions] int64
        k: Number of neighbors.

    Returns:
        Å; NaN where either has a problem. [n_predictions] float64

    Raises:
        ValueError: `reference_of` does not fit, or k is no positive integer.
    """
    rows = reference_rows(predictions, references, reference_of)
    ours, theirs = _pdds(predictions, k), _pdds(references, k)
    pairs = ((p, theirs[r]) for p, r in zip(ours, rows.tolist(), strict=True))
    distances = [math.nan if p is None or q is None else earth_movers_distance(p, q) for p, q in pairs]
    return torch.tensor(distances, dtype=torch.float64, device=predictions.cell.device)


def earth_movers_distance(p: np.ndarray, q: np.ndarray) -> float:
    """Least mean Chebyshev distance over which rows of equal weight are moved to become those of another set.

    Args:
        p: [n, k]
        q: [m, k]
    """
    n_common = math.lcm(len(p), len(q))
    if n_common > MAX_ASSIGNED:
        return _transport(p, q)
    cost = cdist(p, q, "chebyshev").repeat(n_common // len(p), 0).repeat(n_common // len(q), 1)
    return float(cost[linear_sum_assignment(cost)].mean())


def _pdds(atoms: AtomsBatch, k: int) -> list[np.ndarray | None]:
    """Distances from each atom to its k nearest, [n_atoms, k] per structure; None for one with a problem."""
    fine = good(atoms, neighbor_radius(atoms, k).nan_to_num())
    some = atoms.select(fine)
    rows = ops.pdd(some.positions.double(), some.cell.double(), some.atom_ptr, k).cpu().numpy()
    found = iter(np.split(rows, some.atom_ptr[1:-1].tolist()) if len(some) else [])
    return [next(found) if ok else None for ok in fine.tolist()]


def _transport(p: np.ndarray, q: np.ndarray) -> float:
    """The same as a linear program over the distinct rows, for sets with a large common multiple."""
    (p, weights_p), (q, weights_q) = _collapse(p), _collapse(q)
    cost = cdist(p, q, "chebyshev")
    leaves = kron(eye_array(len(p)), np.ones((1, len(q))))
    enters = kron(np.ones((1, len(p))), eye_array(len(q)))
    sums = vstack([leaves, enters]).tocsr()
    # one of the sums follows from the others; leaving it out keeps rounding from making the program infeasible
    found = linprog(cost.ravel(), A_eq=sums[:-1], b_eq=np.concatenate([weights_p, weights_q])[:-1], method="highs")
    assert found.status == 0, found.message
    return float(found.fun)


def _collapse(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows and the share of each."""
    _, first, counts = np.unique(np.round(rows / SAME), axis=0, return_index=True, return_counts=True)
    return rows[first], counts / len(rows)

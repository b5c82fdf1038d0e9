"""Groups of equal AMD vectors in a large set, without comparing all pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from packflow.ops._check import check_tensor

# Columns of the AMD that the search tree sees; more of them reject more pairs early, but make every step down the tree dearer.
N_TREE_COLUMNS = 8
# AMD values compared at once: 64 MiB of float64 for the differences.
BLOCK_VALUES = 2**23

Confirm = Callable[[int, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class DuplicateGroups:
    """Which structures of a set are the same, as the representative of each group sees it.

    group:          [n] int64, group of each structure; -1 where the structure could not be compared.
    representative: [n_groups] int64, structure that stands for each group: the one of best priority, which also orders the groups.
    distance:       [n] float64, AMD distance to the representative in Å, at most the tolerance; NaN where not compared.
    problems:       why each structure could not be compared; empty for those that were. n of them.
    n_amd:          AMD distances that were computed in full.
    n_pdd:          PDD distances that were computed.
    """

    group: Tensor
    representative: Tensor
    distance: Tensor
    problems: tuple[str, ...]
    n_amd: int
    n_pdd: int

    def __len__(self) -> int:
        """Number of groups."""
        return len(self.representative)

    @property
    def sizes(self) -> Tensor:
        """Number of structures in each group. [n_groups] int64"""
        return torch.bincount(self.group[self.group >= 0], minlength=len(self))


def amd_groups(
    amds: Tensor,  # [n, k]
    tolerance: float = 0.01,
    kinds: Tensor | None = None,  # [n]
    priority: Tensor | None = None,  # [n]
    confirm: Confirm | None = None,
) -> DuplicateGroups:
    """Group AMD vectors that lie within a tolerance of the representative of their group.

    The structure of best priority takes all within the tolerance of it, then the best of the rest does, until none is left. So every
    member is within the tolerance of its representative, no representative is within the tolerance of another (unless `confirm` or
    `kinds` tells them apart), and chains of small steps do not join different crystals. The groups do not depend on the order of the
    input. Memory is a few times that of `amds`; no matrix of all pairs is made.

    Args:
        amds: Average minimum distances in Å, float32 or float64. [n, k]
        tolerance: Greatest L-infinity distance in Å of two vectors that are the same; at exactly the tolerance they are.
        kinds: Structures with different numbers are never the same, int64; by default all may be. [n]
        priority: Lower is better, an energy say; NaN comes last. Equal ones, or all by default, are ordered by their mean AMD, densest
            first, then by the AMD itself. [n]
        confirm: Called with a representative and the structures [n_near] within the tolerance of it; says which are the same. [n_near] bool

    Returns:
        The groups, best first, on the CPU. A vector that is not finite is in no group.

    Raises:
        ValueError: an argument of another shape or type, or a tolerance that is no number of at least 0.
    """
    n = check_tensor("amds", amds, ("n", "k"), (torch.float32, torch.float64))["n"]
    if not amds.shape[1]:
        raise ValueError(f"amds must have at least 1 column, got shape {tuple(amds.shape)}")
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"tolerance must be a number of at least 0 Å, got {tolerance}")
    if kinds is not None:
        check_tensor("kinds", kinds, (n,), torch.int64)
    if priority is not None:
        check_tensor("priority", priority, (n,), (torch.float32, torch.float64))
    vectors = amds.detach().cpu().double().contiguous().numpy()
    finite = np.isfinite(vectors).all(1)
    kind = np.zeros(n, dtype=np.int64) if kinds is None else kinds.cpu().numpy()
    order = _order(vectors, None if priority is None else priority.detach().cpu().double().numpy())
    search = _Search(vectors, float(tolerance), confirm)
    for ordered in _by_kind(order[finite[order]], kind):
        search.group(ordered)
    representative = order[search.leader[order] == order]
    rank = np.full(n, -1)
    rank[representative] = np.arange(len(representative))
    return DuplicateGroups(
        group=torch.from_numpy(np.where(finite, rank[search.leader], -1)),
        representative=torch.from_numpy(representative),
        distance=torch.from_numpy(search.distance),
        problems=tuple("" if good else "its AMD is not finite" for good in finite.tolist()),
        n_amd=search.n_amd,
        n_pdd=search.n_confirmed,
    )


def _order(vectors: np.ndarray, priority: np.ndarray | None) -> np.ndarray:
    """Structures from best to worst; equal ones have equal vectors, so that the order of the input does not matter. [n]"""
    keys = [*vectors.T[::-1], vectors.mean(1)]  # lexsort: the last key counts most
    return np.lexsort(keys if priority is None else [*keys, priority])


def _by_kind(ordered: np.ndarray, kind: np.ndarray) -> Iterator[np.ndarray]:
    """The structures of each kind, in the given order."""
    by_kind = ordered[np.argsort(kind[ordered], kind="stable")]
    return (part for part in np.split(by_kind, np.flatnonzero(np.diff(kind[by_kind])) + 1) if len(part))


class _Search:
    """Leader of each structure, found kind by kind.

    leader:   [n] the representative of each structure; -1 as long as there is none.
    distance: [n] AMD distance to it in Å; NaN as long as there is none.
    """

    def __init__(self, vectors: np.ndarray, tolerance: float, confirm: Confirm | None) -> None:
        """Nothing is grouped yet."""
        self.vectors, self.tolerance, self.confirm = vectors, tolerance, confirm
        self.leader = np.full(len(vectors), -1)
        self.distance = np.full(len(vectors), np.nan)
        self.n_amd = self.n_confirmed = 0
        # From the first column, which differs least between packings, to the last, where density shows.
        self.columns = np.unique(np.linspace(0, vectors.shape[1] - 1, N_TREE_COLUMNS).round().astype(int))
        # The tree rounds its distances otherwise than `near`, which decides.
        self.reach = tolerance * (1 + 1e-9) + 1e-12

    def group(self, ordered: np.ndarray) -> None:
        """Find the leaders among structures of one kind, the best first."""
        seen = np.ascontiguousarray(self.vectors[np.ix_(ordered, self.columns)])
        tree = cKDTree(seen, balanced_tree=False)
        for place, structure in enumerate(ordered.tolist()):
            if self.leader[structure] < 0:
                self.leader[structure], self.distance[structure] = structure, 0.0
                near = ordered[tree.query_ball_point(seen[place], self.reach, p=np.inf, return_sorted=True)]
                self._take(structure, near[self.leader[near] < 0])

    def _take(self, leader: int, candidates: np.ndarray) -> None:
        """Give the candidates that are the same as the leader to it."""
        distance = self._distances(leader, candidates)
        close = distance <= self.tolerance
        members, distance = candidates[close], distance[close]
        if self.confirm is not None and len(members):
            same = self.confirm(leader, members)
            self.n_confirmed += len(members)
            members, distance = members[same], distance[same]
        self.leader[members], self.distance[members] = leader, distance

    def _distances(self, leader: int, candidates: np.ndarray) -> np.ndarray:
        """L-infinity distances of the candidates to the leader, Å."""
        self.n_amd += len(candidates)
        block = max(1, BLOCK_VALUES // self.vectors.shape[1])
        out = np.empty(len(candidates))
        for first in range(0, len(candidates), block):
            part = slice(first, first + block)
            out[part] = np.abs(self.vectors[candidates[part]] - self.vectors[leader]).max(1)
        return out

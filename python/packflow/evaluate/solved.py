"""Whether a proposal is the known crystal: packing similarity of those that could be, RMSD_15."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch

from packflow.metrics.packing_similarity import packing_similarities
from packflow.structure import Crystal

N_MOLECULES, N_SOLVED = 15, 8
# Å; RMSD of one molecule up to which it matches
TOLERANCE = 1.0


def solved_columns(
    proposals: Sequence[Crystal], references: Sequence[Crystal], pairs: np.ndarray, clash_percent: np.ndarray
) -> dict[str, pa.Array]:
    """Packing similarity of pairs of proposals and references, and whether the reference is solved by it.

    Solved means that at least 8 molecules of a cluster of 15 of the reference lie on the proposal's, each within 1 Å, and that no atom of
    the proposal is in clash with one that it is not bonded to. What has a clash cannot be solved and is not overlaid. All the rest are, by
    one call that torch's threads share: no pair is left out by an estimate.

    Args:
        proposals: Any values.
        references: Crystals.
        pairs: Rows of both. [n_pairs, 2]
        clash_percent: Of the proposal of each pair, bonded pairs not counted; NaN where it has a problem. [n_pairs]

    Returns:
        n_matched (missing where it was not overlaid or cannot be), rmsd_15 (Å, of those that match, missing where not all do) and solved
        (missing only where the pair cannot be compared, such as linear molecules).
    """
    n_matched: list[int | None] = [None] * len(pairs)
    rmsd: list[float | None] = [None] * len(pairs)
    solved: list[bool | None] = [False] * len(pairs)
    clean = np.flatnonzero(clash_percent == 0)
    # the cluster is the reference's, so it comes first
    places = torch.from_numpy(np.stack([pairs[clean, 1] + len(proposals), pairs[clean, 0]], 1).astype(np.int64))
    found = packing_similarities([*proposals, *references], places, N_MOLECULES, TOLERANCE)
    for k, row in enumerate(clean.tolist()):
        if found.problems[k]:
            solved[row] = None
            continue
        matched = n_matched[row] = int(found.n_matched[k])
        solved[row] = matched >= N_SOLVED
        if bool(found.same[k]):
            rmsd[row] = float(found.rmsd[k])
    return {"n_matched": pa.array(n_matched, pa.int64()), "rmsd_15": pa.array(rmsd, pa.float64()), "solved": pa.array(solved, pa.bool_())}

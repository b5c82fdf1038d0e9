"""`amd` and `pdd` with k = 100 against the package average-minimum-distance, one thread."""

from __future__ import annotations

import amd as independent
import numba
import numpy as np
import torch
from cases import Case, measured
from harness import compare, smallest
from peers import crystals_of

from packflow.ops import amd, pdd

K = 100


def sets_of(case: Case) -> list[independent.PeriodicSet]:
    return [independent.PeriodicSet(x.positions, x.cell) for x in crystals_of(case)]


def amds(case: Case):
    """Compiled by numba at its first call, outside the clock."""
    sets = sets_of(case)
    return lambda: np.stack([independent.AMD(x, K) for x in sets])


def pdds(case: Case):
    """Rows in the order of the atoms, neither merged nor with their weights."""
    sets = sets_of(case)
    return lambda: np.concatenate([independent.PDD(x, K, lexsort=False, collapse=False)[:, 1:] for x in sets])


def check(ours: torch.Tensor, theirs: np.ndarray) -> None:
    worst = np.abs(ours.numpy() - theirs).max()
    assert worst < 1e-6, f"differs by {worst} Å"


def main() -> None:
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    quick = smallest()
    case = measured(4 if quick else 64)
    batch = case.positions.double(), case.cell.double(), case.atom_ptr
    for op, call, peer in (("amd", amd, amds), ("pdd", pdd, pdds)):
        compare(
            op,
            f"{case.name}, k = {K}",
            "average-minimum-distance",
            lambda call=call: call(*batch, K),
            peer(case),
            check,
            ("crystals", len(case.cell)),
            packages=("average-minimum-distance", "numba"),
            quick=quick,
        )


if __name__ == "__main__":
    main()

"""`amd` with k = 100 against the package average-minimum-distance, one thread."""

from __future__ import annotations

import amd as independent
import numba
import numpy as np
import torch
from cases import Case, measured
from harness import compare, smallest
from peers import crystals_of

from packflow.ops import amd

K = 100


def with_package(case: Case):
    """Compiled by numba at its first call, outside the clock."""
    sets = [independent.PeriodicSet(x.positions, x.cell) for x in crystals_of(case)]
    return lambda: np.stack([independent.AMD(x, K) for x in sets])


def check(ours: torch.Tensor, theirs: np.ndarray) -> None:
    worst = np.abs(ours.numpy() - theirs).max()
    assert worst < 1e-6, f"differs by {worst} Å"


def main() -> None:
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    quick = smallest()
    case = measured(4 if quick else 64)
    batch = case.positions.double(), case.cell.double(), case.atom_ptr
    compare(
        "amd",
        f"{case.name}, k = {K}",
        "average-minimum-distance",
        lambda: amd(*batch, K),
        with_package(case),
        check,
        ("crystals", len(case.cell)),
        packages=("average-minimum-distance", "numba"),
        quick=quick,
    )


if __name__ == "__main__":
    main()

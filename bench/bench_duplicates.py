"""Groups of AMD vectors against all pairwise distances by scipy, one thread; then time and memory of 100,000 of them."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import harness
import numpy as np
import torch
from scipy.spatial.distance import pdist, squareform
from torch import Tensor

from packflow.rank import DuplicateGroups, amd_groups

K = 100
TOLERANCE = 0.01  # Å
N_MODES = 25


def landscape(n: int, n_forms: int, seed: int = 0) -> Tensor:
    """AMD vectors of n proposals of one molecule that fell into about n_forms minima, some of them often. [n, K], Å

    Minima differ as in computed landscapes of succinic acid, caffeine and others: by smooth modes of amplitude 0.5 Å / (1 + mode) in L2.
    Proposals of one minimum differ by 1e-5 to 3e-3 Å in the softest mode, as after relaxations that stop at different thresholds.
    """
    rng = np.random.default_rng(seed)
    modes = np.sqrt(2 / K) * np.cos(np.pi * np.arange(N_MODES)[:, None] * (np.arange(K) + 0.5) / K)
    even = np.cbrt(3 * 18 * np.arange(1, K + 1) / (4 * np.pi))  # 18 Å3 per atom, evenly spread
    amplitudes = 0.5 / (1 + np.arange(N_MODES))
    forms = even + (rng.normal(size=(n_forms, N_MODES)) * amplitudes) @ modes
    form = np.minimum(0.02 * n_forms * rng.pareto(0.7, size=n), n_forms - 1).astype(int)
    form[rng.permutation(n)[:n_forms]] = np.arange(n_forms)
    scatter = 10 ** rng.uniform(-5, -2.5, size=(n, 1)) * np.sqrt(K / 2)
    moves = rng.normal(size=(n, 8)) / (1 + np.arange(8))
    return torch.from_numpy(np.sort(forms[form] + scatter * (moves @ modes[:8]), axis=1))


def by_all_pairs(amds: Tensor) -> np.ndarray:
    """Group of each vector by the definition, densest first: every distance is computed, then the best takes its neighbors."""
    vectors = amds.numpy()
    near = squareform(pdist(vectors, "chebyshev") <= TOLERANCE)
    group = np.full(len(vectors), -1)
    n_groups = 0
    for structure in np.argsort(vectors.mean(1)).tolist():
        if group[structure] < 0:
            group[structure] = n_groups
            group[near[structure] & (group < 0)] = n_groups
            n_groups += 1
    return group


def check(ours: DuplicateGroups, theirs: np.ndarray) -> None:
    assert np.array_equal(ours.group.numpy(), theirs), f"{(ours.group.numpy() != theirs).sum()} structures are in other groups"


def check_large(amds: Tensor, found: DuplicateGroups) -> None:
    """What can be checked without all pairs: members are near their representative; 200 representatives are far from all others."""
    assert (amds - amds[found.representative[found.group]]).abs().amax(1).max() <= TOLERANCE
    representatives = amds[found.representative]
    for place in range(0, len(found), max(1, len(found) // 200)):
        distance = (representatives - representatives[place]).abs().amax(1)
        distance[place] = torch.inf
        assert distance.min() > TOLERANCE


def reset_peak() -> bool:
    """Forget the highest memory use so far; False where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_mib() -> float:
    """The most memory that this process held since `reset_peak`, torch and the input included."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def report(case: str, amds: Tensor) -> None:
    """Time and memory of one set that is too large for all pairs."""
    measured = reset_peak()
    start = time.perf_counter()
    found = amd_groups(amds, TOLERANCE)
    seconds = time.perf_counter() - start
    peak = round(peak_mib()) if measured else None
    check_large(amds, found)
    row = {
        "op": "duplicates",
        "case": case,
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "ours_ms": 1e3 * seconds,
        "peak_mib": peak,
        "input_mib": round(amds.nbytes / 2**20),
        "n_groups": len(found),
        "n_amd": found.n_amd,
        "commit": harness._commit(),
    }
    print(json.dumps(row), flush=True)
    table = f"{'duplicates':<10} {case:<34} {seconds:>9.3f} s    {len(found)} groups, {found.n_amd} distances, peak {peak} MiB"
    print(table, file=sys.stderr)


def main() -> None:
    torch.set_num_threads(1)
    quick = harness.smallest()
    sizes = [(300, 60)] if quick else [(1000, 200), (5000, 1000), (5000, 5000)]
    for n, n_forms in sizes:
        amds = landscape(n, n_forms)
        harness.compare(
            op="duplicates",
            case=f"{n} AMDs, {n_forms} forms",
            peer="scipy",
            ours=lambda amds=amds: amd_groups(amds, TOLERANCE),
            theirs=lambda amds=amds: by_all_pairs(amds),
            check=check,
            work=("structures", float(n)),
            packages=("scipy",),
            quick=quick,
        )
    for n, n_forms in [(2000, 400)] if quick else [(100_000, 1000), (100_000, 20_000), (100_000, 100_000)]:
        report(f"{n} AMDs, {n_forms} forms", landscape(n, n_forms))


if __name__ == "__main__":
    main()

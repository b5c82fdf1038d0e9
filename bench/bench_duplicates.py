"""Groups of AMD vectors against all pairwise distances by scipy, one thread; then time and memory of 100,000 of them, and of crystals."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import harness
import numpy as np
import torch
from cases import measured
from scipy.spatial.distance import pdist, squareform
from torch import Tensor

from packflow.rank import DuplicateGroups, amd_groups, duplicates
from packflow.structure import AtomsBatch

K = 100
TOLERANCE = 0.01  # Å
N_MODES = 25
NOISE = 0.002  # Å, of atoms of proposals that are the same


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


def proposals(n_crystals: int, n_copies: int) -> AtomsBatch:
    """Every crystal n_copies times, each moved as a whole and its atoms by NOISE; the elements are left out."""
    case = measured(n_crystals)
    generator = torch.Generator().manual_seed(0)
    sizes = case.atom_ptr.diff().long().repeat(n_copies)
    n_atoms = int(sizes.sum())
    moves = 5 * torch.rand(len(sizes), 3, generator=generator, dtype=torch.float64)
    noise = NOISE * torch.randn(n_atoms, 3, generator=generator, dtype=torch.float64)
    zeros = torch.zeros(n_atoms, dtype=torch.int64)
    return AtomsBatch(
        atomic_numbers=zeros + 6,
        positions=case.positions.double().repeat(n_copies, 1) + moves.repeat_interleave(sizes, 0) + noise,
        cell=case.cell.double().repeat(n_copies, 1, 1),
        atom_ptr=torch.cat([torch.zeros(1), sizes.cumsum(0)]).int(),
        bond_index=torch.zeros(2, 0, dtype=torch.int64),
        has_bonds=torch.zeros(len(sizes), dtype=torch.bool),
        n_hydrogens=zeros,
    )


def check_copies(n_crystals: int, found: DuplicateGroups) -> None:
    """Copies are together, different crystals are apart."""
    groups = found.group.reshape(-1, n_crystals)
    assert (groups == groups[0]).all()
    assert len(found) == len(groups[0].unique()) == n_crystals


def report(case: str, run: Callable[[], DuplicateGroups], check: Callable[[DuplicateGroups], None], n_bytes: int) -> None:
    """Time and memory of one set that is too large for all pairs."""
    measurable = reset_peak()
    start = time.perf_counter()
    found = run()
    seconds = time.perf_counter() - start
    peak = round(peak_mib()) if measurable else None
    check(found)
    row = {
        "op": "duplicates",
        "case": case,
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "ours_ms": 1e3 * seconds,
        "peak_mib": peak,
        "input_mib": round(n_bytes / 2**20),
        "n_groups": len(found),
        "n_amd": found.n_amd,
        "n_pdd": found.n_pdd,
        "commit": harness._commit(),
    }
    print(json.dumps(row), flush=True)
    counts = f"{len(found)} groups, {found.n_amd} AMD and {found.n_pdd} PDD distances"
    print(f"{'duplicates':<10} {case:<34} {seconds:>9.3f} s    {counts}, peak {peak} MiB", file=sys.stderr)


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
        amds = landscape(n, n_forms)
        report(f"{n} AMDs, {n_forms} forms", lambda a=amds: amd_groups(a, TOLERANCE), lambda g, a=amds: check_large(a, g), amds.nbytes)
    n_crystals, n_copies = (4, 5) if quick else (64, 1563)
    atoms = proposals(n_crystals, n_copies)
    for name, pdd_tolerance in (("AMD", None), ("AMD and PDD", 0.05)):
        report(
            f"{len(atoms)} crystals, {name}",
            lambda tolerance=pdd_tolerance: duplicates(atoms, pdd_tolerance=tolerance),
            lambda found: check_copies(n_crystals, found),
            atoms.positions.nbytes,
        )


if __name__ == "__main__":
    main()

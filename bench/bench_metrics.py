"""All metrics of the paper's tables for a prediction and its reference, against a plain rewriting of the released evaluation.

The released code takes 11 to 44 ms of CPU per pair by its authors' choice of libraries: vesin lists, torch histograms and the package
average-minimum-distance, one pair at a time, all pairs to 10 Å listed for the histogram and again to 6 Å for clashes. Ours is `compare`,
which makes more columns than the paper has; once on all pairs together and once on a single pair.
"""

from __future__ import annotations

import amd as independent
import numba
import numpy as np
import pyarrow as pa
import torch
import vesin
from cases import Case, measured
from harness import compare as race
from harness import smallest
from peers import OneCrystal, crystals_of

from packflow.elements import ATOMIC_NUMBERS, COVALENT_RADII, MASSES
from packflow.metrics import compare
from packflow.structure import AtomsBatch

COLUMNS = ("density_error_percent", "clash_percent", "amd_distance", "rdf_distance", "rdf_distance_short")
NOISE, STRAIN = 0.1, 1.03
SYMBOL_OF_RADIUS = {round(r, 3): symbol for symbol, r in COVALENT_RADII.items()}


def atoms_of(crystals: list[OneCrystal]) -> AtomsBatch:
    """Without bonds: the paper's tables need none. The radii tell the elements."""
    sizes = [len(x.positions) for x in crystals]
    numbers = [[ATOMIC_NUMBERS[symbol] for symbol in symbols_of(x)] for x in crystals]
    return AtomsBatch(
        atomic_numbers=torch.tensor([z for one in numbers for z in one]),
        positions=torch.from_numpy(np.concatenate([x.positions for x in crystals])),
        cell=torch.from_numpy(np.stack([x.cell for x in crystals])),
        atom_ptr=torch.tensor(np.cumsum([0, *sizes]), dtype=torch.int32),
        bond_index=torch.zeros(2, 0, dtype=torch.int64),
        has_bonds=torch.zeros(len(crystals), dtype=torch.bool),
        n_hydrogens=torch.zeros(sum(sizes), dtype=torch.int64),
    )


def symbols_of(crystal: OneCrystal) -> list[str]:
    return [SYMBOL_OF_RADIUS[round(float(r), 3)] for r in crystal.radii]


def perturbed(crystal: OneCrystal, rng: np.random.Generator) -> OneCrystal:
    """A prediction: strained, with noise."""
    positions = (crystal.positions + rng.normal(0, NOISE, crystal.positions.shape)) * STRAIN
    return OneCrystal(positions, crystal.cell * STRAIN, crystal.radii, crystal.place)


def density(crystal: OneCrystal) -> float:
    return 1.660539 * sum(MASSES[s] for s in symbols_of(crystal)) / abs(np.linalg.det(crystal.cell))


def clash_percent(crystal: OneCrystal) -> float:
    i, j, distance = vesin.NeighborList(cutoff=6.0, full_list=True, n_threads=1).compute(crystal.positions, crystal.cell, True, "ijd")
    close = distance < 0.75 * (crystal.radii[i] + crystal.radii[j])
    return 100 * len(np.unique(i[close])) / len(crystal.positions)


def histogram(crystal: OneCrystal) -> torch.Tensor:
    (distance,) = vesin.NeighborList(cutoff=10.0, full_list=True, n_threads=1).compute(crystal.positions, crystal.cell, True, "d")
    counts = torch.histc(torch.from_numpy(distance), 100, 0.0, 10.0)
    return counts / counts.sum()


def wasserstein(p: torch.Tensor, q: torch.Tensor) -> float:
    return 0.1 * float(((p / p.sum()).cumsum(0) - (q / q.sum()).cumsum(0)).abs().sum())


def released(prediction: OneCrystal, reference: OneCrystal) -> list[float]:
    """The paper's numbers of one pair, in the order of COLUMNS."""
    p, q = histogram(prediction), histogram(reference)
    sets = [independent.PeriodicSet(x.positions, x.cell) for x in (prediction, reference)]
    amds = [independent.AMD(x, 100) for x in sets]
    return [
        100 * abs(density(prediction) / density(reference) - 1),
        clash_percent(prediction),
        float(np.abs(amds[0] - amds[1]).max()),
        wasserstein(p, q),
        wasserstein(p[:50], q[:50]),
    ]


def check(table: pa.Table, theirs: list[list[float]]) -> None:
    """Equal but for distances at a bin's edge."""
    ours = np.stack([table[name].to_numpy() for name in COLUMNS], 1)
    worst = np.abs(ours - np.array(theirs)).max(0)
    assert (worst < (1e-6, 1e-9, 1e-6, 2e-3, 1e-2)).all(), dict(zip(COLUMNS, worst.tolist(), strict=True))


def pairs_of(case: Case) -> list[tuple[OneCrystal, OneCrystal]]:
    rng = np.random.default_rng(0)
    return [(perturbed(x, rng), x) for x in crystals_of(case)]


def main() -> None:
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    quick = smallest()
    pairs = pairs_of(measured(4 if quick else 64))
    by_size = sorted(pairs, key=lambda pair: len(pair[0].positions))
    some = [("pairs together", pairs)] + [(f"1 pair, {len(x[0].positions)} atoms", [x]) for x in by_size[:: max(1, len(pairs) // 3)]]
    for name, these in some:
        predictions, references = (atoms_of(list(x)) for x in zip(*these, strict=True))
        race(
            "metrics",
            f"{len(these)} {name}" if len(these) > 1 else name,
            "released, rewritten",
            lambda p=predictions, r=references: compare(p, r),
            lambda these=these: [released(*pair) for pair in these],
            check,
            ("pairs", len(these)),
            packages=("vesin", "average-minimum-distance"),
            quick=quick,
        )


if __name__ == "__main__":
    main()

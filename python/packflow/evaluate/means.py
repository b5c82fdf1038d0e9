"""From scores of proposals to numbers of an engine: means over proposals, then crystals, then molecules, with confidence intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from packflow.evaluate.solved import N_SOLVED

N_RESAMPLES = 10_000
CONFIDENCE = 0.95
# column of the scores, unit, what it is in tables; "" is a share
MEANS = {
    "density_error_percent": ("%", "density error"),
    "clash_percent": ("%", "atoms in clash"),
    "clash_nonbonded_percent": ("%", "atoms in clash, bonded pairs not counted"),
    "amd_distance": ("Å", "AMD distance"),
    "rdf_distance": ("Å", "RDF distance"),
    "rdf_distance_short": ("Å", "RDF distance, short"),
    "pdd_distance": ("Å", "PDD distance"),
    "contact_f1": ("", "contact F1"),
    "bonds_valid_percent": ("%", "valid bonds"),
    "bonds_valid": ("", "proposals whose bonds are all valid"),
    "valid_cell": ("", "proposals with a valid cell"),
    "n_matched": ("of 15", "molecules that overlay, of proposals without clash"),
    "solved": ("", "proposals that solve the crystal"),
}
# of a crystal rather than a proposal: unit and what it is
OF_CRYSTAL = {
    "valid": ("", "valid proposals"),
    "failed": ("", "proposals that are no crystal"),
    "amd_best": ("Å", "best AMD distance"),
    "n_matched_best": ("of 15", "most molecules that overlay"),
    "solved_any": ("", f"crystals solved: {N_SOLVED} of 15 molecules, no clash"),
    "distinct": ("", "distinct packings per proposal"),
}
# medians over proposals: one clash has the energy of a hundred others
MEDIANS = {
    "energy_above_known": ("eV per heavy atom", "energy above the known crystal, median"),
    "force": ("eV/Å", "mean force, median"),
}
BEST = {"amd_best": ("amd_distance", np.min), "n_matched_best": ("n_matched", np.max), "solved_any": ("solved", np.max)}
OF_RELEASED = {
    "released_density_mape_pct": ("%", "density error, as released"),
    "released_clash_total_pct": ("%", "atoms in clash, as released"),
    "released_amd_linf": ("Å", "AMD distance, as released"),
    "released_rdf_wasserstein": ("Å", "RDF distance, as released"),
    "released_rdf_wasserstein_short_range": ("Å", "RDF distance, short, as released"),
}
METRICS = {**MEANS, **OF_CRYSTAL, **MEDIANS, **OF_RELEASED}


@dataclass(frozen=True)
class Mean:
    """A number of an engine.

    metric:      a key of METRICS, or "seconds".
    unit:        of the number.
    mean:        over molecules; None where no molecule has the number.
    low, high:   95 % confidence interval of it, by resampling molecules; None for fewer than two molecules.
    n_molecules: in the mean.
    n_missing:   molecules without the number.
    """

    metric: str
    unit: str
    mean: float | None
    low: float | None
    high: float | None
    n_molecules: int
    n_missing: int


def crystal_table(scores: pa.Table) -> pa.Table:
    """A row per known crystal: means over its proposals that did not fail, and what is of all of them together.

    Args:
        scores: From `packflow.evaluate.judging.score_engine`.

    Returns:
        molecule, case, reference, n_proposals and the columns of METRICS that the scores allow, float64; missing where no proposal has
        a value. Shares are of all proposals, failed ones among them.
    """
    numbers = {name: scores[name].cast(pa.float64()).to_numpy() for name in (*MEANS, *MEDIANS, *OF_RELEASED) if name in scores.column_names}
    problem, flag = (np.array([bool(x) for x in scores[name].to_pylist()], dtype=bool) for name in ("problem", "flag"))
    packing = scores["packing"].cast(pa.float64()).to_numpy()
    keys = list(zip(*(scores[name].to_pylist() for name in ("molecule", "case", "reference")), strict=True))
    rows_of: dict[tuple[str, str, str], list[int]] = {}
    for row, key in enumerate(keys):
        rows_of.setdefault(key, []).append(row)
    table = []
    for (molecule, case, reference), rows in rows_of.items():
        fine = [row for row in rows if not problem[row]]
        of_crystal = {"molecule": molecule, "case": case, "reference": reference, "n_proposals": len(rows)}
        of_crystal |= {name: mean_of(values[rows if name in OF_RELEASED else fine]) for name, values in numbers.items()}
        of_crystal |= {name: best_of(numbers[name][fine], np.median) for name in MEDIANS if name in numbers}
        of_crystal |= {name: best_of(numbers[column][fine], best) for name, (column, best) in BEST.items() if column in numbers}
        if "solved" in numbers:
            # one that is no crystal solves nothing
            known = numbers["solved"][rows]
            of_crystal["solved"] = None if np.isnan(known).all() else float(np.nansum(known) / len(rows))
        of_crystal["failed"] = 1 - len(fine) / len(rows)
        of_crystal["valid"] = float((~problem[rows] & ~flag[rows]).mean())
        of_crystal["distinct"] = len(np.unique(packing[rows][~np.isnan(packing[rows])])) / len(rows)
        table.append(of_crystal)
    return pa.Table.from_pylist(table)


def mean_of(values: np.ndarray) -> float | None:
    """Of the numbers that are there."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else None


def best_of(values: np.ndarray, best: Callable[[np.ndarray], float]) -> float | None:
    """Least, greatest or median of the numbers that are there."""
    there = values[~np.isnan(values)]
    return float(best(there)) if len(there) else None


def means_of(crystals: pa.Table, seconds: float | None = None, seed: int = 0) -> list[Mean]:
    """Numbers of an engine.

    Args:
        crystals: From `crystal_table`.
        seconds: Wall time per proposal.
        seed: Of the resampling; with the same molecules the same ones are drawn for every engine and metric.
    """
    molecules = crystals["molecule"].to_pylist()
    found = []
    for metric, (unit, _) in METRICS.items():
        if metric in crystals.column_names:
            # the released code averages over crystals
            groups = crystals["reference"].to_pylist() if metric in OF_RELEASED else molecules
            found.append(mean_with_interval(metric, unit, group_means(crystals[metric].cast(pa.float64()).to_numpy(), groups), seed))
    if seconds is not None:
        n = len(set(molecules))
        found.append(Mean("seconds", "s", seconds, None, None, n, 0))
    return found


def group_means(values: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Mean of the values of each group that are there, NaN without any, in the order of their first ones. [n_groups]"""
    names = list(dict.fromkeys(groups))
    place = np.array([names.index(group) for group in groups])
    there = ~np.isnan(values)
    counts = np.bincount(place[there], minlength=len(names))
    sums = np.bincount(place[there], values[there], minlength=len(names))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def mean_with_interval(metric: str, unit: str, values: np.ndarray, seed: int) -> Mean:
    """Mean over molecules and its percentile bootstrap interval. values: [n_molecules], NaN where missing"""
    there = values[~np.isnan(values)]
    if not len(there):
        return Mean(metric, unit, None, None, None, 0, len(values))
    low, high = interval(there, seed) if len(there) > 1 else (None, None)
    return Mean(metric, unit, float(there.mean()), low, high, len(there), len(values) - len(there))


def interval(values: np.ndarray, seed: int) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean (Efron, Ann. Statist. 7, 1, 1979). values: [n]"""
    drawn = torch.randint(len(values), (N_RESAMPLES, len(values)), generator=torch.Generator().manual_seed(seed)).numpy()
    low, high = np.quantile(values[drawn].mean(1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def best_of_n(scores: pa.Table, metric: str = "amd_distance") -> np.ndarray:
    """Expected least value among n proposals of a crystal, mean over crystals, then molecules (paper, appendix E).

    Exact for n proposals drawn from those that there are, so that the curve has no noise of an order. One that failed counts as the worst
    that did not.

    Args:
        scores: From `packflow.evaluate.judging.score_engine`.
        metric: Column of which less is better.

    Returns:
        For n = 1 to the least number of proposals that a crystal has. [n]
    """
    values: dict[tuple[str, str], list[float]] = {}
    columns = (scores[name].to_pylist() for name in ("molecule", "reference", metric))
    for molecule, reference, value in zip(*columns, strict=True):
        values.setdefault((molecule, reference), []).append(np.nan if value is None else value)
    usable = {key: np.sort(np.nan_to_num(found, nan=np.nanmax(found))) for key, found in values.items() if not np.isnan(found).all()}
    if not usable:
        return np.zeros(0)
    n_most = min(len(found) for found in usable.values())
    curves = np.stack([expected_least(found, n_most) for found in usable.values()])
    molecules = [molecule for molecule, _ in usable]
    return np.stack([group_means(column, molecules).mean() for column in curves.T])


def expected_least(ascending: np.ndarray, n_most: int) -> np.ndarray:
    """Expected least of n of the values drawn without repeats, for n = 1 to n_most. ascending: [n_values]"""
    total, expected = len(ascending), []
    # chance that all n drawn ones are among the last total - k
    none_below = np.ones(total + 1)
    remaining = total - np.arange(total + 1)
    for n in range(1, n_most + 1):
        none_below = none_below * np.maximum(remaining - n + 1, 0) / (total - n + 1)
        expected.append(float((ascending * (none_below[:-1] - none_below[1:])).sum()))
    return np.array(expected)

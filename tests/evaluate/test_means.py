"""Means, intervals and best-of-n against plain ways to the same numbers."""

from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest

from packflow.evaluate.means import best_of_n, crystal_table, expected_least, group_means, interval, means_of

SCORES = {
    "molecule": ["A", "A", "A", "A", "B", "B"],
    "case": ["m1#2", "m1#2", "m1#4", "m1#4", "m2#2", "m2#2"],
    "reference": ["a", "a", "b", "b", "c", "c"],
    "problem": ["", "flat", "", "", "", ""],
    "flag": ["", "", "clash", "", "", ""],
    "amd_distance": [0.4, None, 0.2, 0.6, 1.0, 3.0],
    "clash_percent": [0.0, None, 10.0, 20.0, 1.0, 3.0],
    "packing": [0, None, 0, 0, 0, 1],
    "n_matched": [9, None, None, 3, 2, 4],
    "solved": [True, False, False, False, False, False],
    "energy_above_known": [1.0, None, 5.0, 7.0, 1.0, 1.0],
}


def test_means_over_proposals_then_crystals_then_molecules():
    crystals = crystal_table(pa.table(SCORES))
    assert crystals["amd_distance"].to_pylist() == pytest.approx([0.4, 0.4, 2.0])
    assert crystals["amd_best"].to_pylist() == pytest.approx([0.4, 0.2, 1.0])
    assert crystals["failed"].to_pylist() == [0.5, 0.0, 0.0]
    assert crystals["valid"].to_pylist() == [0.5, 0.5, 1.0]
    assert crystals["distinct"].to_pylist() == [0.5, 0.5, 1.0]
    assert crystals["solved"].to_pylist() == [0.5, 0.0, 0.0]
    assert crystals["n_matched_best"].to_pylist() == [9, 3, 4]
    means = {mean.metric: mean for mean in means_of(crystals, seconds=0.5)}
    assert means["amd_distance"].mean == pytest.approx((0.4 + 2.0) / 2)
    assert means["clash_percent"].mean == pytest.approx(((0.0 + 15.0) / 2 + 2.0) / 2)
    assert means["solved_any"].mean == pytest.approx((0.5 + 0.0) / 2)
    assert means["energy_above_known"].mean == pytest.approx(((1.0 + 6.0) / 2 + 1.0) / 2)
    assert (means["seconds"].mean, means["seconds"].unit) == (0.5, "s")
    assert "pdd_distance" not in means


def test_what_no_molecule_has_is_missing():
    scores = pa.table({**SCORES, "amd_distance": pa.array([None] * 4 + [1.0, 3.0], pa.float64())})
    mean = next(mean for mean in means_of(crystal_table(scores)) if mean.metric == "amd_distance")
    assert (mean.mean, mean.low, mean.n_molecules, mean.n_missing) == (2.0, None, 1, 1)


def test_interval_is_that_of_the_normal_theory():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    low, high = interval(values, seed=0)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)
    assert interval(values, seed=0) == (low, high)


def test_expected_least_is_the_mean_over_all_choices():
    values = np.array([0.1, 0.4, 0.4, 2.0, 5.0])
    wanted = [np.mean([min(chosen) for chosen in combinations(values, n)]) for n in range(1, 6)]
    assert expected_least(values, 5) == pytest.approx(wanted)


def test_best_of_n():
    # the failed proposal of crystal a counts as its other one
    assert best_of_n(pa.table(SCORES)) == pytest.approx([((0.4 + 0.4) / 2 + 2.0) / 2, ((0.4 + 0.2) / 2 + 1.0) / 2])
    two = pa.table({**SCORES, "amd_distance": [0.4, 0.8, 0.2, 0.6, 1.0, 3.0]})
    assert best_of_n(two) == pytest.approx([((0.6 + 0.4) / 2 + 2.0) / 2, ((0.4 + 0.2) / 2 + 1.0) / 2])
    nothing = pa.table({**SCORES, "amd_distance": pa.array([None] * 6, pa.float64())})
    assert len(best_of_n(nothing)) == 0


def test_group_means_keep_the_order():
    assert group_means(np.array([1.0, 5.0, 3.0, np.nan]), ["b", "a", "b", "c"]).tolist()[:2] == [2.0, 5.0]

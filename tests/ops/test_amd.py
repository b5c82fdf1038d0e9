"""average-minimum-distance -> reference -> every instruction set of the CPU kernel; AMD and PDD."""

import importlib
import itertools

import amd as independent
import numpy as np
import pytest
import torch

from packflow import _C
from packflow.ops import amd, pdd, reference
from packflow.ops._crystals import Crystals

DTYPES = [torch.float32, torch.float64]
SETS = _C.instruction_sets()
# of float32 rows: half a unit in the last place of 10 Å
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-10}


def launch(op, batch, k, instruction_set):
    return importlib.import_module("packflow.ops.amd")._launch(op, Crystals.of(*batch), k, instruction_set)


def independent_amd(positions, cell, atom_ptr, k):
    """Of the package average-minimum-distance, which misses neighbours of atoms outside the cell. [n_crystals, k]"""
    sets = []
    for (i, j), c in zip(itertools.pairwise(atom_ptr.tolist()), cell.double(), strict=True):
        fractional = positions[i:j].double() @ c.inverse()
        sets.append(independent.PeriodicSet(((fractional % 1.0) @ c).numpy(), c.numpy()))
    return torch.from_numpy(np.stack([independent.AMD(s, k) for s in sets]))


def assert_close(x, y, dtype):
    torch.testing.assert_close(x.double(), y.double(), rtol=0, atol=TOLERANCE[dtype], equal_nan=True)


@pytest.mark.parametrize("k", [1, 16, 100])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_named_cases(periodic_cases, as_dtype, dtype, k):
    for case in periodic_cases.values():
        batch = as_dtype(case, dtype)
        if k == 100 and batch[1].abs().max() > 50:
            continue  # the reference would look at 1e9 pairs
        rows, mean = reference.pdd(*batch, k), reference.amd(*batch, k)
        for instruction_set in SETS:
            assert_close(launch("pdd", batch, k, instruction_set), rows, dtype)
            assert_close(launch("amd", batch, k, instruction_set), mean, dtype)


@pytest.mark.parametrize("k", [1, 7, 100, 1000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_random_crystals(random_crystals, dtype, k):
    batch = random_crystals([1, 2, 5, 16, 33, 64], dtype=dtype)[:3]
    expected = independent_amd(*batch, k)
    for instruction_set in SETS:
        rows = launch("pdd", batch, k, instruction_set)
        assert (rows.diff(dim=1) >= 0).all()
        means = torch.stack([rows[i:j].double().mean(0) for i, j in itertools.pairwise(batch[2].tolist())])
        assert_close(means, expected, dtype)
        assert_close(launch("amd", batch, k, instruction_set), expected, dtype)


def test_reference_is_the_independent_one(random_crystals):
    batch = random_crystals([1, 4, 12])[:3]
    assert_close(reference.amd(*batch, 40), independent_amd(*batch, 40), torch.float64)


def test_large_crystal(random_crystals):
    batch = random_crystals([2000])[:3]
    assert_close(amd(*batch), independent_amd(*batch, 100), torch.float64)


def test_clusters_in_vacuum(crystal):
    """Far from evenly spread: the first radius holds too few or far too many."""
    rng = np.random.default_rng(0)
    cluster = rng.normal(size=(30, 3))
    batch = crystal(60 * torch.eye(3), np.concatenate([cluster, cluster + 25]))
    for k in (10, 59, 60, 200):
        assert_close(amd(*batch, k), independent_amd(*batch, k), torch.float64)


def test_simple_cubic_by_hand(crystal):
    row = [2.0] * 6 + [8**0.5] * 12 + [12**0.5] * 8 + [4.0] * 6
    assert pdd(*crystal(2 * torch.eye(3), [0.3, 0.3, 0.3]), k=32)[0].tolist() == pytest.approx(row)


def test_measured_crystals_to_a_millionth(measured_crystals, join):
    batch = join(*measured_crystals[::13])[:3]
    assert (amd(*batch) - independent_amd(*batch, 100)).abs().max() < 1e-6


def test_empty_crystals_have_no_mean(random_crystals):
    batch = random_crystals([0, 5, 0])[:3]
    mean = amd(*batch, 10)
    assert mean[[0, 2]].isnan().all()
    assert mean[1].isfinite().all()
    assert amd(torch.zeros(0, 3), torch.zeros(0, 3, 3), torch.zeros(1, dtype=torch.int32)).shape == (0, 100)
    assert pdd(torch.zeros(0, 3), torch.eye(3)[None], torch.zeros(2, dtype=torch.int32)).shape == (0, 100)


def test_threads_change_no_bit(random_crystals):
    batch = random_crystals([37] * 9)[:3]
    expected = amd(*batch)
    torch.set_num_threads(3)
    try:
        assert torch.equal(amd(*batch), expected)
    finally:
        torch.set_num_threads(1)

"""vesin and numpy -> reference -> every instruction set of the CPU kernel."""

import importlib

import numpy as np
import pytest
import torch

from packflow import _C
from packflow.ops import rdf, reference
from packflow.ops._crystals import Crystals

DTYPES = [torch.float32, torch.float64]
SETS = _C.instruction_sets()


def launch(batch, r_max, n_bins, instruction_set):
    return importlib.import_module("packflow.ops.rdf")._launch(Crystals.of(*batch), r_max, n_bins, instruction_set)


@pytest.fixture
def vesin_rdf(vesin_pairs):
    """Histogram of the distances of vesin's pairs."""

    def histogram(positions, cell, atom_ptr, r_max, n_bins):
        table = vesin_pairs(positions, cell, atom_ptr, r_max)
        owner = torch.bucketize(table[:, 0].contiguous(), atom_ptr[1:].long(), right=True)
        offset = torch.einsum("ps,psx->px", table[:, 2:].double(), cell.double()[owner])
        distance = (positions.double()[table[:, 1]] - positions.double()[table[:, 0]] + offset).norm(dim=1)
        edges = np.linspace(0, r_max, n_bins + 1)
        return torch.from_numpy(np.stack([np.histogram(distance[owner == c], edges)[0] for c in range(len(cell))]))

    return histogram


def assert_same_but_for_edges(counts, expected):
    """Equal counts, but a distance on the edge of two bins may be in either."""
    assert (counts.cumsum(1) - expected.cumsum(1)).abs().sum() <= 1e-4 * expected.sum()
    assert torch.equal(counts.sum(1), expected.sum(1))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_named_cases(periodic_cases, as_dtype, dtype):
    """Lattices, whose distances lie on edges of bins, are decided as in the reference."""
    for name, case in periodic_cases.items():
        batch = as_dtype(case, dtype)
        # 0.37 Å: no lattice distance of the cases is a multiple
        for r_max, n_bins in ((7.4, 20), (1.85, 5)):
            expected = reference.rdf(*batch, r_max, n_bins)
            for instruction_set in SETS:
                assert torch.equal(launch(batch, r_max, n_bins, instruction_set), expected), name


@pytest.mark.parametrize("n_bins", [1, 100, 100_000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_random_crystals(random_crystals, vesin_rdf, dtype, n_bins):
    batch = random_crystals([1, 2, 7, 16, 33, 0, 64, 900], dtype=dtype)[:3]
    expected = vesin_rdf(*batch, 6.0, n_bins)
    counts = [launch(batch, 6.0, n_bins, instruction_set) for instruction_set in SETS]
    assert all(torch.equal(c, counts[0]) for c in counts)
    assert_same_but_for_edges(counts[0], expected)


def test_reference_and_kernel(random_crystals):
    batch = random_crystals([1, 5, 9, 0, 20])[:3]
    expected = reference.rdf(*batch, 5.0, 64)
    assert expected.sum() > 100
    for instruction_set in SETS:
        assert torch.equal(launch(batch, 5.0, 64, instruction_set), expected)


def test_simple_cubic_by_hand(crystal):
    """6 neighbours at 2 Å, 12 at 2.83 Å, 8 at 3.46 Å."""
    counts = rdf(*crystal(2 * torch.eye(3), [0.3, 0.3, 0.3]), r_max=3.9, n_bins=13)
    assert counts.tolist() == [[0, 0, 0, 0, 0, 0, 6, 0, 0, 12, 0, 8, 0]]


def test_the_edge_belongs_to_the_upper_bin_and_r_max_to_none(crystal):
    batch = crystal(8 * torch.eye(3), [[1, 1, 1], [2.5, 1, 1]])
    assert rdf(*batch, r_max=3.0, n_bins=2).tolist() == [[0, 2]]
    assert rdf(*batch, r_max=1.5, n_bins=2).tolist() == [[0, 0]]


def test_a_hair_on_either_side_of_an_edge(crystal, join):
    rng = np.random.default_rng(0)
    batches, expected = [], []
    for k in range(300):
        cell = (60, 300, 3000)[k % 3] * (np.eye(3) + 0.1 * rng.normal(size=(3, 3)))
        direction = rng.normal(size=3)
        step = (5.0 - 1e-10 if k % 2 else 5.0 + 1e-10) * direction / np.linalg.norm(direction)
        first = rng.uniform(0, 1, 3) @ cell
        batches.append(crystal(cell, np.stack([first, first + step])))
        expected.append([2, 0] if k % 2 else [0, 2])
    for instruction_set in SETS:
        assert launch(join(*batches), 10.0, 2, instruction_set).tolist() == expected


def test_measured_crystals(measured_crystals, join, vesin_rdf):
    batch = join(*measured_crystals[::4])[:3]
    assert_same_but_for_edges(rdf(*batch, 6.0, 60), vesin_rdf(*batch, 6.0, 60))


def test_threads_change_nothing(random_crystals):
    batch = random_crystals([37] * 9)[:3]
    expected = rdf(*batch)
    torch.set_num_threads(3)
    try:
        assert torch.equal(rdf(*batch), expected)
    finally:
        torch.set_num_threads(1)


def test_no_crystals_and_no_atoms():
    assert rdf(torch.zeros(0, 3), torch.zeros(0, 3, 3), torch.zeros(1, dtype=torch.int32)).shape == (0, 100)
    assert rdf(torch.zeros(0, 3), torch.eye(3)[None], torch.zeros(2, dtype=torch.int32)).sum() == 0

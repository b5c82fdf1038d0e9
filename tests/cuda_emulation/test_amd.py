"""The CUDA kernels of pdd and amd, run on the CPU, against the reference."""

import numpy as np
import pytest
import torch

from packflow.ops import reference

# Lattice vectors in another order of additions move a distance by some 1e-14 Å; float32 results differ by one rounding.
TOLERANCE = {torch.float32: {"rtol": 1.2e-7, "atol": 1e-12}, torch.float64: {"rtol": 1e-12, "atol": 1e-12}}
# Room for few distances in shared memory: nearly all rows come from the radix select.
SELECT = ("nearest.cuh", "kMostHeld = 1024", "kMostHeld = 8")


@pytest.fixture
def emulated(run):
    """The rows of the emulated `pdd` or means of `amd`, which must be the same for each order of the threads."""

    def emulated(function, batch, k, **options):
        n_atoms, dtype = len(batch[0]), batch[0].dtype
        n_rows = n_atoms if function == "pdd" else len(batch[1])
        workspace, out = np.full((n_atoms, k), np.nan), torch.full((n_rows, k), torch.nan, dtype=dtype)
        one, *others = (x["out"] for x in run(function, batch, k=k, workspace=workspace, out=out, **options))
        assert all(torch.equal(one.nan_to_num(), other.nan_to_num()) for other in others)
        return one

    return emulated


@pytest.fixture(scope="module")
def small(awkward):
    """The awkward crystals of at most eight atoms."""

    def small(dtype):
        positions, cell, atom_ptr = awkward(dtype)
        sizes = atom_ptr.diff()
        few = sizes <= 8
        atom_ptr = torch.tensor([0, *sizes[few].cumsum(0).tolist()], dtype=torch.int32)
        return positions[few.repeat_interleave(sizes.long())], cell[few], atom_ptr

    return small


def many_at_few_places():
    """A primitive cubic lattice, and 100 atoms at three places: nearly all distances are equal to many others."""
    places = torch.tensor([[0.5, 1.0, 2.0], [2.0, 1.5, 2.5], [4.0, 4.5, 3.5]], dtype=torch.float64)
    positions = torch.cat([torch.zeros_like(places[:1]), places.repeat_interleave(torch.tensor([60, 30, 10]), dim=0)])
    cell = torch.eye(3, dtype=torch.float64) * torch.tensor([3.0, 6.0])[:, None, None]
    return positions, cell.contiguous(), torch.tensor([0, 1, 101], dtype=torch.int32)


def assert_same(got, expected):
    torch.testing.assert_close(got, expected, equal_nan=True, **TOLERANCE[expected.dtype])


@pytest.mark.parametrize(("k", "dtype"), [(1, torch.float32), (7, torch.float64), (100, torch.float32), (300, torch.float64)], ids=str)
def test_rows_equal_reference(emulated, small, k, dtype):
    batch = small(dtype)
    expected = reference.pdd(*batch, k)
    assert_same(emulated("pdd", batch, k), expected)
    assert_same(emulated("pdd", batch, k, change=SELECT), expected)


def test_sizes_around_the_block(emulated, awkward):
    batch = awkward()
    assert_same(emulated("pdd", batch, 7), reference.pdd(*batch, 7))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_means_equal_reference(emulated, small, dtype):
    """NaN for the crystals without atoms."""
    batch = small(dtype)
    assert_same(emulated("amd", batch, 20), reference.amd(*batch, 20))


@pytest.mark.parametrize("k", [7, 60, 300])
def test_equal_distances(emulated, k):
    batch = many_at_few_places()
    expected = reference.pdd(*batch, k)
    assert_same(emulated("pdd", batch, k), expected)
    assert_same(emulated("pdd", batch, k, change=SELECT), expected)


def cubic_lattice():
    """One atom a cell, with few different distances."""
    positions, cell, _ = many_at_few_places()
    return positions[:1], cell[:1], torch.tensor([0, 1], dtype=torch.int32)


def test_more_than_shared_memory_holds(emulated):
    batch = cubic_lattice()
    assert_same(emulated("pdd", batch, 1500), reference.pdd(*batch, 1500))


def test_clean_under_sanitizers(emulated, small):
    for batch, k in ((small(torch.float32), 30), (small(torch.float64), 30), (cubic_lattice(), 1100)):
        assert_same(emulated("pdd", batch, k, sanitize=True), reference.pdd(*batch, k))
        assert_same(emulated("amd", batch, k, sanitize=True), reference.amd(*batch, k))


def test_a_missing_barrier_is_seen(run):
    """Without the barriers the kernel must fail the tests above, or they prove little."""
    batch, expected = many_at_few_places(), reference.pdd(*many_at_few_places(), 60)
    arguments = {"k": 60, "workspace": np.zeros((101, 60)), "out": np.zeros((101, 60))}
    with pytest.raises(RuntimeError, match="not all threads reach the same barrier"):
        run("pdd", batch, **arguments, change=("nearest.cuh", "__syncthreads();", ""))
    got = run("pdd", batch, **arguments, change=("sort.cuh", "__syncthreads();", ""))
    assert any((x["out"] - expected).abs().nan_to_num(nan=1.0).max() > 1e-6 for x in got)


@pytest.mark.parametrize("n_crystals", [0, 2])
def test_no_atoms(emulated, n_crystals):
    batch = torch.zeros(0, 3), torch.eye(3).repeat(n_crystals, 1, 1), torch.zeros(n_crystals + 1, dtype=torch.int32)
    assert emulated("pdd", batch, 5).shape == (0, 5)
    assert emulated("amd", batch, 5).isnan().all()

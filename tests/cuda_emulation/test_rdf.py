"""The CUDA kernel of rdf, run on the CPU, against the reference."""

import numpy as np
import pytest
import torch

from packflow.ops import reference

R_MAX = 6.0  # Å
# One bin, some, as many as fit into shared memory, one more.
DTYPE = {1: torch.float32, 50: torch.float64, 2048: torch.float32, 2049: torch.float64}
N_BINS = list(DTYPE)


@pytest.fixture
def emulated(run):
    """The counts of the emulated `rdf` for each order of the threads."""

    def emulated(batch, n_bins, **options):
        counts = np.full((len(batch[1]), n_bins), -7)
        return [x["counts"] for x in run("rdf", batch, r_max=R_MAX, n_bins=np.int32(n_bins), counts=counts, **options)]

    return emulated


@pytest.fixture(scope="module")
def expected(awkward):
    """The reference's counts by number of bins."""
    return {n: reference.rdf(*awkward(DTYPE[n]), R_MAX, n) for n in N_BINS}


@pytest.mark.parametrize("n_bins", N_BINS)
def test_emulated_equals_reference(emulated, awkward, expected, n_bins):
    assert all(torch.equal(counts, expected[n_bins]) for counts in emulated(awkward(DTYPE[n_bins]), n_bins))


@pytest.mark.parametrize("n_bins", [2048, 2049])
def test_clean_under_sanitizers(emulated, awkward, expected, n_bins):
    assert all(torch.equal(counts, expected[n_bins]) for counts in emulated(awkward(DTYPE[n_bins]), n_bins, sanitize=True))


def test_a_missing_barrier_is_seen(emulated, awkward, expected):
    """Without the barriers the kernel must fail the test above, or that test proves little."""
    got = emulated(awkward(), 50, change=("rdf.cu", "__syncthreads();", ""))
    assert any(not torch.equal(counts, expected[50]) for counts in got)


@pytest.mark.parametrize("n_crystals", [0, 2])
def test_no_atoms(emulated, n_crystals):
    batch = torch.zeros(0, 3), torch.eye(3).repeat(n_crystals, 1, 1), torch.zeros(n_crystals + 1, dtype=torch.int32)
    assert all(torch.equal(counts, torch.zeros(n_crystals, 5, dtype=torch.int64)) for counts in emulated(batch, 5))

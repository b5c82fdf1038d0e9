"""The CUDA kernel of clash, run on the CPU, against the CPU kernel."""

import numpy as np
import pytest
import torch

from packflow.ops import clash


@pytest.fixture
def emulated(run):
    """The flags of the emulated `clash` for each order of the threads."""

    def emulated(batch, scale, **options):
        in_clash = np.full(len(batch[0]), 7, dtype=np.uint8)
        return [x["in_clash"] for x in run("clash", batch, radii=batch[3], scale=float(scale), in_clash=in_clash, **options)]

    return emulated


def batches(random_crystals, dtype):
    """Sizes around the block of 64 threads, and cells smaller than the cutoff."""
    positions, cell, atom_ptr, radii = random_crystals([0, 1, 2, 31, 63, 64, 65, 128, 130], dtype=dtype)
    yield positions, cell, atom_ptr, radii
    yield random_crystals([1, 1, 2, 5, 66], dtype=dtype, volume_per_atom=1.0)
    yield random_crystals([1, 2, 5], dtype=dtype, volume_per_atom=60.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_emulated_equals_cpu(emulated, random_crystals, dtype):
    for batch in batches(random_crystals, dtype):
        for scale in (0.6, 1.0):
            expected = clash(*batch, scale).to(torch.uint8)
            assert all(torch.equal(flags, expected) for flags in emulated(batch, scale))


def test_clean_under_sanitizers(emulated, random_crystals):
    for dtype in (torch.float32, torch.float64):
        for batch in batches(random_crystals, dtype):
            expected = clash(*batch).to(torch.uint8)
            assert all(torch.equal(flags, expected) for flags in emulated(batch, 0.75, sanitize=True))


def test_a_missing_barrier_is_seen(emulated, random_crystals):
    """Without the barriers the kernel must fail the test above, or that test proves little."""
    batch = random_crystals([64, 130])
    expected = clash(*batch, 1.0).to(torch.uint8)
    got = emulated(batch, 1.0, change=("clash.cu", "__syncthreads();", ""))
    assert any(not torch.equal(flags, expected) for flags in got)

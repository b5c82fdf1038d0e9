"""The periodic ops on the GPU against the CPU: the same decisions to the bit."""

import pytest
import torch

from packflow.ops import amd, min_image, neighbors, pdd, rdf

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str),
]


@pytest.fixture
def batch(random_crystals, dtype):
    """Many sizes, cells smaller than the cutoff, and cells that hold a sphere of it."""

    def make(seed):
        sizes = torch.randint(0, 200, (40,), generator=torch.Generator().manual_seed(seed)).tolist()
        batches = [
            random_crystals(sizes, seed, dtype),
            random_crystals([1, 2, 5], seed, dtype, 1.0),
            random_crystals([3, 40], seed, dtype, 900.0),
        ]
        counts = torch.cat([b[2].diff() for b in batches])
        atom_ptr = torch.tensor([0, *counts.cumsum(0).tolist()], dtype=torch.int32)
        return torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches]), atom_ptr

    return make


def on_gpu(batch):
    return [x.cuda() for x in batch]


@pytest.mark.parametrize("half", [False, True], ids=["full", "half"])
@pytest.mark.parametrize("cutoff", [1.5, 6.0])
def test_neighbors(batch, cutoff, half):
    got, expected = neighbors(*on_gpu(batch(0)), cutoff, half), neighbors(*batch(0), cutoff, half)
    for name in ("pair_index", "cell_shifts", "pair_ptr"):
        assert getattr(got, name).is_cuda
        assert torch.equal(getattr(got, name).cpu(), getattr(expected, name))


@pytest.mark.parametrize("n_bins", [1, 100, 2048, 5000])
def test_rdf(batch, n_bins):
    got = rdf(*on_gpu(batch(1)), 10.0, n_bins)
    assert got.is_cuda
    assert torch.equal(got.cpu(), rdf(*batch(1), 10.0, n_bins))


@pytest.mark.parametrize("k", [1, 7, 100, 1500])
def test_pdd_and_amd(batch, k):
    got, expected = pdd(*on_gpu(batch(2)), k), pdd(*batch(2), k)
    assert got.is_cuda
    assert torch.equal(got.cpu(), expected)
    # The sum over the atoms may be taken in another order.
    torch.testing.assert_close(amd(*on_gpu(batch(2)), k).cpu(), amd(*batch(2), k), rtol=1.2e-7, atol=0.0, equal_nan=True)


def test_min_image(batch):
    positions, cell, atom_ptr = batch(3)
    sizes = atom_ptr.diff().long().repeat_interleave(atom_ptr.diff())
    first = atom_ptr[:-1].long().repeat_interleave(atom_ptr.diff())
    random = torch.rand(50, len(positions), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    j = first + (random * sizes).long()
    pair_index = torch.stack([torch.arange(len(positions)).expand_as(j), j]).reshape(2, -1)
    got = min_image(*on_gpu(batch(3)), pair_index.cuda())
    assert got.is_cuda
    assert torch.equal(got.cpu(), min_image(positions, cell, atom_ptr, pair_index))


def test_other_stream(batch):
    """The kernels run on the current stream, whose earlier work they wait for."""
    positions, cell, atom_ptr = on_gpu(batch(4))
    expected = rdf(positions, cell, atom_ptr)
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(10_000_000)
        moved = positions + 0.0
        assert torch.equal(rdf(moved, cell, atom_ptr), expected)

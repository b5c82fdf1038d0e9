"""The CUDA kernel of min_image, run on the CPU, against the reference."""

import numpy as np
import pytest
import torch

from packflow.ops import reference

# Lattice vectors in another order of additions move a distance by some 1e-14 Å; float32 results differ by one rounding.
TOLERANCE = {torch.float32: {"rtol": 1.2e-7, "atol": 1e-12}, torch.float64: {"rtol": 1e-12, "atol": 1e-12}}


@pytest.fixture
def emulated(run):
    """The distances of the emulated `min_image` for each order of the threads."""

    def emulated(batch, pair_index, **options):
        n_pairs = pair_index.shape[1]
        distances = torch.full((n_pairs,), torch.nan, dtype=batch[0].dtype)
        results = run("min_image", batch, pair_index=pair_index, n_pairs=n_pairs, distances=distances, **options)
        return [x["distances"] for x in results]

    return emulated


def random_pairs(atom_ptr, n_pairs):
    """Pairs within crystals, an atom with itself among them. [2, n_pairs]"""
    random = np.random.default_rng(0)
    first, size = atom_ptr[:-1].numpy(), atom_ptr.diff().numpy()
    crystal = random.choice(np.flatnonzero(size), n_pairs)
    return torch.from_numpy(first[crystal] + random.integers(0, size[crystal], (2, n_pairs)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_emulated_equals_reference(emulated, awkward, dtype):
    batch = awkward(dtype)
    pair_index = random_pairs(batch[2], 300)
    expected = reference.min_image(*batch, pair_index)
    for distances in emulated(batch, pair_index):
        torch.testing.assert_close(distances, expected, **TOLERANCE[dtype])


@pytest.mark.parametrize("n_pairs", [0, 1, 127, 128, 129])
def test_sizes_around_the_block_under_sanitizers(emulated, awkward, n_pairs):
    batch = awkward()
    pair_index = random_pairs(batch[2], n_pairs)
    expected = reference.min_image(*batch, pair_index)
    for distances in emulated(batch, pair_index, sanitize=True):
        torch.testing.assert_close(distances, expected, **TOLERANCE[torch.float64])


def test_rounding_fractions_is_not_enough(emulated):
    """A cell in which eq. 38's image is not the nearest."""
    cell = torch.tensor([[[5.0, 0.0, 0.0], [4.9, 1.0, 0.0], [0.0, 0.0, 9.0]]], dtype=torch.float64)
    positions = torch.tensor([[0.0, 0.0, 0.0], [4.85, 0.49, 0.0]], dtype=torch.float64)
    batch = positions, cell, torch.tensor([0, 2], dtype=torch.int32)
    pair_index = torch.tensor([[0], [1]])
    fractional = positions[1] @ cell[0].inverse()
    rounded = ((fractional - fractional.round()) @ cell[0]).norm()
    distance = emulated(batch, pair_index)[0][0]
    assert distance < 0.2 * rounded
    torch.testing.assert_close(distance, reference.min_image(*batch, pair_index)[0], **TOLERANCE[torch.float64])

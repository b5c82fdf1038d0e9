"""The CUDA kernels of neighbors, run on the CPU, against the reference."""

import numpy as np
import pytest
import torch

from packflow.ops import reference

CUTOFF = 4.3  # Å, between two shells of the cubic crystals


@pytest.fixture
def emulated(run):
    """Both passes: (pair_index, cell_shifts, pair_ptr) for each order of the threads."""

    def emulated(batch, half=False, **options):
        n_atoms = len(batch[0])
        arguments = {"cutoff": CUTOFF, "half": np.bool_(half)}
        counted = [x["n_neighbors"] for x in run("count_neighbors", batch, **arguments, n_neighbors=np.full(n_atoms, -7), **options)]
        assert all(torch.equal(counted[0], other) for other in counted)
        pair_ptr = np.append(0, counted[0].numpy().cumsum())
        n_pairs = int(pair_ptr[-1])
        pairs = {
            "pairs.pair_ptr": pair_ptr,
            "pairs.pair_index": np.full((2, n_pairs), -7),
            "pairs.cell_shifts": np.full((n_pairs, 3), -7, dtype=np.int32),
            "pairs.n_pairs": n_pairs,
        }
        written = run("write_neighbors", batch, **arguments, **pairs, **options)
        return [(x["pairs.pair_index"], x["pairs.cell_shifts"], x["pairs.pair_ptr"]) for x in written]

    return emulated


def assert_same(lists, expected):
    """Every one of the lists is the expected one, in the same order of pairs."""
    wanted = expected.pair_index, expected.cell_shifts, expected.pair_ptr
    for got in lists:
        for one, other in zip(got, wanted, strict=True):
            assert torch.equal(one, other)


@pytest.fixture(scope="module")
def expected(awkward):
    """The reference's lists by dtype and half."""
    return {(d, h): reference.neighbors(*awkward(d), CUTOFF, h) for d in (torch.float32, torch.float64) for h in (False, True)}


@pytest.mark.parametrize("half", [False, True], ids=["full", "half"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_emulated_equals_reference(emulated, awkward, expected, dtype, half):
    assert_same(emulated(awkward(dtype), half), expected[dtype, half])


def test_clean_under_sanitizers(emulated, awkward, expected):
    assert_same(emulated(awkward(torch.float32), half=True, sanitize=True), expected[torch.float32, True])
    assert_same(emulated(awkward(), half=False, sanitize=True), expected[torch.float64, False])


def test_shifts_are_those_of_positions_as_given(emulated, random_crystals):
    """Atoms moved by up to a million cells: too far for the reference, but every shift must move with them."""
    positions, cell, atom_ptr, _ = random_crystals([7])
    cells = torch.randint(-(10**6), 10**6, (7, 3), generator=torch.Generator().manual_seed(1))
    pair_index, shifts, pair_ptr = emulated((positions, cell, atom_ptr))[0]
    moved, moved_shifts, moved_ptr = emulated((positions + cells.double() @ cell[0], cell, atom_ptr))[0]
    i, j = pair_index
    rows = torch.cat([pair_index.T, shifts + cells[i] - cells[j]], dim=1)
    assert sorted(rows.tolist()) == torch.cat([moved.T, moved_shifts], dim=1).tolist()
    assert torch.equal(pair_ptr, moved_ptr)


@pytest.mark.parametrize("n_crystals", [0, 2])
def test_no_atoms(emulated, n_crystals):
    batch = torch.zeros(0, 3), torch.eye(3).repeat(n_crystals, 1, 1), torch.zeros(n_crystals + 1, dtype=torch.int32)
    for pair_index, shifts, pair_ptr in emulated(batch):
        assert pair_index.shape == (2, 0)
        assert shifts.shape == (0, 3)
        assert pair_ptr.tolist() == [0]

"""vesin and ASE -> reference -> every instruction set of the CPU kernel."""

import importlib
import math

import ase
import ase.neighborlist
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from packflow import _C
from packflow.ops import NeighborList, neighbors, reference
from packflow.ops._crystals import Crystals

DTYPES = [torch.float32, torch.float64]
SETS = _C.instruction_sets()
# around steps of 16 images, and beyond 4,096 images, where there is a grid
SIZES = [1, 2, 7, 15, 16, 17, 33, 64, 130]


def launch(batch, cutoff, half, instruction_set):
    return importlib.import_module("packflow.ops.neighbors")._launch(Crystals.of(*batch), cutoff, half, instruction_set=instruction_set)


def rows(pairs):
    """i, j, Sa, Sb, Sc of each pair. [n_pairs, 5]"""
    return torch.cat([pairs.pair_index.T, pairs.cell_shifts.long()], 1)


def half_of(table):
    """Of rows of a full list, those of the half list."""
    shift = table[:, 2:]
    first = (shift != 0).int().argmax(1)
    ascends = shift.gather(1, first[:, None])[:, 0] > 0
    return table[(table[:, 0] < table[:, 1]) | ((table[:, 0] == table[:, 1]) & ascends)]


def assert_is(pairs: NeighborList, table):
    """The list holds the rows, in their order, and its pointers fit."""
    assert torch.equal(rows(pairs), table)
    assert torch.equal(pairs.pair_ptr[1:], (table[:, 0][None] <= torch.arange(len(pairs.pair_ptr) - 1)[:, None]).sum(1))
    assert pairs.pair_ptr[0] == 0


@pytest.mark.parametrize("cutoff", [1.1, 2.9, 6.0])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_named_cases(periodic_cases, vesin_pairs, as_dtype, dtype, cutoff):
    for name, case in periodic_cases.items():
        batch = as_dtype(case, dtype)
        expected = vesin_pairs(*batch, cutoff)
        assert torch.equal(rows(reference.neighbors(*batch, cutoff)), expected), name
        for instruction_set in SETS:
            assert_is(launch(batch, cutoff, False, instruction_set), expected)
            assert_is(launch(batch, cutoff, True, instruction_set), half_of(expected))


@pytest.mark.parametrize("cutoff", [3.0, 6.0])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sizes(random_crystals, vesin_pairs, dtype, cutoff):
    batch = random_crystals([*SIZES, 0, 3], dtype=dtype)[:3]
    expected = vesin_pairs(*batch, cutoff)
    assert len(expected) > 1000
    for instruction_set in SETS:
        assert_is(launch(batch, cutoff, False, instruction_set), expected)
        assert_is(launch(batch, cutoff, True, instruction_set), half_of(expected))


def test_reference_half_list(random_crystals):
    batch = random_crystals([1, 5, 9])[:3]
    full, half = (reference.neighbors(*batch, 3.0, half) for half in (False, True))
    assert torch.equal(rows(half), half_of(rows(full)))
    assert len(rows(full)) == 2 * len(rows(half)) > 0


@pytest.mark.parametrize("skew", [0.0, 0.25, 0.6])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_large_crystals(random_crystals, vesin_pairs, dtype, skew):
    """Many images: a grid of cubes, also where the cell fills little of the grid."""
    batch = random_crystals([2500, 700], dtype=dtype, skew=skew)[:3]
    for cutoff in (2.0, 7.5):
        expected = vesin_pairs(*batch, cutoff)
        for instruction_set in SETS:
            assert torch.equal(rows(launch(batch, cutoff, False, instruction_set)), expected)
            assert torch.equal(rows(launch(batch, cutoff, True, instruction_set)), half_of(expected))


@pytest.mark.parametrize("volume_per_atom", [0.3, 2.0, 60.0])
def test_cells_smaller_than_the_cutoff(random_crystals, vesin_pairs, volume_per_atom):
    batch = random_crystals([1, 1, 1, 2, 3, 8], volume_per_atom=volume_per_atom)[:3]
    assert_is(neighbors(*batch, 4.0), vesin_pairs(*batch, 4.0))


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    lengths=st.tuples(*[st.floats(1.5, 15)] * 3),
    angles=st.tuples(*[st.floats(20, 160)] * 3),
    n_atoms=st.integers(1, 40),
    cutoff=st.floats(0.5, 7),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_triclinic_cells(cell_of, vesin_pairs, lengths, angles, n_atoms, cutoff, seed):
    cosines = [math.cos(math.radians(x)) for x in angles]
    if 1 + 2 * math.prod(cosines) - sum(c * c for c in cosines) < 0.003:
        return  # these angles close no cell, or nearly none
    cell = cell_of(*lengths, *angles)
    positions = torch.from_numpy(np.random.default_rng(seed).uniform(-2, 3, (n_atoms, 3))) @ cell
    batch = positions, cell[None], torch.tensor([0, n_atoms], dtype=torch.int32)
    expected = vesin_pairs(*batch, cutoff)
    for instruction_set in SETS:
        assert torch.equal(rows(launch(batch, cutoff, False, instruction_set)), expected)


@pytest.mark.parametrize("cutoff", [3.0, 6.0])
def test_measured_crystals_against_vesin(measured_crystals, join, vesin_pairs, cutoff):
    batch = join(*measured_crystals)[:3]
    assert len(batch[1]) >= 500
    assert torch.equal(rows(neighbors(*batch, cutoff)), vesin_pairs(*batch, cutoff))


def test_measured_crystals_against_ase(measured_crystals):
    assert len(measured_crystals) >= 500
    for batch in measured_crystals:
        positions, cell, _ = batch[:3]
        atoms = ase.Atoms(numbers=np.ones(len(positions)), positions=positions.numpy(), cell=cell[0].numpy(), pbc=True)
        i, j, shifts = ase.neighborlist.neighbor_list("ijS", atoms, 3.0)
        table = np.column_stack([i, j, shifts])
        assert np.array_equal(rows(neighbors(*batch[:3], 3.0)).numpy(), table[np.lexsort(table.T[::-1])])


def test_shifts_belong_to_positions_as_given(random_crystals):
    positions, cell, atom_ptr, _ = random_crystals([30, 64, 700])
    pairs = neighbors(positions, cell, atom_ptr, 5.0)
    i, j = pairs.pair_index
    owner = torch.bucketize(i, atom_ptr[1:].long(), right=True)
    distance = (positions[j] - positions[i] + torch.einsum("ps,psx->px", pairs.cell_shifts.double(), cell[owner])).norm(dim=1)
    assert distance.max() < 5.0
    assert distance.max() > 4.99


def test_a_hair_within_and_beyond_the_cutoff(crystal, join):
    """Float alone could not tell: 1e-10 Å is far below its resolution."""
    rng = np.random.default_rng(0)
    batches, expected = [], []
    for k in range(300):
        # Far from the middle of a large cell float rounds by more.
        cell = (30, 300, 3000)[k % 3] * (np.eye(3) + 0.2 * rng.normal(size=(3, 3)))
        direction = rng.normal(size=3)
        step = (5.0 - 1e-10 if k % 2 else 5.0 + 1e-10) * direction / np.linalg.norm(direction)
        first = rng.uniform(0, 1, 3) @ cell
        batches.append(crystal(cell, np.stack([first, first + step + rng.integers(-1, 2, 3) @ cell])))
        expected += 2 * [k % 2]
    batch = join(*batches)
    for instruction_set in SETS:
        assert launch(batch, 5.0, False, instruction_set).pair_ptr.diff().tolist() == expected


def test_exactly_at_the_cutoff(crystal):
    batch = crystal(8 * torch.eye(3), [[1, 1, 1], [2.5, 1, 1]])
    assert neighbors(*batch, 1.5).pair_index.shape == (2, 0)
    assert neighbors(*batch, math.nextafter(1.5, 2)).pair_index.tolist() == [[0, 1], [1, 0]]


def test_threads_and_strides_change_nothing(random_crystals):
    positions, cell, atom_ptr, _ = random_crystals([37] * 9 + [5] * 3)
    expected = rows(neighbors(positions, cell, atom_ptr, 6.0))
    torch.set_num_threads(3)
    try:
        assert torch.equal(rows(neighbors(positions, cell, atom_ptr, 6.0)), expected)
    finally:
        torch.set_num_threads(1)
    strided = positions.T.contiguous().T, cell.mT.contiguous().mT, atom_ptr.repeat_interleave(2)[::2]
    assert torch.equal(rows(neighbors(*strided, 6.0)), expected)


def test_no_crystals_and_no_atoms():
    pairs = neighbors(torch.zeros(0, 3), torch.zeros(0, 3, 3), torch.zeros(1, dtype=torch.int32), 5.0)
    assert pairs.pair_index.shape == (2, 0)
    assert pairs.pair_ptr.tolist() == [0]
    empty = neighbors(torch.zeros(0, 3), torch.eye(3)[None], torch.zeros(2, dtype=torch.int32), 5.0)
    assert empty.cell_shifts.shape == (0, 3)

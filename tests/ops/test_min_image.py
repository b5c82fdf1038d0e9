"""ASE -> reference -> every instruction set of the CPU kernel."""

import importlib

import ase.geometry
import numpy as np
import pytest
import torch

from packflow import _C
from packflow.ops import min_image, reference
from packflow.ops._crystals import Crystals

DTYPES = [torch.float32, torch.float64]
SETS = _C.instruction_sets()
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-9}


def launch(batch, pair_index, instruction_set):
    return importlib.import_module("packflow.ops.min_image")._launch(Crystals.of(*batch), pair_index, instruction_set)


def all_pairs(atom_ptr):
    """Every ordered pair of atoms of the same crystal, an atom with itself included. [2, n_pairs]"""
    owner = torch.repeat_interleave(torch.arange(len(atom_ptr) - 1), atom_ptr.diff().long())
    return (owner[:, None] == owner).nonzero().T.contiguous()


def ase_distances(positions, cell, atom_ptr, pair_index):
    owner = torch.bucketize(pair_index[0], atom_ptr[1:].long(), right=True)
    steps = (positions[pair_index[1]] - positions[pair_index[0]]).double().numpy()
    found = np.zeros(len(steps))
    for c in owner.unique().tolist():
        mine = (owner == c).numpy()
        found[mine] = ase.geometry.find_mic(steps[mine], cell[c].double().numpy(), pbc=True)[1]
    return torch.from_numpy(found)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_named_cases(periodic_cases, as_dtype, dtype):
    for name, case in periodic_cases.items():
        batch = as_dtype(case, dtype)
        pairs = all_pairs(batch[2])
        expected = ase_distances(*batch, pairs)
        # An atom placed in float32 at 1e5 Å is known to 0.01 Å; all sides see the same number.
        atol = 1e-4 if name == "far outside the cell" else TOLERANCE[dtype]
        for distances in (reference.min_image(*batch, pairs), *(launch(batch, pairs, s) for s in SETS)):
            torch.testing.assert_close(distances.double(), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("skew", [0.0, 0.25, 0.8])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_random_crystals(random_crystals, dtype, skew):
    batch = random_crystals([1, 2, 0, 5, 16, 33], dtype=dtype, skew=skew)[:3]
    pairs = all_pairs(batch[2])
    expected = ase_distances(*batch, pairs)
    for instruction_set in SETS:
        torch.testing.assert_close(launch(batch, pairs, instruction_set).double(), expected, rtol=0, atol=TOLERANCE[dtype])


def test_rounding_is_not_enough_in_a_skewed_cell(crystal):
    """The paper's equation 38 finds 5.1 Å here; the nearest image is nearer."""
    cell = torch.tensor([[6.0, 0, 0], [4.9, 4, 0], [0, 0, 9]])
    batch = crystal(cell, [[0, 0, 0], [5.2, 1.9, 0]])
    fractional = batch[0][1] @ cell.double().inverse()
    rounded = ((fractional - fractional.round()) @ cell.double()).norm()
    (distance,) = min_image(*batch, torch.tensor([[0], [1]]))
    assert distance < rounded - 0.1
    assert distance == pytest.approx(ase_distances(*batch, torch.tensor([[0], [1]])).item())


def test_many_pairs_on_threads(random_crystals):
    batch = random_crystals([50, 60])[:3]
    pairs = all_pairs(batch[2])
    expected = min_image(*batch, pairs)
    torch.set_num_threads(3)
    try:
        assert torch.equal(min_image(*batch, pairs), expected)
    finally:
        torch.set_num_threads(1)
    assert torch.equal(min_image(*batch, pairs.flip(1)), expected.flip(0))


def test_no_pairs(random_crystals):
    assert min_image(*random_crystals([3, 0])[:3], torch.zeros(2, 0, dtype=torch.int64)).shape == (0,)

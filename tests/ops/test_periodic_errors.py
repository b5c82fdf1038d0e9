"""What the periodic ops say of arguments that they cannot work with, and what `problems` says of single crystals."""

import re

import pytest
import torch

from packflow import _C
from packflow.ops import amd, clash, min_image, neighbors, pdd, problems, rdf

OPS = {
    "neighbors": lambda *batch: neighbors(*batch, 3.0),
    "rdf": lambda *batch: rdf(*batch, 3.0, 10),
    "amd": lambda *batch: amd(*batch, 5),
    "pdd": lambda *batch: pdd(*batch, 5),
    "min_image": lambda *batch: min_image(*batch, torch.tensor([[0, 5], [1, 6]])),
    "clash": lambda *batch: clash(*batch, torch.ones(15)),
}


@pytest.fixture(params=OPS)
def op(request):
    return OPS[request.param]


@pytest.fixture
def batch(random_crystals):
    return list(random_crystals([4, 5, 6], dtype=torch.float32)[:3])


FLAT = {
    "zeros": torch.zeros(3, 3),
    "negative length of zero volume": torch.tensor([[-5.0, 0, 0], [0, 5, 0], [5, 5, 0]]),
    "nearly flat": torch.tensor([[9.0, 0, 0], [0, 9, 0], [5, 5, 1e-5]]),
    "NaN": torch.full((3, 3), torch.nan),
    "infinite": torch.diag(torch.tensor([5, 5, torch.inf])),
}


@pytest.mark.parametrize("name", FLAT)
def test_cells_without_volume(op, batch, name):
    batch[1][1] = FLAT[name]
    with pytest.raises(ValueError, match=r"^crystal 1: cell must be finite and not flat, got volume \S+ Å3 for a = \("):
        op(*batch)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e12])
def test_positions_that_are_nowhere(op, batch, value):
    batch[0][7, 1] = value
    with pytest.raises(ValueError, match=r"^crystal 1: positions must be finite and at most 1e\+09 Å from the origin, got \S+ for atom 3$"):
        op(*batch)


def test_positions_too_many_cells_away(op, batch):
    batch[1][2] = 1e-3 * torch.eye(3)
    batch[0][12, 2] = 1e7
    with pytest.raises(ValueError, match=r"^crystal 2: "):
        op(*batch)


def test_shapes_and_types(op, batch):
    positions, cell, atom_ptr = batch
    for bad, message in (
        ((positions.int(), cell, atom_ptr), "positions must have dtype torch.float32 or torch.float64, got torch.int32"),
        ((positions[:, :2], cell, atom_ptr), "positions must have shape ('n_atoms', 3), got (15, 2)"),
        ((positions, cell.double(), atom_ptr), "cell must have dtype torch.float32, got torch.float64"),
        ((positions, cell[0], atom_ptr), "cell must have shape ('n_crystals', 3, 3), got (3, 3)"),
        ((positions, cell, atom_ptr.long()), "atom_ptr must have dtype torch.int32, got torch.int64"),
        ((positions, cell, atom_ptr[:2]), "atom_ptr must have shape (4,), got (2,)"),
        ((positions, cell, torch.tensor([0, 9, 4, 15]).int()), "atom_ptr must rise from 0 to the number of atoms, 15, without a step down"),
        ((positions, cell, torch.tensor([0, 4, 9, 99]).int()), "the number of atoms, 15, without a step down, got 99"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            op(*bad)
    with pytest.raises(TypeError, match=re.escape("positions must be a torch.Tensor, got list")):
        op([[0.0, 0.0, 0.0]], cell, atom_ptr)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_cutoffs(batch, value):
    for name, call in (("cutoff", lambda: neighbors(*batch, value)), ("r_max", lambda: rdf(*batch, value))):
        with pytest.raises(ValueError, match=f"{name} must be a positive number, got {value}"):
            call()
    with pytest.raises(ValueError, match="cutoff must be a positive number"):
        problems(*batch, value)


@pytest.mark.parametrize("value", [0, -3, 2.5, True])
def test_counts(batch, value):
    for name, call in (("k", lambda: amd(*batch, value)), ("k", lambda: pdd(*batch, value)), ("n_bins", lambda: rdf(*batch, 5.0, value))):
        with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1, got {value}"):
            call()


def test_a_list_that_needs_more_memory_than_allowed(batch):
    size = 28 * neighbors(*batch, 9.0).pair_index.shape[1]
    assert neighbors(*batch, 9.0, max_bytes=size).pair_index.shape[1] == size // 28
    message = rf"cutoff must give a list of at most {size - 1} bytes, got {size} at 9.0 Å; crystal 2 alone has \d+ pairs"
    with pytest.raises(ValueError, match=message):
        neighbors(*batch, 9.0, max_bytes=size - 1)


def test_a_cutoff_that_needs_too_many_images(batch):
    with pytest.raises(ValueError, match=r"crystal 0: cell must have at most 1e\+06 images of an atom within 1000 Å"):
        neighbors(*batch, 1000.0)
    with pytest.raises(ValueError, match=r"crystal 0: cell must have at most 1e\+06 images"):
        amd(*batch, 10**9)


def test_pairs(batch):
    for pairs, message in (
        (torch.tensor([[0], [15]]), "pair_index must be atoms from 0 to 14, got 0 and 15"),
        (torch.tensor([[-1], [2]]), "pair_index must be atoms from 0 to 14, got -1 and 2"),
        (torch.tensor([[3], [4]]), "pair_index must join atoms of the same crystal, got atom 3 of crystal 0 and atom 4 of crystal 1"),
        (torch.tensor([[3.0], [4.0]]), "pair_index must have dtype torch.int64, got torch.float32"),
        (torch.tensor([[3, 4]]), "pair_index must have shape (2, 'n_pairs'), got (1, 2)"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            min_image(*batch, pairs)


def test_problems_by_crystal(batch):
    positions, cell, atom_ptr = batch
    assert problems(*batch) == ["", "", ""]
    cell[0] = 0
    positions[14] = torch.nan
    found = problems(*batch)
    assert found[0].startswith("cell must be finite and not flat")
    assert found[1] == ""
    assert found[2].startswith("positions must be finite")
    with pytest.raises(ValueError, match="atom_ptr must rise"):
        problems(positions, cell, atom_ptr.flip(0))


def test_unknown_instruction_set(batch):
    from packflow.ops._crystals import Crystals

    with pytest.raises(ValueError, match="instruction_set must be one of baseline"):
        Crystals.of(*batch).call("rdf", 5.0, 10, torch.empty(3, 10, dtype=torch.int64), instruction_set="mmx")


def test_cuda_without_a_device_is_an_error(batch):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    address = batch[0].data_ptr()
    crystals = address, batch[1].data_ptr(), batch[2].data_ptr(), 3, 15
    calls = {
        "clash": lambda: _C.clash_cuda_float32(crystals, address, 0.75, address, 0),
        "neighbors": lambda: _C.count_neighbors_cuda_float32(crystals, 3.0, False, address, 0),
        "rdf": lambda: _C.rdf_cuda_float32(crystals, 3.0, 10, address, 0),
        "amd": lambda: _C.amd_cuda_float32(crystals, 10, address, address, 0),
        "pdd": lambda: _C.pdd_cuda_float32(crystals, 10, address, address, 0),
        "min_image": lambda: _C.min_image_cuda_float32(crystals, address, 1, address, 0),
    }
    message = "could not start on the GPU" if _C.cuda_built() else "packflow was built without CUDA: .* reinstall"
    for call in calls.values():
        with pytest.raises(RuntimeError, match=message):
            call()

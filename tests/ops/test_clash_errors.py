"""What `clash` says of arguments that it cannot work with."""

import importlib
import re

import pytest
import torch

from packflow import _C
from packflow.ops import clash
from packflow.ops._crystals import Crystals

launch = importlib.import_module("packflow.ops.clash")._launch


@pytest.fixture
def arguments(random_crystals):
    positions, cell, atom_ptr, radii = random_crystals([4, 5, 6], dtype=torch.float32)
    return {"positions": positions, "cell": cell, "atom_ptr": atom_ptr, "radii": radii}


CALLS = {
    "not a tensor": ({"positions": [[0.0, 0.0, 0.0]]}, TypeError, "positions must be a torch.Tensor, got list"),
    "integer positions": (
        {"positions": torch.zeros(15, 3).int()},
        ValueError,
        "positions must have dtype torch.float32 or torch.float64, got torch.int32",
    ),
    "positions of two columns": ({"positions": torch.zeros(15, 2)}, ValueError, "positions must have shape ('n_atoms', 3), got (15, 2)"),
    "mixed precision": (
        {"cell": torch.eye(3).double().expand(3, 3, 3)},
        ValueError,
        "cell must have dtype torch.float32, got torch.float64",
    ),
    "one cell": ({"cell": torch.eye(3)}, ValueError, "cell must have shape ('n_crystals', 3, 3), got (3, 3)"),
    "int64 pointers": ({"atom_ptr": torch.tensor([0, 4, 9, 15])}, ValueError, "atom_ptr must have dtype torch.int32, got torch.int64"),
    "short pointers": ({"atom_ptr": torch.tensor([0, 15]).int()}, ValueError, "atom_ptr must have shape (4,), got (2,)"),
    "pointers that fall": (
        {"atom_ptr": torch.tensor([0, 9, 4, 15]).int()},
        ValueError,
        "atom_ptr must rise from 0 to the number of atoms, 15, without a step down, got 4 at index 2 after 9",
    ),
    "pointers past the end": (
        {"atom_ptr": torch.tensor([0, 4, 9, 99]).int()},
        ValueError,
        "the number of atoms, 15, without a step down, got 99",
    ),
    "pointers from 1": ({"atom_ptr": torch.tensor([1, 4, 9, 15]).int()}, ValueError, "got 1 at index 0"),
    "few radii": ({"radii": torch.ones(14)}, ValueError, "radii must have shape (15,), got (14,)"),
    "negative radii": ({"radii": -torch.ones(15)}, ValueError, "radii must be finite and not negative, got values from -1.0 to -1.0"),
    "NaN radii": ({"radii": torch.full((15,), torch.nan)}, ValueError, "radii must be finite and not negative, got values from nan"),
    "infinite radii": ({"radii": torch.full((15,), torch.inf)}, ValueError, "radii must be finite"),
    "scale of zero": ({"scale": 0.0}, ValueError, "scale must be a positive number, got 0.0"),
    "scale NaN": ({"scale": float("nan")}, ValueError, "scale must be a positive number, got nan"),
    "other device": ({"radii": torch.ones(15, device="meta")}, ValueError, "radii must be on cpu, got meta"),
}


@pytest.mark.parametrize("name", CALLS)
def test_message(arguments, name):
    change, error, message = CALLS[name]
    with pytest.raises(error, match=re.escape(message)):
        clash(**{**arguments, **change})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e12])
def test_positions_that_are_nowhere(arguments, value):
    arguments["positions"][9, 1] = value
    message = r"crystal 2: positions must be finite and at most 1e\+09 Å from the origin, got \S+ for atom 0$"
    with pytest.raises(ValueError, match=message):
        clash(**arguments)


FLAT = {
    "zeros": torch.zeros(3, 3),
    "two equal vectors": torch.tensor([[1.0, 2, 3], [1, 2, 3], [4, 0, 1]]),
    "nearly flat": torch.tensor([[9.0, 0, 0], [0, 9, 0], [5, 5, 1e-5]]),
    "NaN": torch.full((3, 3), torch.nan),
    "infinite": torch.diag(torch.tensor([5, 5, torch.inf])),
}


@pytest.mark.parametrize("name", FLAT)
def test_cells_without_volume(arguments, name):
    arguments["cell"][1] = FLAT[name]
    with pytest.raises(ValueError, match=r"crystal 1: cell must be finite and not flat, got volume \S+ Å3 for a = \("):
        clash(**arguments)


def test_cell_with_too_many_images(arguments):
    arguments["cell"][1] = 0.01 * torch.eye(3)
    with pytest.raises(
        ValueError, match=r"crystal 1: cell must have at most 1e\+06 images of an atom within 1\.\d+ Å, .* got \S+ for each of 5 atoms"
    ):
        clash(**arguments)


def test_thin_cell_within_the_limit_ends_soon(arguments):
    arguments["cell"][1] = torch.diag(torch.tensor([0.01, 9, 9]))
    assert clash(**arguments)[4:9].all()


def test_unknown_instruction_set(arguments):
    message = "instruction_set must be one of baseline"
    with pytest.raises(ValueError, match=message):
        positions, cell, atom_ptr, radii = arguments.values()
        launch(Crystals.of(positions, cell, atom_ptr), radii, 0.75, "mmx")


def test_cuda_without_a_device_is_an_error(arguments):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    positions, cell, atom_ptr, radii = arguments.values()
    batch = positions.data_ptr(), cell.data_ptr(), atom_ptr.data_ptr(), 3, 15
    message = "clash could not start on the GPU" if _C.cuda_built() else "packflow was built without CUDA: .* reinstall"
    with pytest.raises(RuntimeError, match=message):
        _C.clash_cuda_float32(batch, radii.data_ptr(), 0.75, radii.data_ptr(), 0)

"""What `clash` says of arguments that it cannot work with."""

import re

import pytest
import torch

from packflow.ops import clash


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


def test_cell_with_too_many_images(arguments):
    arguments["cell"][1] = 0.01 * torch.eye(3)
    with pytest.raises(
        ValueError, match=r"crystal 1: cell must have at most 1e\+06 images of an atom within 1\.\d+ Å, .* got \S+ for each of 5 atoms"
    ):
        clash(**arguments)


def test_thin_cell_within_the_limit_ends_soon(arguments):
    arguments["cell"][1] = torch.diag(torch.tensor([0.01, 9, 9]))
    assert clash(**arguments)[4:9].all()

"""Which crystals the periodic ops would refuse, at one cutoff or one for each."""

import pytest
import torch

from packflow.ops import problems

CELL = torch.diag(torch.tensor([1.0, 1, 1], dtype=torch.float64)).repeat(2, 1, 1)
POSITIONS = torch.zeros(2, 3, dtype=torch.float64)
POINTERS = torch.tensor([0, 1, 2], dtype=torch.int32)


def test_a_cutoff_for_each_crystal():
    found = problems(POSITIONS, CELL, POINTERS, torch.tensor([10.0, 100.0]))
    assert found[0] == ""
    assert "images of an atom within 100 Å" in found[1]
    assert problems(POSITIONS, CELL, POINTERS, 100.0) == [found[1]] * 2


@pytest.mark.parametrize(
    ("cutoff", "message"),
    [
        (0.0, "cutoff must be a positive number, got 0.0"),
        (torch.tensor([10.0]), r"cutoff must have shape \(2,\), got \(1,\)"),
        (torch.tensor([10, 10]), "cutoff must have dtype"),
    ],
)
def test_cutoff(cutoff, message):
    with pytest.raises(ValueError, match=message):
        problems(POSITIONS, CELL, POINTERS, cutoff)

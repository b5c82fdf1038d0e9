"""Bond lengths by hand and of measured crystals."""

import pytest
import torch

from packflow.metrics import bonds_valid, bonds_valid_percent
from packflow.structure import AtomsBatch

CUBE = 10 * torch.eye(3)


@pytest.mark.parametrize(("length", "valid"), [(1.13, True), (1.91, True), (1.11, False), (1.93, False)])
def test_tolerance_by_hand(length, valid, structure):
    """Two carbons: 1.52 Å, give or take 0.4 Å."""
    pair = structure([6, 6], [[0.0, 0, 0], [length, 0, 0]], CUBE, [(0, 1)])
    assert bonds_valid_percent(pair).item() == (100 if valid else 0)
    assert bonds_valid(pair).item() == valid


def test_half_of_the_bonds(structure):
    chain = structure([6, 7, 8], [[0.0, 0, 0], [1.4, 0, 0], [4.0, 0, 0]], CUBE, [(0, 1), (1, 2)])
    assert bonds_valid_percent(chain).item() == 50
    assert bonds_valid(chain).item() == 0
    assert bonds_valid_percent(chain, tolerance=2.0).item() == 100


def test_nearest_image(structure):
    """9.0 Å apart in the cell of 10 Å, 1.5 Å apart at their nearest images."""
    assert bonds_valid(structure([6, 6], [[0.5, 0, 0], [9.0, 0, 0]], CUBE, [(0, 1)])).item() == 1


def test_skewed_cell(structure):
    """Equation 38 rounds fractional differences (0.45, 0.45) to an image 4.5 Å away; the nearest is 1.5 Å away."""
    cell = torch.tensor([[10.0, 0, 0], [-9.5, 3.0, 0], [0, 0, 10]], dtype=torch.float64)
    apart = torch.tensor([0.45, 0.45, 0], dtype=torch.float64) @ cell
    assert apart.norm() == pytest.approx((0.225**2 + 1.35**2) ** 0.5)
    outside = apart + cell[0] + 2 * cell[1]
    assert bonds_valid(structure([6, 6], torch.stack([torch.zeros(3).double(), outside]), cell, [(0, 1)])).item() == 1


def test_none_and_unknown(structure):
    batch = AtomsBatch.join([structure([6], [[0.0, 0, 0]], CUBE, bonds) for bonds in ([], None)])
    assert bonds_valid_percent(batch)[0] == 100
    assert bonds_valid(batch)[0] == 1
    assert bonds_valid_percent(batch)[1].isnan()
    assert bonds_valid(batch)[1].isnan()


def test_measured_bonds_are_valid(measured, noisy):
    assert bonds_valid(measured).all()
    assert (bonds_valid_percent(noisy) < 100).any()

"""Lattice parameters, cells and flow lattices, against pymatgen and the released code's numbers."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice

from packflow.structure.lattice import (
    angles_decode,
    angles_encode,
    cell_from_lattice,
    cholesky_decode,
    cholesky_encode,
    lattice_from_cell,
    volume,
)

PARITY = Path(__file__).parents[3] / "shared" / "parity" / "lattice.json"

lengths = st.floats(2, 40)
angles = st.floats(62, 118)
lattices = st.tuples(lengths, lengths, lengths, angles, angles, angles).filter(lambda p: volume(torch.tensor(p, dtype=torch.float64)) > 1)


@settings(deadline=None)
@given(lattices)
def test_cell_is_pymatgens(parameters):
    cell = cell_from_lattice(torch.tensor(parameters, dtype=torch.float64))
    torch.testing.assert_close(cell, torch.tensor(Lattice.from_parameters(*parameters).matrix), atol=1e-9, rtol=0)
    assert cell[2, :2].abs().max() == 0
    assert torch.linalg.det(cell) > 0


@settings(deadline=None)
@given(lattices)
def test_round_trips(parameters):
    lattice = torch.tensor([parameters], dtype=torch.float64)
    scale = torch.tensor([11.0], dtype=torch.float64)
    torch.testing.assert_close(lattice_from_cell(cell_from_lattice(lattice)), lattice, atol=1e-5, rtol=0)
    torch.testing.assert_close(angles_decode(angles_encode(lattice)), lattice, atol=1e-5, rtol=0)
    torch.testing.assert_close(cholesky_decode(cholesky_encode(lattice, scale), scale), lattice, atol=1e-5, rtol=0)


def test_cell_does_not_depend_on_orientation(generator):
    cell = cell_from_lattice(torch.tensor([5.0, 6, 7, 80, 95, 101], dtype=torch.float64))
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    torch.testing.assert_close(lattice_from_cell(cell @ rotation), lattice_from_cell(cell), atol=1e-9, rtol=0)


def test_any_cholesky_lattice_is_a_cell(generator):
    lattice = cholesky_decode(3 * torch.randn(1000, 6, generator=generator, dtype=torch.float64), torch.full((1000,), 10.0).double())
    assert (lattice[:, :3] > 0).all()
    assert (volume(lattice) > 0).all()


def test_angles_outside_60_to_120_saturate():
    obtuse = torch.tensor([8.235, 6.003, 8.658, 90, 122.92, 90])
    assert angles_decode(angles_encode(obtuse))[4] == pytest.approx(120.0, abs=1e-4)
    scale = torch.tensor([9.0], dtype=torch.float64)
    kept = cholesky_decode(cholesky_encode(obtuse[None].double(), scale), scale)[0, 4]
    assert kept == pytest.approx(122.92, abs=1e-4)


@pytest.mark.skipif(not PARITY.exists(), reason="the released code's numbers (../shared/parity) are not here")
def test_released_code():
    fixtures = json.loads(PARITY.read_text())
    for case in fixtures["constrained"]:
        lattice = torch.tensor(case["params"], dtype=torch.float32)
        torch.testing.assert_close(angles_encode(lattice), torch.tensor(case["unconstrained"]), atol=2e-6, rtol=0)
        torch.testing.assert_close(angles_decode(angles_encode(lattice)), torch.tensor(case["roundtrip"]), atol=1e-5, rtol=0)
        torch.testing.assert_close(cell_from_lattice(lattice), torch.tensor(case["matrix"]), atol=2e-6, rtol=0)
    for case in fixtures["unconstrained"]:
        decoded = angles_decode(torch.tensor(case["state"] if "state" in case else case["unconstrained"], dtype=torch.float32))
        torch.testing.assert_close(decoded, torch.tensor(case["params"]), atol=1e-5, rtol=0)

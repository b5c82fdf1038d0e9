"""Gradients of energies by positions and cells, against finite differences."""

import pytest
import torch

from packflow.potential import Mmff, differentiable_energy
from packflow.structure.full import FullBatch


@pytest.fixture(scope="module")
def batch(crystal_of, gas_of):
    urea = crystal_of("2019369")
    return FullBatch.pack([urea, gas_of(urea), crystal_of("1010060")])


def test_gradients(batch):
    """Of a weighted sum, by positions at a fixed cell and by the cell at fixed positions."""
    prepared = Mmff().prepare(batch)
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    positions, cell = batch.positions.clone().requires_grad_(), batch.cell.clone().requires_grad_()
    (weights * differentiable_energy(prepared, batch, positions, cell)).sum().backward()

    def value(positions, cell):
        return float((weights * prepared.evaluate(positions, cell).energy).sum())

    step = 1e-5
    for variable, gradient, entries in (
        (positions, positions.grad, [(0, 0), (5, 2), (16, 1), (30, 0)]),
        (cell, cell.grad, [(0, 0, 0), (0, 1, 0), (0, 2, 1), (2, 0, 2), (2, 1, 1)]),
    ):
        for entry in entries:
            values = []
            for sign in (1, -1):
                moved = variable.detach().clone()
                moved[entry] += sign * step
                values.append(value(moved, batch.cell) if variable is positions else value(batch.positions, moved))
            assert float(gradient[entry]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4, abs=1e-4)
    assert (cell.grad[1] == 0).all()


def test_a_cell_that_moves_its_atoms(batch):
    """Fractional coordinates kept: the gradient by a strain is the stress times the volume."""
    prepared = Mmff().prepare(batch)
    strain = torch.zeros(len(batch), 3, 3, dtype=torch.float64, requires_grad=True)
    deformation = torch.eye(3, dtype=torch.float64) + strain
    positions = torch.einsum("ni,nij->nj", batch.positions, deformation[batch.structure_index])
    energy = differentiable_energy(prepared, batch, positions, batch.cell @ deformation)
    (gradient,) = torch.autograd.grad(energy.sum(), strain)
    found = prepared.evaluate(batch.positions, batch.cell)
    volume = torch.linalg.det(batch.cell).abs()[:, None, None]
    crystals = batch.periodic
    torch.testing.assert_close(gradient[crystals], (volume * found.stress)[crystals], rtol=1e-9, atol=1e-9)


def test_a_cell_without_volume_spoils_its_own_structure_only(batch):
    cell = batch.cell.clone()
    cell[0, 2] = cell[0, 0] + cell[0, 1]
    cell.requires_grad_()
    positions = batch.positions.clone().requires_grad_()
    energy = differentiable_energy(Mmff().prepare(batch), batch, positions, cell)
    energy.sum().backward()
    assert energy.isnan().tolist() == [True, False, False]
    assert positions.grad.isfinite().all(1).tolist() == (batch.structure_index != 0).tolist()
    assert cell.grad[1:].isfinite().all()

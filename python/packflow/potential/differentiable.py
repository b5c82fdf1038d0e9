"""Energies that autograd can differentiate by positions and cells, through the forces and the stress that a potential computes anyway."""

from __future__ import annotations

import torch
from torch import Tensor

from packflow.potential.interface import Prepared
from packflow.structure.full import FullBatch


class _Energy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, positions: Tensor, cell: Tensor, prepared: Prepared, batch: FullBatch) -> Tensor:  # type: ignore[no-untyped-def] # noqa: ANN001
        found = prepared.evaluate(positions.detach(), cell.detach())
        lattice = cell.detach()
        # A strain s moves positions and cell to x (1 + s) and h (1 + s), so that V stress = sum of x^T dE/dx + h^T dE/dh.
        of_positions = torch.zeros_like(lattice).index_add_(
            0, batch.structure_index, -positions.detach()[:, :, None] * found.forces[:, None]
        )
        of_cell = torch.linalg.det(lattice).abs()[:, None, None] * found.stress - of_positions
        # Cells of molecules in vacuum, and those that could not be evaluated, may have no inverse.
        good = (batch.periodic & found.energy.isfinite())[:, None, None]
        by_cell = torch.linalg.solve(torch.where(good, lattice, torch.eye(3).to(lattice)).transpose(1, 2), of_cell)
        ctx.save_for_backward(-found.forces, torch.where(batch.periodic[:, None, None], by_cell, 0.0), batch.structure_index)
        return found.energy

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, by_energy: Tensor) -> tuple[Tensor, Tensor, None, None]:  # type: ignore[no-untyped-def] # noqa: ANN001
        by_positions, by_cell, owner = ctx.saved_tensors
        return by_energy[owner, None] * by_positions, by_energy[:, None, None] * by_cell, None, None


def differentiable_energy(prepared: Prepared, batch: FullBatch, positions: Tensor, cell: Tensor) -> Tensor:
    """Energies with first derivatives by positions and cells.

    Derivatives by the cell are at fixed Cartesian positions, as autograd means them: of a crystal whose atoms move with it, also give
    `positions` as a function of `cell`. Zero in vacuum.

    Args:
        prepared: Of the batch.
        batch: Says which atoms belong to which structure, and which structures are periodic.
        positions: Å, float64; molecules whole. [n_atoms, 3]
        cell: Rows are the lattice vectors, Å, float64. [n_structures, 3, 3]

    Returns:
        eV, NaN where a structure cannot be evaluated. [n_structures]
    """
    energy: Tensor = _Energy.apply(positions, cell, prepared, batch)
    return energy

"""The first of many tries to pack rigid molecules under symmetry in which no two molecules touch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from packflow import _C
from packflow.ops._check import check_tensor

IDENTITY = torch.eye(3, 4).flatten().tolist()


def first_fit(
    cell: Tensor,  # [n_tries, 3, 3]
    rotation: Tensor,  # [n_tries, n_molecules, 3, 3]
    center: Tensor,  # [n_tries, n_molecules, 3]
    shape: Tensor,  # [n_atoms, 3]
    radii: Tensor,  # [n_atoms]
    operations: Tensor,  # [n_copies, 3, 4]
    molecule: Tensor,  # [n_copies]
) -> int:
    """Number of the first try in which no atom touches one of another molecule, images of its own molecule being other ones.

    Atoms i and j touch where their distance is below radii[i] + radii[j]. Copy k of the cell is independent molecule molecule[k] moved by
    f -> W f + w in fractional coordinates; its atoms are where W, made Cartesian, turns those of the independent one. The tries
    stop at the first contact, so that most cost little. Computed in float64, on the CPU.

    Args:
        cell: Rows are the lattice vectors in Å, right-handed, of the shape that the operations ask for, float64. [n_tries, 3, 3]
        rotation: Orientations, orthogonal: an atom is at center + rotation @ shape, float64. [n_tries, n_molecules, 3, 3]
        center: Fractional, float64. [n_tries, n_molecules, 3]
        shape: Atoms of the molecule seen from its center, Å, float64. [n_atoms, 3]
        radii: Å, positive, float64. [n_atoms]
        operations: W and behind each of its rows the component of w, float64. [n_copies, 3, 4]
        molecule: Of which independent molecule each copy is one, ascending from 0, int32. The first copy of each is the molecule
            itself, with W = 1 and w = 0. [n_copies]

    Returns:
        0 to n_tries - 1, or -1 if none fits.

    Raises:
        ValueError: an argument of another shape or type, values that are not finite, a cell without volume, or copies out of order.
    """
    n_tries = check_tensor("cell", cell, ("n_tries", 3, 3), torch.float64)["n_tries"]
    n_molecules = check_tensor("rotation", rotation, (n_tries, "n_molecules", 3, 3), torch.float64)["n_molecules"]
    check_tensor("center", center, (n_tries, n_molecules, 3), torch.float64)
    n_atoms = check_tensor("shape", shape, ("n_atoms", 3), torch.float64)["n_atoms"]
    check_tensor("radii", radii, (n_atoms,), torch.float64)
    n_copies = check_tensor("operations", operations, ("n_copies", 3, 4), torch.float64)["n_copies"]
    check_tensor("molecule", molecule, (n_copies,), torch.int32)
    _check_copies(operations, molecule, n_molecules)
    for name, x in {"cell": cell, "rotation": rotation, "center": center, "shape": shape, "operations": operations}.items():
        # a sum is finite where all terms are, but for overflow
        if not math.isfinite(x.sum().item()):
            raise ValueError(f"{name} must be finite, got NaN or infinity")
    of_atom = radii.tolist()
    if not all(0 < radius < math.inf for radius in of_atom):
        raise ValueError(f"radii must be positive and finite, got {of_atom}")
    if not ((cell[:, 0] * torch.linalg.cross(cell[:, 1], cell[:, 2])).sum(1) > 0).all():
        raise ValueError("cell must be right-handed with a volume, got one that is not")
    return _launch(cell, rotation, center, shape, radii, operations, molecule)


def _check_copies(operations: Tensor, molecule: Tensor, n_molecules: int) -> None:
    """Refuse copies that are not grouped by molecule with the molecule itself first."""
    of_copy = molecule.tolist()
    if of_copy != sorted(of_copy) or set(of_copy) != set(range(n_molecules)):
        raise ValueError(f"molecule must ascend from 0 to {n_molecules - 1} without gaps, got {of_copy}")
    starts = [of_copy.index(m) for m in range(n_molecules)]
    if not all(operations[k].flatten().tolist() == IDENTITY for k in starts):
        raise ValueError("operations must begin with the identity for each molecule, got another one")


def _launch(cell: Tensor, rotation: Tensor, center: Tensor, shape: Tensor, radii: Tensor, operations: Tensor, molecule: Tensor) -> int:
    """Without checks."""
    cell, rotation, center, shape, radii, operations, molecule = (
        x.contiguous() for x in (cell, rotation, center, shape, radii, operations, molecule)
    )
    tries = cell.data_ptr(), rotation.data_ptr(), center.data_ptr(), len(cell)
    copies = operations.data_ptr(), molecule.data_ptr(), len(operations), rotation.shape[1]
    return int(_C.first_fit_cpu(tries, (shape.data_ptr(), radii.data_ptr(), len(shape)), copies, torch.get_num_threads()))

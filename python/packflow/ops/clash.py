"""Which atoms of a crystal are impossibly close to another."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from packflow import _C
from packflow.ops._check import check_crystals, check_tensor


def clash(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    radii: Tensor,  # [n_atoms]
    scale: float = 0.75,
) -> Tensor:
    """Atoms closer to another than `scale` times the sum of their covalent radii (paper, eq. 25 and 26).

    Every periodic image counts, of bonded atoms and of the atom itself as well. Distances are computed in float64.

    Args:
        positions: Cartesian coordinates in Å, wherever in space, float32 or float64. [n_atoms, 3]
        cell: Rows are the lattice vectors in Å, same dtype. [n_crystals, 3, 3]
        atom_ptr: First atom of each crystal, then n_atoms, int32. [n_crystals + 1]
        radii: Covalent radii in Å, same dtype. [n_atoms]
        scale: Share of the sum of two radii below which two atoms clash.

    Returns:
        Whether each atom is in clash, bool. [n_atoms]
    """
    n_atoms = check_tensor("positions", positions, ("n_atoms", 3), (torch.float32, torch.float64))["n_atoms"]
    n_crystals = check_tensor("cell", cell, ("n_crystals", 3, 3), positions.dtype, positions.device)["n_crystals"]
    check_tensor("atom_ptr", atom_ptr, (n_crystals + 1,), torch.int32, positions.device)
    check_tensor("radii", radii, (n_atoms,), positions.dtype, positions.device)
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be a positive number, got {scale}")
    smallest, largest = (float(r) for r in radii.aminmax()) if n_atoms else (0.0, 0.0)
    if not (smallest >= 0 and largest < math.inf):
        raise ValueError(f"radii must be finite and not negative, got values from {smallest} to {largest}")
    check_crystals(positions, cell, atom_ptr, 2 * scale * largest)
    return _launch(positions, cell, atom_ptr, radii, scale)


def _launch(positions: Tensor, cell: Tensor, atom_ptr: Tensor, radii: Tensor, scale: float, instruction_set: str = "") -> Tensor:
    """The kernel of the device and dtype. `instruction_set` is one of `_C.instruction_sets()`, or empty for the fastest."""
    positions, cell, atom_ptr, radii = (x.detach().contiguous() for x in (positions, cell, atom_ptr, radii))
    in_clash = torch.empty(len(positions), dtype=torch.bool, device=positions.device)
    addresses = [*(x.data_ptr() for x in (positions, cell, atom_ptr)), len(cell), radii.data_ptr(), in_clash.data_ptr()]
    float64 = positions.dtype == torch.float64
    if positions.is_cuda:
        kernel = _C.clash_cuda_float64 if float64 else _C.clash_cuda_float32
        with torch.cuda.device(positions.device):
            kernel(*addresses, scale, torch.cuda.current_stream().cuda_stream)
    else:
        kernel = _C.clash_cpu_float64 if float64 else _C.clash_cpu_float32
        kernel(*addresses, scale, torch.get_num_threads(), instruction_set)
    return in_clash

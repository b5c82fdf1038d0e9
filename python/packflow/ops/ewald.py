"""The smooth part of Ewald's sum over charges and all their images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from packflow import _C
from packflow.ops._check import check_tensor
from packflow.ops._crystals import check_positive

COULOMB = 332.0716 * 4.184 / 96.4853  # eV Å / e2, the constant of MMFF94
# alpha times the cutoff of the sum over pairs, and k_cutoff over 2 alpha: what is left out of either is below 1e-8 of the energy.
ACCURACY = 4.5


@dataclass(frozen=True)
class Ewald:
    """Energy of each crystal and its derivatives, float64.

    energy: [n_crystals] eV.
    forces: [n_atoms, 3] eV/Å.
    strain: [n_crystals, 3, 3] eV, dE/d(strain), symmetric.
    """

    energy: Tensor
    forces: Tensor
    strain: Tensor


def split_of(cutoff: float) -> tuple[float, float]:
    """alpha and k_cutoff in 1/Å for which the sum over pairs ends at `cutoff` Å."""
    alpha = ACCURACY / cutoff
    return alpha, 2 * ACCURACY * alpha


def ewald(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    charges: Tensor,  # [n_atoms]
    alpha: float,
    k_cutoff: float,
    periodic: Tensor | None = None,  # [n_crystals]
    buffer: float = 0.0,
) -> Ewald:
    """Energy of what is smooth of 1 / r - buffer / r2 between all charges and images, as a sum over reciprocal vectors; derivatives.

    That is erf(alpha r) / r - buffer (1 - exp(-alpha2 r2)) / r2; the second is the long range of a buffered 1 / (r + buffer).
    The term k = 0 is left out: no net charge, conducting surroundings. Each charge's energy with itself is taken away; every pair is in
    the sum, so that of atoms whose interaction does not count has to be taken away elsewhere (Allen and Tildesley, eq. 6.4; for
    other powers of r Williams, Acta Cryst. A 27, 452, 1971).

    Args:
        positions: Å, anywhere in space, float64. [n_atoms, 3]
        cell: Rows are the lattice vectors, Å, float64; with a volume where not left out, which is not checked. [n_crystals, 3, 3]
        atom_ptr: First atom of each crystal, then n_atoms, int32; not checked. [n_crystals + 1]
        charges: e, float64; the caller sees to it that those of a crystal add up to zero. [n_atoms]
        alpha: 1/Å.
        k_cutoff: Reciprocal vectors below are summed, 1/Å, with the factor 2 pi.
        periodic: False for structures that are left out and get zeros, bool; all are crystals if not given. [n_crystals]
        buffer: Å; zero for charges alone.

    Returns:
        Energy, forces and strain derivative, on the same device.

    Raises:
        ValueError: an argument; names it.
    """
    n_atoms = check_tensor("positions", positions, ("n_atoms", 3), torch.float64)["n_atoms"]
    device = positions.device
    n_crystals = check_tensor("cell", cell, ("n_crystals", 3, 3), torch.float64, device)["n_crystals"]
    check_tensor("atom_ptr", atom_ptr, (n_crystals + 1,), torch.int32, device)
    check_tensor("charges", charges, (n_atoms,), torch.float64, device)
    if periodic is None:
        periodic = torch.ones(n_crystals, dtype=torch.bool, device=device)
    check_tensor("periodic", periodic, (n_crystals,), torch.bool, device)
    check_positive("alpha", alpha)
    check_positive("k_cutoff", k_cutoff)
    if not (math.isfinite(buffer) and buffer >= 0):
        raise ValueError(f"buffer must be zero or a positive number, got {buffer}")
    return _launch(positions, cell, atom_ptr, charges, alpha, k_cutoff, periodic, buffer)


def wave_box(cell: Tensor, k_cutoff: float) -> Tensor:
    """Largest whole numbers of reciprocal vectors below the cutoff, int64. [n_crystals, 3]"""
    return (k_cutoff / (2 * math.pi) * cell.norm(dim=2)).long()


def n_waves(box: Tensor) -> Tensor:
    """How many reciprocal vectors the half box holds. [n_crystals]"""
    return (box[:, 0] + 1) * (2 * box[:, 1] + 1) * (2 * box[:, 2] + 1)


def _launch(
    positions: Tensor,
    cell: Tensor,
    atom_ptr: Tensor,
    charges: Tensor,
    alpha: float,
    k_cutoff: float,
    periodic: Tensor,
    buffer: float = 0.0,
    instruction_set: str = "",
) -> Ewald:
    """`instruction_set` is one of `_C.instruction_sets()`, or empty for the fastest."""
    kept = [x.detach().contiguous() for x in (positions, cell, atom_ptr, periodic, charges)]
    shapes = (len(cell),), (len(positions), 3), (len(cell), 3, 3)
    out = Ewald(*(torch.empty(shape, dtype=torch.float64, device=positions.device) for shape in shapes))
    counts = len(cell), len(positions)
    given = tuple(x.data_ptr() for x in kept), counts, (alpha, k_cutoff, COULOMB, float(buffer))
    addresses = tuple(x.data_ptr() for x in (out.energy, out.forces, out.strain))
    if positions.is_cuda:
        box = wave_box(torch.where(periodic[:, None, None], cell, 0), k_cutoff)
        wave_ptr = torch.zeros(len(cell) + 1, dtype=torch.int64, device=positions.device)
        wave_ptr[1:] = torch.where(periodic, n_waves(box), 0).cumsum(0)
        box, total = box.int(), int(wave_ptr[-1])
        structure = torch.empty(total, 3, dtype=torch.float64, device=positions.device)
        waves = box.data_ptr(), wave_ptr.data_ptr(), structure.data_ptr(), total
        with torch.cuda.device(positions.device):
            _C.ewald_cuda(given, addresses, waves, torch.cuda.current_stream().cuda_stream)
    else:
        _C.ewald_cpu(given, addresses, torch.get_num_threads(), instruction_set)
    return out

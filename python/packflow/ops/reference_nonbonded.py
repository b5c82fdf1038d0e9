"""The meaning of `nonbonded` and `ewald` in plain PyTorch: energies as sums, derivatives by autograd. Never optimised."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from packflow.ops.ewald import COULOMB
from packflow.ops.nonbonded import CANNOT_SEARCH, CHARGED, NEUTRAL, NOT_FINITE, OVERLAP, Nonbonded
from packflow.ops.nonbonded_tail import nonbonded_tail, switch, van_der_waals

BUFFER = 0.05  # Å
NEAREST = 0.3  # Å
SPLIT = 5.5  # alpha times the cutoff: what is left out of both sums is below 1e-13


def nonbonded(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_structures, 3, 3]
    atom_ptr: Tensor,  # [n_structures + 1]
    periodic: Tensor,  # [n_structures]
    charges: Tensor,  # [n_atoms]
    types: Tensor,  # [n_atoms]
    radius: Tensor,  # [2, n_types, n_types]
    epsilon: Tensor,  # [2, n_types, n_types]
    molecule: Tensor,  # [n_atoms]
    special_ptr: Tensor,  # [n_atoms + 1]
    special_index: Tensor,  # [n_special]
    special_scale: Tensor,  # [n_special, 2]
    cutoff: float = 10.0,
) -> Nonbonded:
    """Van der Waals and Coulomb energy of each structure, forces and stress.

    Args and result are those of `packflow.ops.nonbonded`.
    """
    scale = _scales(special_ptr, special_index, special_scale)
    tails = nonbonded_tail(atom_ptr, types, radius, epsilon, cutoff)
    energies, forces, stresses, problems = [], [], [], []
    for s, (first, last) in enumerate(pairwise(atom_ptr.tolist())):
        atoms = slice(first, last)
        r, q, kinds, lattice = positions[atoms].detach(), charges[atoms], types[atoms].long(), cell[s].detach()
        tables = radius[:, kinds][:, :, kinds], epsilon[:, kinds][:, :, kinds]
        same = molecule[atoms][:, None] == molecule[atoms][None, :]
        strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
        r.requires_grad_(True)
        deformation = torch.eye(3, dtype=torch.float64) + (strain + strain.T) / 2
        pair_scale = scale[atoms, atoms]
        problem = _problem(r, lattice, q, bool(periodic[s]), pair_scale, same)
        if problem:
            energy = torch.full((2,), torch.nan, dtype=torch.float64)
            force, stress = torch.full_like(r, torch.nan), torch.full_like(lattice, torch.nan)
        else:
            arguments = r @ deformation, lattice @ deformation, q, *tables, same, pair_scale, cutoff, tails[s]
            energy = _crystal(*arguments) if periodic[s] else _vacuum(*arguments)
            gradient, slope = torch.autograd.grad(energy.sum() + 0 * strain.sum() + 0 * r.sum(), (r, strain))
            force = -gradient
            stress = slope / torch.linalg.det(lattice).abs() if periodic[s] else torch.zeros_like(slope)
        energies.append(energy.detach())
        forces.append(force.detach())
        stresses.append(stress.detach())
        problems.append(problem)
    energy = torch.stack(energies) if energies else positions.new_zeros(0, 2)
    return Nonbonded(
        van_der_waals=energy[:, 0],
        coulomb=energy[:, 1],
        forces=torch.cat([positions[:0], *forces]),
        stress=torch.stack(stresses) if stresses else cell.clone(),
        problem=torch.tensor(problems, dtype=torch.uint8),
    )


def ewald(
    positions: Tensor,  # [n, 3]
    cell: Tensor,  # [3, 3]
    charges: Tensor,  # [n]
    alpha: float,
    k_cutoff: float,
    buffer: float = 0.0,
) -> Tensor:
    """Energy in eV of all pairs of one crystal, images included: erf(alpha r) / r - buffer (1 - exp(-alpha2 r2)) / r2.

    2 pi / V sum over k of (exp(-k2 / 4 alpha2) / k2 - buffer pi / 2 erfc(k / 2 alpha) / k) |sum q exp(i k r)|2, less half the value at
    r = 0 times q2 for the atoms themselves (Allen and Tildesley, eq. 6.4; Williams, Acta Cryst. A 27, 452, 1971). The term k = 0 is left
    out: conducting surroundings, no net charge.
    """
    reach = (k_cutoff / (2 * math.pi) * cell.detach().norm(dim=1)).floor().long().tolist()
    grid = torch.cartesian_prod(*(torch.arange(-n, n + 1, dtype=torch.float64) for n in reach)).reshape(-1, 3)
    k = 2 * math.pi * grid @ torch.linalg.inv(cell).T
    k2 = (k**2).sum(1)
    wanted = (k2 > 0) & (k2 < k_cutoff**2)
    k, k2 = k[wanted], k2[wanted]
    phase = k @ positions.T
    structure2 = (charges * phase.cos()).sum(1) ** 2 + (charges * phase.sin()).sum(1) ** 2
    volume = torch.linalg.det(cell).abs()
    weight = torch.exp(-k2 / (4 * alpha**2)) / k2 - buffer * math.pi / 2 * torch.erfc(k2.sqrt() / (2 * alpha)) / k2.sqrt()
    itself = alpha / math.sqrt(math.pi) - buffer * alpha**2 / 2
    return COULOMB * (2 * math.pi / volume * (weight * structure2).sum() - itself * (charges**2).sum())


def _scales(special_ptr: Tensor, special_index: Tensor, special_scale: Tensor) -> Tensor:
    """Factors on van der Waals and Coulomb of all pairs; an atom and itself do not interact. [n_atoms, n_atoms, 2]"""
    n_atoms = len(special_ptr) - 1
    scale = torch.ones(n_atoms, n_atoms, 2, dtype=torch.float64)
    source = torch.repeat_interleave(torch.arange(n_atoms), special_ptr.diff().long())
    scale[source, special_index.long()] = special_scale
    scale[range(n_atoms), range(n_atoms)] = 0
    return scale


def _problem(r: Tensor, cell: Tensor, charges: Tensor, periodic: bool, scale: Tensor, same: Tensor) -> int:
    """The bits of Nonbonded.problem. The scale of what is special must not be (1, 1), or it would count as an overlap."""
    if not bool(r.isfinite().all()) or (periodic and not bool(cell.isfinite().all())):
        return NOT_FINITE
    problem = CHARGED if periodic and abs(float(charges.sum())) > NEUTRAL else 0
    if periodic and float(torch.linalg.det(cell)) == 0:
        return problem | CANNOT_SEARCH
    special = same & (scale != 1).any(2)
    for shift in _shifts(r, cell, NEAREST) if periodic else torch.zeros(1, 3, dtype=torch.float64):
        distance = (r[None, :] - r[:, None] + shift @ cell).norm(dim=2) if periodic else (r[None, :] - r[:, None]).norm(dim=2)
        near = distance < NEAREST
        if not shift.any():
            near &= ~special
            near.fill_diagonal_(False)
        if near.any():
            return problem | OVERLAP
    return problem


def _shifts(r: Tensor, cell: Tensor, cutoff: float) -> Tensor:
    """All S for which some |r_j - r_i + S cell| can be below the cutoff. [n_shifts, 3]"""
    inverse = torch.linalg.inv(cell.detach())
    fractional = r.detach() @ inverse
    span = fractional.amax(0) - fractional.amin(0) if len(r) else torch.zeros(3, dtype=torch.float64)
    reach = (cutoff * inverse.norm(dim=0) + span + 1e-9).floor().long().tolist()
    return torch.cartesian_prod(*(torch.arange(-n, n + 1, dtype=torch.float64) for n in reach)).reshape(-1, 3)


def _crystal(
    r: Tensor,  # [n, 3]
    cell: Tensor,  # [3, 3]
    charges: Tensor,  # [n]
    radius: Tensor,  # [2, n, n]
    epsilon: Tensor,  # [2, n, n]
    same: Tensor,  # [n, n], atoms of one molecule
    scale: Tensor,  # [n, n, 2]
    cutoff: float,
    tail: Tensor,
) -> Tensor:
    """Van der Waals and Coulomb energy of a crystal, eV. [2]"""
    alpha = SPLIT / cutoff
    qq = COULOMB * charges[:, None] * charges[None, :]
    energy = torch.stack([tail / torch.linalg.det(cell).abs(), ewald(r, cell, charges, alpha, 2 * alpha * SPLIT, BUFFER)])
    for shift in _shifts(r, cell, cutoff):
        d = r[None, :] - r[:, None] + shift @ cell
        home = not bool(shift.any())
        own = same if home else torch.zeros_like(same)
        factor = scale if home else torch.ones_like(scale)
        itself = torch.eye(len(r), dtype=torch.bool) & home
        distance = torch.where(itself[:, :, None], torch.ones_like(d), d).norm(dim=2)
        inside = (distance < cutoff) & ~itself
        which = van_der_waals(distance, torch.where(own, radius[0], radius[1]), torch.where(own, epsilon[0], epsilon[1]))
        switched = switch(distance, cutoff)
        energy[0] += 0.5 * torch.where(inside, factor[:, :, 0] * switched * which, 0).sum()
        bare, square = 1 / distance, BUFFER / distance**2
        gauss = torch.exp(-((alpha * distance) ** 2))
        near = torch.erfc(alpha * distance) * bare - gauss * square + switched * (1 / (distance + BUFFER) - bare + square)
        # All pairs are in the smooth part: of those that do not count fully, the rest is taken away.
        smooth = torch.erf(alpha * distance) * bare - (1 - gauss) * square
        coulomb = torch.where(inside, factor[:, :, 1] * near, 0) - torch.where(itself, 0, (1 - factor[:, :, 1]) * smooth)
        energy[1] += 0.5 * (qq * coulomb).sum()
    return energy


def _vacuum(
    r: Tensor,  # [n, 3]
    cell: Tensor,
    charges: Tensor,  # [n]
    radius: Tensor,  # [2, n, n]
    epsilon: Tensor,  # [2, n, n]
    same: Tensor,  # [n, n]
    scale: Tensor,  # [n, n, 2]
    cutoff: float,
    tail: Tensor,
) -> Tensor:
    """Van der Waals and Coulomb energy of molecules in vacuum, eV; cell, cutoff and tail do not matter. [2]"""
    itself = torch.eye(len(r), dtype=torch.bool)
    distance = torch.where(itself[:, :, None], 1.0, r[None, :] - r[:, None]).norm(dim=2)
    which = van_der_waals(distance, torch.where(same, radius[0], radius[1]), torch.where(same, epsilon[0], epsilon[1]))
    coulomb = COULOMB * charges[:, None] * charges[None, :] / (distance + BUFFER)
    pairs = torch.where(itself[:, :, None], 0.0, scale * torch.stack([which, coulomb], dim=2))
    return 0.5 * pairs.sum((0, 1))

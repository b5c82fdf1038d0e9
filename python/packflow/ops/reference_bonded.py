"""Plain PyTorch meaning of `packflow.ops.bonded`: the energies as written in `BondedTerms`, their derivatives by autograd."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from packflow.ops.bonded import BondedResult, BondedTerms


def bonded(positions: Tensor, terms: BondedTerms, atom_ptr: Tensor) -> BondedResult:
    """Args and result are those of `packflow.ops.bonded`."""
    n_structures = len(atom_ptr) - 1
    owner = torch.repeat_interleave(torch.arange(n_structures, device=positions.device), atom_ptr.diff().long())
    strain = torch.zeros(n_structures, 3, 3, dtype=positions.dtype, device=positions.device, requires_grad=True)
    moved = positions.detach().clone().requires_grad_()
    symmetric = (strain + strain.transpose(1, 2)) / 2
    energy = bonded_energy(moved + torch.einsum("ni,nij->nj", moved, symmetric[owner]), terms)
    gradient, virial = torch.autograd.grad(energy.sum(), (moved, strain))
    return BondedResult(energy.detach(), -gradient, virial)


def bonded_energy(positions: Tensor, terms: BondedTerms) -> Tensor:
    """Differentiable energy of each structure, eV. [n_atoms, 3] -> [n_structures]"""
    n_structures = len(terms.term_ptr) - 1
    owner = torch.repeat_interleave(torch.arange(n_structures, device=positions.device), terms.term_ptr.diff().long())
    energy = positions.new_zeros(n_structures)
    for kind, energy_of in enumerate((stretch, bend, cosine_bend, stretch_bend, out_of_plane, torsion)):
        rows = (terms.kind == kind).nonzero()[:, 0]
        points = positions[terms.atoms[rows].long()].unbind(1)
        energy = energy.index_add(0, owner[rows], energy_of(points, terms.parameters[rows].unbind(1)))
    return energy


Points = tuple[Tensor, ...]  # four of [n, 3]
Parameters = tuple[Tensor, ...]  # five of [n]


def angle(u: Tensor, v: Tensor) -> Tensor:
    """Between two vectors, radians. [n, 3], [n, 3] -> [n]"""
    return torch.atan2(torch.linalg.cross(u, v).norm(dim=1), (u * v).sum(1))


def stretch(x: Points, p: Parameters) -> Tensor:
    """Kind 0. [n]"""
    d = (x[0] - x[1]).norm(dim=1) - p[1]
    return p[0] / 2 * d**2 * (1 - 2 * d + 7 / 3 * d**2)


def bend(x: Points, p: Parameters) -> Tensor:
    """Kind 1. [n]"""
    d = angle(x[0] - x[1], x[2] - x[1]) - p[1] * math.pi / 180
    return p[0] / 2 * d**2 * (1 - 0.4 * d)


def cosine_bend(x: Points, p: Parameters) -> Tensor:
    """Kind 2. [n]"""
    return p[0] / p[1] ** 2 * (1 - p[2] * torch.cos(p[1] * angle(x[0] - x[1], x[2] - x[1])))


def stretch_bend(x: Points, p: Parameters) -> Tensor:
    """Kind 3. [n]"""
    u, v = x[0] - x[1], x[2] - x[1]
    return (p[0] * (u.norm(dim=1) - p[2]) + p[1] * (v.norm(dim=1) - p[3])) * (angle(u, v) - p[4] * math.pi / 180)


def out_of_plane(x: Points, p: Parameters) -> Tensor:
    """Kind 4. [n]"""
    normal, bond = torch.linalg.cross(x[0] - x[1], x[2] - x[1]), x[3] - x[1]
    return p[0] / 2 * torch.atan2((normal * bond).sum(1), torch.linalg.cross(normal, bond).norm(dim=1)) ** 2


def torsion(x: Points, p: Parameters) -> Tensor:
    """Kind 5. [n]"""
    first, second = torch.linalg.cross(x[1] - x[0], x[2] - x[1]), torch.linalg.cross(x[2] - x[1], x[3] - x[2])
    c = torch.nn.functional.cosine_similarity(first, second, eps=0.0)
    return (p[0] * (1 + c) + p[1] * (2 - 2 * c**2) + p[2] * (1 + 4 * c**3 - 3 * c)) / 2

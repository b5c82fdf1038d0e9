"""Rigid Press: packings compressed until their molecules touch, symmetry kept (paper, section 4.6; Genarris 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from packflow.baseline.bfgs import minimize
from packflow.baseline.press_batch import PressBatch, press_batch, press_part
from packflow.baseline.random_packing import Packing, crystal_of
from packflow.errors import InputError
from packflow.ops import neighbors

# Å beyond the contact of two atoms at which they begin to repel each other
RANGE = 1.0
# Å, longest change of a degree of freedom in one step
MAX_STEP = 0.3


@dataclass(frozen=True)
class PressConfig:
    """How packings are compressed; scale, tolerance and max_steps are those of the paper's listing 1.

    Attributes:
        scale: share of the sum of two van der Waals radii below which atoms of different molecules cannot come.
        isotropic: whether the cell keeps its shape and only shrinks; else all that its crystal system leaves free changes.
        stiffness: Å3 per molecule, what a contact weighs against the volume; the smaller, the closer the molecules come.
        tolerance: Å2 per molecule, of the gradient at which a packing is done.
        max_steps: of the minimization.
        batch_size: packings compressed at once; changes nothing but speed and memory.
    """

    scale: float = 0.85
    isotropic: bool = False
    stiffness: float = 0.1
    tolerance: float = 0.01
    max_steps: int = 100
    batch_size: int = 64

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        for name in ("scale", "stiffness", "tolerance"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} must be a positive number, got {getattr(self, name)}")
        for name in ("max_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")


def rigid_press(packings: Sequence[Packing], config: PressConfig | None = None) -> list[Packing]:
    """Compress packings: the volume is minimized over cell, positions and orientations, atoms of different molecules being hard spheres.

    The spheres are regularized: atoms i and j of different molecules at a distance d between r = scale (R_i + R_j) and D = r + 1 Å repel
    each other by stiffness (D - d)^2 / ((D - r) (d - r)), which is smooth at D and a wall at r, after Genarris' (D - d) / (d - r). The
    degrees of freedom are those that keep the space group and its sites: strains that commute with the point group, and shifts and turns
    that the symmetry of a site allows. Molecules are rigid.

    Args:
        packings: From `random_packings` with a scale no smaller.
        config: How they are compressed.

    Returns:
        The packings compressed, in their order; those with a problem as they are.

    Raises:
        InputError: in a packing without a problem atoms are nearer than `scale` allows.
    """
    config = config or PressConfig()
    good = [k for k, packing in enumerate(packings) if not packing.problem]
    pressed = list(packings)
    for first in range(0, len(good), config.batch_size):
        places = good[first : first + config.batch_size]
        for place, packing in zip(places, press([packings[k] for k in places], config), strict=True):
            pressed[place] = packing
    return pressed


def press(packings: Sequence[Packing], config: PressConfig) -> list[Packing]:
    """Compress packings as one batch."""
    parts = [press_part(packing, config.isotropic) for packing in packings]
    everything = press_batch(parts)
    last: dict[tuple[int, ...], PressBatch] = {}

    def function(freedoms: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        key = tuple(rows.tolist())
        if key not in last:
            last.clear()
            last[key] = press_batch([parts[k] for k in key])
        return energy_and_gradient(last[key], freedoms, config)

    start = torch.zeros(len(packings), everything.n_freedoms, dtype=torch.float64)
    touching = (~function(start, torch.arange(len(packings)))[0].isfinite()).nonzero()[:, 0]
    if len(touching):
        index = packings[int(touching[0])].index
        raise InputError(f"scale must leave the packings without contacts, got {config.scale}, at which atoms of packing {index} touch")
    found = minimize(function, start, config.tolerance, config.max_steps, MAX_STEP)
    return [
        replace(p, arrangement=a, crystal=crystal_of(p.crystal.template, p.placement, p.conformer, a))
        for p, a in zip(packings, everything.arrangements(found.variables), strict=True)
    ]


def energy_and_gradient(batch: PressBatch, freedoms: Tensor, config: PressConfig) -> tuple[Tensor, Tensor]:
    """Energy per molecule, Å3, infinite where atoms are behind the wall, and its gradient. [n], [n, n_freedoms]"""
    variables = freedoms.detach().requires_grad_()
    energy, finite = energies(batch, variables, config)
    (gradient,) = torch.autograd.grad(energy.sum(), variables)
    return energy.detach().where(finite, math.inf), gradient.where(finite[:, None], 0.0)


def energies(batch: PressBatch, freedoms: Tensor, config: PressConfig) -> tuple[Tensor, Tensor]:
    """Volume and repulsion per molecule, Å3, and where they are finite; elsewhere the energy means nothing. [n], [n] bool"""
    cell, center, rotation = batch.moved(freedoms)
    positions = batch.atoms(cell, center, rotation)
    owner = torch.repeat_interleave(torch.arange(len(batch)), batch.atom_ptr.diff().long())
    reach = 2 * config.scale * float(batch.radii.max()) + RANGE
    found = neighbors(positions.detach(), cell.detach(), batch.atom_ptr, reach)
    (i, j), shift = found.pair_index, found.cell_shifts
    between = (batch.share[i] > 0) & ((batch.copy[i] != batch.copy[j]) | (shift != 0).any(1))
    i, j, shift = i[between], j[between], shift[between].double()
    offset = positions[j] - positions[i] + torch.einsum("pi,pij->pj", shift, cell[owner[i]])
    gap = offset.norm(dim=1) - config.scale * (batch.radii[i] + batch.radii[j])
    behind = torch.zeros(len(batch)).index_add_(0, owner[i], (gap <= 0).float()) > 0
    gap = gap.clamp(min=1e-6)
    # each pair of the lattice is met from both sides
    repulsion = 0.5 * config.stiffness * batch.share[i] * (RANGE - gap).clamp(min=0.0) ** 2 / (RANGE * gap)
    volume = torch.linalg.det(cell)
    n_copies = torch.bincount(batch.of_packing[batch.molecule], minlength=len(batch))
    return (volume / n_copies).index_add(0, owner[i], repulsion), ~behind & (volume > 0)

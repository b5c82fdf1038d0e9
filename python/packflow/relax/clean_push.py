"""How far crystals are from clean, and which way that pushes atoms and molecules."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from packflow.relax.clean_centers import FLATTEST
from packflow.relax.clean_layout import Contacts, Layout
from packflow.relax.clean_wanted import CONTACT_STIFFNESS, PUSHED_TO

# keeps directions and quotients finite where atoms coincide or nothing pushes
TINY = 1e-9


@dataclass(frozen=True)
class Push:
    """Forces, minus the gradient of the sum of stiffness times squared violation, and how far each thing alone would have to go.

    The latter are the forces over a bound of the second derivative: a Gauss-Newton step of blocks.

    n_near:     [n_crystals] int64, distances within molecules that are out of range, and tetrahedral atoms that are flat.
    n_contacts: [n_crystals] int64, contacts that are too near.
    forces:     [n_atoms, 3] on each atom.
    pulls:      [n_molecules, 3] of contacts on each molecule.
    torques:    [n_molecules, 3] of contacts about each molecule's centroid.
    moves:      [n_atoms, 3] Å, of each atom alone.
    shifts:     [n_molecules, 3] Å, of each molecule as a rigid body.
    turns:      [n_molecules, 3] radians, the same for rotation.
    """

    n_near: Tensor
    n_contacts: Tensor
    forces: Tensor
    pulls: Tensor
    torques: Tensor
    moves: Tensor
    shifts: Tensor
    turns: Tensor

    @classmethod
    def of(
        cls,
        layout: Layout,
        contacts: Contacts,
        positions: Tensor,
        cell: Tensor,
        arms: Tensor,
        held: bool = False,
        slack: float = 0.0,
    ) -> Push:
        """At these positions and cells.

        Args:
            layout: Which crystals.
            contacts: A list that serves.
            positions: [n_atoms, 3] float64, Å
            cell: [n_crystals, 3, 3] float64, Å
            arms: Positions seen from the molecules' centroids. [n_atoms, 3]
            held: Draw distances within molecules to what they were at first, where that is in range, and not only into the range.
            slack: Å by which a violation must be surpassed to count.
        """
        n_far, forces, curvature = _within(layout, positions, held, slack)
        volumes, of_centers, curvature_of_centers = layout.centers.push(positions)
        n_near = n_far + _count(layout, layout.centers.atoms[0, volumes < FLATTEST - slack])
        n_contacts, i, j, away = _between(layout, contacts, positions, cell, slack)
        stiffness = torch.full_like(away[:, 0], 2 * CONTACT_STIFFNESS)
        of_contacts = _on_both(i, j, away, len(positions))
        pulls, torques = (
            positions.new_zeros(len(layout.crystal_of), 3).index_add_(0, layout.molecule, x)
            for x in (of_contacts, torch.linalg.cross(arms, of_contacts))
        )
        curvature = (curvature + curvature_of_centers).index_add_(0, i, stiffness).index_add_(0, j, stiffness)
        of_shift, of_turn = positions.new_zeros(2, len(layout.crystal_of))
        for atom in (i, j):
            of_shift.index_add_(0, layout.molecule[atom], stiffness)
            of_turn.index_add_(0, layout.molecule[atom], stiffness * arms[atom].square().sum(1))
        forces = forces + of_centers + of_contacts
        moves, shifts, turns = (_over(x, y) for x, y in ((forces, curvature), (pulls, of_shift), (torques, of_turn)))
        return cls(n_near, n_contacts, forces, pulls, torques, moves, shifts, turns)

    @property
    def clean(self) -> Tensor:
        """Whether nothing is wrong. [n_crystals] bool"""
        return (self.n_near == 0) & (self.n_contacts == 0)


def _within(layout: Layout, positions: Tensor, held: bool, slack: float) -> tuple[Tensor, Tensor, Tensor]:
    """Distances within molecules: those out of range [n_crystals], forces [n_atoms, 3], second derivatives [n_atoms]."""
    near, (i, j) = layout.near, layout.near.index
    apart = positions.index_select(0, j) - positions.index_select(0, i)
    distance = apart.norm(dim=1).clamp(min=TINY)
    stiffness = 2 * near.stiffness
    error, outside = near.errors(distance, held)
    forces = _on_both(i, j, (-stiffness * error / distance)[:, None] * apart, len(positions))
    curvature = positions.new_zeros(len(positions)).index_add_(0, i, stiffness).index_add_(0, j, stiffness)
    return _count(layout, i[outside.abs() > near.tolerance + slack]), forces, curvature


def _between(layout: Layout, contacts: Contacts, positions: Tensor, cell: Tensor, slack: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Contacts: those too near [n_crystals]; atoms i and j of those that push, and the force on j [n_pushing, 3]."""
    apart = contacts.vectors(positions, cell)
    distance = apart.norm(dim=1)
    pushing = (distance < PUSHED_TO * contacts.limit).nonzero()[:, 0]
    i, j, apart, limit = (x.index_select(0, pushing) for x in (contacts.i, contacts.j, apart, contacts.limit))
    distance = distance[pushing].clamp(min=TINY)
    away = (2 * CONTACT_STIFFNESS * (PUSHED_TO * limit - distance) / distance)[:, None] * apart
    return _count(layout, i[distance < limit - slack]), i, j, away


def _on_both(i: Tensor, j: Tensor, force: Tensor, n_atoms: int) -> Tensor:
    """The force on j, and its opposite on i, added up. [n, 3] -> [n_atoms, 3]"""
    return force.new_zeros(n_atoms, 3).index_add_(0, j, force).index_add_(0, i, force, alpha=-1)


def _count(layout: Layout, atoms: Tensor) -> Tensor:
    """How many of the listed atoms each crystal has. [n] -> [n_crystals] int64"""
    return torch.bincount(layout.crystal[atoms], minlength=layout.n_crystals)


def _over(force: Tensor, curvature: Tensor) -> Tensor:
    return force / curvature.clamp(min=TINY)[:, None]

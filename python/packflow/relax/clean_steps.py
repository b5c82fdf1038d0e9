"""The minimiser: rigid motions of molecules, small ones of atoms, and cells that grow if nothing else helps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from packflow.relax.clean_layout import Contacts, Layout
from packflow.relax.clean_push import Push
from packflow.relax.clean_volume import PLAUSIBLE

# Share of each block's own step that is taken, and of the last motion that goes on
STEP, INERTIA = 0.7, 0.9
# Å, radians, Å: the most that a molecule is shifted or turned, and an atom moved, in one step
MOST = (0.2, 0.1, 0.1)
# steps that every crystal gets that is touched, in which its molecules settle and keep their shape; how often finished ones are taken out
SETTLE, TAKE_OUT = 30, 5
# share of the steps after which cells grow, and by how much a step where nothing but contacts is wrong
GROW_FROM, GROWTH = 0.8, 0.0005
SLACK = 1e-3


@dataclass(frozen=True)
class Motion:
    """Where crystals are and how they move; float64.

    positions: [n_atoms, 3] Å.
    cell:      [n_crystals, 3, 3] Å.
    expected:  [n_crystals] Å3, see `clean_volume.expected_volume`.
    moves:     [n_atoms, 3] Å a step, of atoms.
    shifts:    [n_molecules, 3] Å a step, of molecules.
    turns:     [n_molecules, 3] radians a step.
    """

    positions: Tensor
    cell: Tensor
    expected: Tensor
    moves: Tensor
    shifts: Tensor
    turns: Tensor

    @classmethod
    def at_rest(cls, layout: Layout, positions: Tensor, cell: Tensor, expected: Tensor) -> Motion:
        """Nothing moves yet."""
        still = positions.new_zeros(len(layout.crystal_of), 3)
        return cls(positions, cell, expected, torch.zeros_like(positions), still, still)

    def select(self, layout: Layout, keep: Tensor) -> Motion:
        """Some of the crystals of a layout, bool [n_crystals]."""
        atoms, molecules = keep[layout.crystal], keep[layout.crystal_of]
        return Motion(
            self.positions[atoms], self.cell[keep], self.expected[keep], self.moves[atoms], self.shifts[molecules], self.turns[molecules]
        )

    def step(self, layout: Layout, arms: Tensor, push: Push, going: Tensor) -> Motion:
        """Everything a step further, with inertia while that goes downhill.

        Args:
            layout: Which crystals.
            arms: Positions seen from the molecules' centroids. [n_atoms, 3]
            push: What pushes here.
            going: Which crystals move at all. [n_crystals] bool
        """
        of_molecules = (push.pulls * self.shifts + push.torques * self.turns).sum(1)
        power = self.expected.new_zeros(layout.n_crystals).index_add_(0, layout.crystal_of, of_molecules)
        power.index_add_(0, layout.crystal, (push.forces * self.moves).sum(1))
        share = STEP * going.to(power.dtype)
        inertia = INERTIA * ((power > 0) & going).to(power.dtype)
        shifts, turns, moves = (
            _at_most(inertia[owner, None] * before + share[owner, None] * wanted, most)
            for owner, before, wanted, most in zip(
                (layout.crystal_of, layout.crystal_of, layout.crystal),
                (self.shifts, self.turns, self.moves),
                (push.shifts, push.turns, push.moves),
                MOST,
                strict=True,
            )
        )
        turned = _turned(arms, turns[layout.molecule]) - arms
        positions = self.positions + shifts[layout.molecule] + turned + moves
        return replace(self, positions=positions, moves=moves, shifts=shifts, turns=turns)

    def grown(self, layout: Layout, which: Tensor) -> Motion:
        """Cells of some crystals, bool [n_crystals], a little larger, but not beyond the plausible volume."""
        room = PLAUSIBLE[1] * self.expected / torch.linalg.det(self.cell).abs()
        factor = 1 + GROWTH * (which & (room > (1 + GROWTH) ** 3)).to(room.dtype)
        return replace(self, positions=layout.scaled(self.positions, factor), cell=self.cell * factor[:, None, None])


@dataclass(frozen=True)
class Settled:
    """Crystals after the last step.

    positions:  [n_atoms, 3] float64, Å.
    cell:       [n_crystals, 3, 3] float64, Å.
    n_near:     [n_crystals] int64, distances within molecules still out of range.
    n_contacts: [n_crystals] int64, contacts still too near.
    """

    positions: Tensor
    cell: Tensor
    n_near: Tensor
    n_contacts: Tensor


def settle(layout: Layout, motion: Motion, max_steps: int) -> Settled:
    """Move crystals until each is clean, at most `max_steps` steps. None depends on what else is in the batch."""
    out = Settled(motion.positions.clone(), motion.cell.clone(), *motion.expected.new_zeros(2, layout.n_crystals).long())
    # of the crystals that are still in work: their rows in the result
    crystals = torch.arange(layout.n_crystals, device=motion.cell.device)
    atoms = torch.arange(len(motion.positions), device=motion.cell.device)
    going = torch.ones_like(crystals, dtype=torch.bool)
    contacts: Contacts | None = None
    for step in range(max_steps + 1):
        if step % TAKE_OUT == 0 and not bool(going.all()):
            of_atoms = going[layout.crystal]
            motion, layout, contacts = motion.select(layout, going), layout.select(going), None
            crystals, atoms, going = crystals[going], atoms[of_atoms], going[going]
            if not len(crystals):
                break
        if contacts is None or not contacts.serves(layout, motion.positions, motion.cell):
            contacts = Contacts.of(layout, motion.positions, motion.cell)
        arms = motion.positions - layout.centroids(motion.positions)[layout.molecule]
        push = Push.of(layout, contacts, motion.positions, motion.cell, arms, held=step < SETTLE)
        going = going & ~(push.clean & (step >= SETTLE))
        if step < max_steps:
            motion = motion.step(layout, arms, push, going)
            if step >= GROW_FROM * max_steps:
                motion = motion.grown(layout, going & (push.n_contacts > 0) & (push.n_near == 0))
        out.positions[atoms], out.cell[crystals] = motion.positions, motion.cell
        out.n_near[crystals], out.n_contacts[crystals] = push.n_near, push.n_contacts
    return out


def _at_most(x: Tensor, most: float) -> Tensor:
    """Vectors no longer than that. [n, 3]"""
    return x * (most / x.norm(dim=1, keepdim=True).clamp(min=most))


def _turned(arms: Tensor, turns: Tensor) -> Tensor:
    """Vectors turned about axes through the origin by the axes' lengths in radians (Rodrigues). [n, 3], [n, 3] -> [n, 3]"""
    angle = turns.norm(dim=1, keepdim=True)
    axis = turns / angle.clamp(min=torch.finfo(turns.dtype).tiny)
    along = axis * (axis * arms).sum(1, keepdim=True)
    return arms * angle.cos() + torch.linalg.cross(axis, arms) * angle.sin() + along * (1 - angle.cos())

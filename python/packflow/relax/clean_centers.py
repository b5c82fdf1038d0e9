"""Tetrahedral atoms: what a clean-up must not turn over, and should not leave flat."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from packflow.structure import TemplateBatch
from packflow.structure.molecule import HYBRIDIZATIONS

# column of the hybridization among the atom features, and its value for tetrahedral atoms
HYBRIDIZATION, SP3 = 6, HYBRIDIZATIONS.index("SP3")
# Å3, triple products of the bonds to three neighbours: a smaller one is too flat and is pushed to the second. Of tetrahedral atoms of
# open crystals 0.1 % have less than the first, 2 % less than the second.
FLATTEST, PUSHED_TO = 1.0, 2.0
# Å3 from which on an atom has a side that can be lost
SIDED = 0.5
STIFFNESS = 0.2


@dataclass(frozen=True)
class Centers:
    """Tetrahedral atoms with three or more neighbours among the heavy atoms.

    atoms: [4, n_centers] int64, the atom and its first three neighbours.
    side:  [n_centers] float64, 1 or -1: the sign of the triple product of the bonds at first.
    """

    atoms: Tensor
    side: Tensor

    @classmethod
    def of(cls, template: TemplateBatch, positions: Tensor) -> Centers:
        """Those of a batch whose atoms are at `positions` at first. [n_atoms, 3] float64"""
        begin, end = template.bond_index[:, template.bond_index[0].argsort(stable=True)]
        degree = torch.bincount(begin, minlength=template.n_atoms)
        center = ((degree >= 3) & (template.atom_features[:, HYBRIDIZATION] == SP3)).nonzero()[:, 0]
        first = (degree.cumsum(0) - degree)[center]
        atoms = torch.stack([center, *(end[first + k] for k in range(3))])
        found = cls(atoms, positions.new_ones(len(center)))
        return cls(atoms, torch.where(found.volumes(positions) < 0, -1.0, 1.0).to(positions.dtype))

    def select(self, atoms: Tensor, place: Tensor) -> Centers:
        """Those of some atoms, bool [n_atoms], whose new rows are `place` [n_atoms]."""
        kept = atoms[self.atoms[0]]
        return Centers(place[self.atoms[:, kept]], self.side[kept])

    def volumes(self, positions: Tensor) -> Tensor:
        """Triple products times the sides: positive while no atom is turned over, Å3. [n_atoms, 3] -> [n_centers]"""
        a, b, c = positions[self.atoms[1:]] - positions[self.atoms[0]]
        return self.side * (torch.linalg.cross(a, b) * c).sum(1)

    def push(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What pushes flat ones out.

        Returns:
            Triple products as `volumes` gives them [n_centers]; forces [n_atoms, 3]; bounds of second derivatives [n_atoms].
        """
        a, b, c = positions[self.atoms[1:]] - positions[self.atoms[0]]
        cross = torch.linalg.cross
        slopes = self.side[:, None] * torch.stack([cross(b, c), cross(c, a), cross(a, b)])
        volumes = (slopes[2] * c).sum(1)
        slopes = torch.cat([-slopes.sum(0, keepdim=True), slopes])
        flat = (PUSHED_TO - volumes).clamp(min=0)
        forces = (2 * STIFFNESS * flat)[:, None] * slopes
        curvature = 2 * STIFFNESS * (flat > 0) * slopes.square().sum(2)
        rows = self.atoms.reshape(-1)
        total = torch.zeros_like(positions).index_add_(0, rows, forces.reshape(-1, 3))
        return volumes, total, positions.new_zeros(len(positions)).index_add_(0, rows, curvature.reshape(-1))

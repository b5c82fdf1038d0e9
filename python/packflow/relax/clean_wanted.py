"""What a clean crystal is: the range of distances within molecules, and how near other atoms may come."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from packflow.metrics.validity import by_atomic_number
from packflow.structure import TemplateBatch

# Å, van der Waals radii (Bondi, J. Phys. Chem. 1964, 68, 441; B: Mantina et al., J. Phys. Chem. A 2009, 113, 5806)
RADII = {
    "H": 1.2,
    "B": 1.92,
    "C": 1.7,
    "N": 1.55,
    "O": 1.52,
    "F": 1.47,
    "Si": 2.1,
    "P": 1.8,
    "S": 1.8,
    "Cl": 1.75,
    "As": 1.85,
    "Se": 1.9,
    "Br": 1.85,
    "I": 1.98,
}
RADIUS = by_atomic_number(RADII)
# Share of the sum of two radii below which a contact is too near, and to which it is pushed; two of N, O and F, which may share a
# hydrogen, come nearer (2.43 and 2.86 Å for O and O). Of 1,259 open crystals of 888 molecules 3 % have a contact that is too near.
NEAREST, NEAREST_POLAR = 0.85, 0.80
PUSHED_TO = 1.18  # times the above: the sum of the radii itself
IS_POLAR = torch.isin(torch.arange(len(RADIUS)), torch.tensor([7, 8, 9]))
# Å beyond RDKit's range that atoms one, two and three bonds apart may be; 94 % of the same crystals are within in all distances
TOLERANCE = (0.20, 0.25, 0.40)
# Relative stiffness of distances between atoms one, two and three bonds apart, and of a contact
STIFFNESS, CONTACT_STIFFNESS = (2.0, 1.0, 0.3), 0.2


@dataclass(frozen=True)
class NearPairs:
    """Atoms of a molecule at most three bonds apart, each pair once, i < j, ascending.

    index:     [2, n_pairs] int64, rows of the packed atom axis.
    range:     [n_pairs, 2] float64, Å; RDKit's, into which the pair is drawn.
    tolerance: [n_pairs] float64, Å; a distance further out than that is to be mended.
    first:     [n_pairs] float64, Å; the distance at first, or the nearest end of the range: what the pair is held at for a while.
    stiffness: [n_pairs] float64.
    """

    index: Tensor
    range: Tensor
    tolerance: Tensor
    first: Tensor
    stiffness: Tensor

    @classmethod
    def of(cls, template: TemplateBatch, positions: Tensor) -> NearPairs:
        """Those of a batch whose atoms are at `positions` at first. [n_atoms, 3] float64"""
        once = template.pair_index[0] < template.pair_index[1]
        index, features = template.pair_index[:, once], template.pair_features[once].double()
        kind = features[:, 0].long() - 1
        tolerance, stiffness = (features.new_tensor(values)[kind] for values in (TOLERANCE, STIFFNESS))
        distance = (positions[index[1]] - positions[index[0]]).norm(dim=1)
        return cls(index, features[:, 1:], tolerance, distance.clamp(features[:, 1], features[:, 2]), stiffness)

    def select(self, atoms: Tensor, place: Tensor) -> NearPairs:
        """Those of some atoms, bool [n_atoms], whose new rows are `place` [n_atoms]."""
        kept = atoms[self.index[0]]
        return NearPairs(place[self.index[:, kept]], *(x[kept] for x in (self.range, self.tolerance, self.first, self.stiffness)))

    def errors(self, distance: Tensor, held: bool) -> tuple[Tensor, Tensor]:
        """How far distances [n_pairs] are from what the pairs are drawn to, and outside of the range, Å. [n_pairs], [n_pairs]"""
        outside = distance - distance.clamp(self.range[:, 0], self.range[:, 1])
        return distance - self.first if held else outside, outside


def nearest_allowed(atomic_numbers: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """The distance in Å below which atoms i and j [n_pairs] of different molecules are too near. [n_pairs] float64"""
    radius, polar = (table.to(i.device)[atomic_numbers] for table in (RADIUS, IS_POLAR))
    share = torch.where(polar[i] & polar[j], radius.new_tensor(NEAREST_POLAR), radius.new_tensor(NEAREST))
    return share * (radius[i] + radius[j])


def contact_reach(atomic_numbers: Tensor) -> float:
    """The largest distance in Å at which two of the atoms push each other."""
    if not len(atomic_numbers):
        return 0.0
    return 2 * NEAREST * PUSHED_TO * float(RADIUS.to(atomic_numbers.device)[atomic_numbers].max())

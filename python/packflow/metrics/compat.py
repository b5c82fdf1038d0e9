"""The released code's metrics, for comparison with published numbers only.

Ours (`packflow.metrics.compare`) differ where these conventions mislead:

- Si, Se, B and As have no mass and, like any element that is not listed, a radius of 0.7 Å: densities of such crystals are too low and
  their clashes are missed. Ours have all 14 elements; masses differ in the last digits.
- 1e-6 is added to volumes and densities, 1e-8 to shares: identical structures do not quite score 1. Ours add nothing.
- An exception in the AMD gives 0.0, the score of a perfect prediction; two structures without distances below 10 Å have RDF distance 0;
  one without has 10.0. Ours have no value then, and the structure counts as failed or missing.
- "rmse" and "mae" of the density are both the absolute difference of the two numbers.
- A contact is a pair of atoms by number whose nearest images are within 6 Å: another order of the same atoms changes the score, and in
  cells of usual size nearly all pairs are contacts (a random structure scores 0.99 against another). `contact_f1` depends on no order.
- A cell of less than 0.1 Å3 is an error; a flat one of 0.2 Å3 is scored like any other. Failed samples drop out of averages.

The released code's distances are rounded to float32 before they are counted, ours never: the two may differ by the counts of distances
at a bin's edge, such as an axis of 8.1 Å.

Jensen-Shannon divergence and overlap of the RDF exist here only: they say less than the Wasserstein distance, since a shift by one bin
is as bad as one by fifty.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from packflow import ops
from packflow.elements import ATOMIC_NUMBERS
from packflow.metrics.density import GRAM_PER_CM3
from packflow.structure.lattice import cell_from_lattice

MASSES = {
    "H": 1.0079,
    "C": 12.011,
    "N": 14.0067,
    "O": 15.999,
    "F": 18.998,
    "P": 30.9738,
    "S": 32.065,
    "Cl": 35.453,
    "Br": 79.904,
    "I": 126.904,
}
RADII = {"H": 0.31, "C": 0.76, "N": 0.71, "O": 0.66, "F": 0.57, "P": 1.07, "S": 1.05, "Cl": 1.02, "Br": 1.20, "I": 1.39}
OTHER_RADIUS = 0.7
# Å3; a cell with less is refused
MIN_VOLUME = 0.1
# Å
R_MAX, R_SHORT, CONTACT = 10.0, 5.0, 6.0
N_BINS, N_SHORT = 100, 50
JSD_OF_EMPTY = 0.693


@dataclass(frozen=True)
class _Structure:
    """One structure as the released code sees it, in float32, atoms wrapped into the cell.

    atomic_numbers: [n_atoms] int64.
    positions:      [n_atoms, 3] float32, Å.
    cell:           [1, 3, 3] float32, Å.
    """

    atomic_numbers: Tensor
    positions: Tensor
    cell: Tensor

    @classmethod
    def of(cls, atomic_numbers: Tensor, positions: Tensor, lattice: Tensor) -> _Structure:
        cell = cell_from_lattice(lattice.float())
        volume = float(torch.linalg.det(cell).abs())
        if volume < MIN_VOLUME:
            raise ValueError(f"cell must have a volume of at least {MIN_VOLUME} Å3, got {volume}")
        fractional = positions.float() @ cell.inverse()
        return cls(atomic_numbers, (fractional - fractional.floor()) @ cell, cell[None])

    @property
    def search(self) -> tuple[Tensor, Tensor, Tensor]:
        """Arguments of the periodic ops."""
        return self.positions, self.cell, torch.tensor([0, len(self.positions)], dtype=torch.int32)

    @property
    def density(self) -> float:
        """g/cm3, of the listed elements."""
        mass = self._of_elements(MASSES, 0.0).sum()
        return float(GRAM_PER_CM3 * mass / (torch.linalg.det(self.cell[0]).abs() + 1e-6))

    @property
    def clash_percent(self) -> float:
        """Atoms in clash, bonded pairs and own images included."""
        return 100 * float(ops.clash(*self.search, self._of_elements(RADII, OTHER_RADIUS), 0.75).double().mean())

    @property
    def amd(self) -> Tensor:
        """Average minimum distances. [100] float32"""
        return ops.amd(*self.search, 100)[0]

    @property
    def rdf(self) -> Tensor:
        """Shares of the distances in the bins to 10 Å; zeros if there are none. [100] float32"""
        counts = ops.rdf(*self.search, R_MAX, N_BINS)[0].float()
        return counts / (counts.sum() + 1e-8)

    @property
    def contacts(self) -> Tensor:
        """Whether any image of atom j is within 6 Å of atom i. [n_atoms, n_atoms] bool"""
        near = torch.zeros(len(self.positions), len(self.positions), dtype=torch.bool)
        i, j = ops.neighbors(*self.search, CONTACT).pair_index
        near[i, j] = True
        return near

    def _of_elements(self, table: dict[str, float], other: float) -> Tensor:
        by_number = {ATOMIC_NUMBERS[symbol]: value for symbol, value in table.items()}
        return torch.tensor([by_number.get(number, other) for number in self.atomic_numbers.tolist()])


def released_metrics(
    atomic_numbers: Tensor,  # [n_atoms]
    positions: Tensor,  # [n_atoms, 3]
    lattice: Tensor,  # [6]
    true_positions: Tensor,  # [n_atoms, 3]
    true_lattice: Tensor,  # [6]
) -> dict[str, float]:
    """What evaluation/metrics.py of learningmatter-mit/packflow (b83d4e76) gives for one prediction and its reference.

    Args:
        atomic_numbers: Heavy atoms, of both structures in the same order, int64. [n_atoms]
        positions: Cartesian coordinates of the prediction, Å. [n_atoms, 3]
        lattice: a, b, c (Å), alpha, beta, gamma (degrees) of the prediction; lengths may be negative. [6]
        true_positions: Those of the reference. [n_atoms, 3]
        true_lattice: That of the reference. [6]

    Returns:
        density_rmse, density_mae (g/cm3), density_mape_pct, clash_total_pct (%), amd_linf (Å), rdf_jsd (nats), rdf_overlap_pct (%),
        rdf_wasserstein (Å), rdf_overlap_short_range_pct, rdf_wasserstein_short_range, contact_precision, contact_recall, contact_f1.

    Raises:
        ValueError: a cell has less than 0.1 Å3 or is not finite.
    """
    ours = _Structure.of(atomic_numbers, positions, lattice)
    theirs = _Structure.of(atomic_numbers, true_positions, true_lattice)
    error = abs(ours.density - theirs.density)
    return {
        "density_rmse": error,
        "density_mae": error,
        "density_mape_pct": 100 * error / (theirs.density + 1e-6),
        "clash_total_pct": ours.clash_percent,
        "amd_linf": _amd_linf(ours, theirs),
        **_compare_rdfs(ours.rdf, theirs.rdf),
        **_compare_contacts(ours.contacts, theirs.contacts),
    }


def _amd_linf(ours: _Structure, theirs: _Structure) -> float:
    """L-infinity distance; 0.0 where a structure cannot be searched."""
    try:
        return float((ours.amd - theirs.amd).abs().max())
    except ValueError:
        return 0.0


def _compare_rdfs(p: Tensor, q: Tensor) -> dict[str, float]:
    names = ("rdf_jsd", "rdf_overlap_pct", "rdf_wasserstein", "rdf_overlap_short_range_pct", "rdf_wasserstein_short_range")
    empty = (p.sum() <= 0, q.sum() <= 0)
    if all(empty):
        return dict(zip(names, (0.0, 100.0, 0.0, 100.0, 0.0), strict=True))
    if any(empty):
        return dict(zip(names, (JSD_OF_EMPTY, 0.0, R_MAX, 0.0, R_SHORT), strict=True))
    near, far = (x[:N_SHORT] for x in (p, q))
    if near.sum() > 1e-6 and far.sum() > 1e-6:
        near, far = near / near.sum(), far / far.sum()
        short = _overlap(near, far), _wasserstein(near, far)
    else:
        short = 0.0, R_MAX
    return dict(zip(names, (_jsd(p, q), _overlap(p, q), _wasserstein(p, q), *short), strict=True))


def _smoothed(x: Tensor) -> Tensor:
    return (x + 1e-8) / (x + 1e-8).sum()


def _jsd(p: Tensor, q: Tensor) -> float:
    """Jensen-Shannon divergence in nats."""
    p, q = _smoothed(p), _smoothed(q)
    mean = (p + q) / 2
    return float(0.5 * (p * (p / mean).log()).sum() + 0.5 * (q * (q / mean).log()).sum())


def _overlap(p: Tensor, q: Tensor) -> float:
    """Common share of two distributions, %."""
    return 100 * float(torch.minimum(_smoothed(p), _smoothed(q)).sum())


def _wasserstein(p: Tensor, q: Tensor) -> float:
    """First Wasserstein distance, Å."""
    return R_MAX / N_BINS * float((_cumulative(p) - _cumulative(q)).abs().sum())


def _cumulative(x: Tensor) -> Tensor:
    return x.cumsum(0) / (x.sum() + 1e-8)


def _compare_contacts(ours: Tensor, theirs: Tensor) -> dict[str, float]:
    """Precision, recall and their harmonic mean per atom, averaged over atoms."""
    common = (ours & theirs).sum(1)
    precision, recall = common / (ours.sum(1) + 1e-8), common / (theirs.sum(1) + 1e-8)
    f1 = 2 * precision * recall / (precision + recall + 1e-8)
    return {"contact_precision": float(precision.mean()), "contact_recall": float(recall.mean()), "contact_f1": float(f1.mean())}

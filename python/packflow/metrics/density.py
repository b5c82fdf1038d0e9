"""Density of a crystal and its error (paper, eqs. 23 and 24)."""

from __future__ import annotations

from torch import Tensor

from packflow.elements import MASSES
from packflow.metrics.references import reference_rows
from packflow.metrics.validity import by_atomic_number, over_good, sum_per_structure, volume
from packflow.structure import AtomsBatch

# g/cm3 of one amu/Å3
GRAM_PER_CM3 = 1.660539
MASS = by_atomic_number(MASSES)


def density(atoms: AtomsBatch, hydrogens: bool = True) -> Tensor:
    """Mass of the unit cell over its volume (paper, eq. 23).

    Args:
        atoms: Any values.
        hydrogens: Add the mass of the hydrogens that are not atoms, as in a measured density; False is the paper's number.

    Returns:
        g/cm3; NaN for a structure with a problem. [n_structures] float64
    """

    return over_good(atoms, lambda good: density_of_good(good, hydrogens))


def density_of_good(atoms: AtomsBatch, hydrogens: bool = True) -> Tensor:
    """As `density`, of structures without problems, in float64. [n_structures] float64"""
    mass = MASS.to(atoms.atomic_numbers.device)[atoms.atomic_numbers]
    if hydrogens:
        mass = mass + MASSES["H"] * atoms.n_hydrogens
    return GRAM_PER_CM3 * sum_per_structure(atoms, mass) / volume(atoms)


def density_error_percent(predictions: AtomsBatch, references: AtomsBatch, reference_of: Tensor | None = None) -> Tensor:
    """Absolute error of the density of heavy atoms in percent of the reference's (paper, eq. 24, before the mean).

    The paper adds 1e-6 to the denominator, which no crystal needs.

    Args:
        predictions: Any values.
        references: Any values.
        reference_of: The reference of each prediction; the one in its place if not given. [n_predictions] int64

    Returns:
        %; NaN where either has a problem. [n_predictions] float64

    Raises:
        ValueError: `reference_of` does not fit.
    """
    wanted = density(references, hydrogens=False)[reference_rows(predictions, references, reference_of)]
    return 100 * (density(predictions, hydrogens=False) - wanted).abs() / wanted

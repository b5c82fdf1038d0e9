"""Distribution of periodic distances and how far two of them are apart (paper, eqs. 28 and 29)."""

from __future__ import annotations

import math

from torch import Tensor

from packflow import ops
from packflow.metrics.references import reference_rows
from packflow.metrics.validity import over_good
from packflow.structure import AtomsBatch

# Å: to where distances count, to where for the short variant, and a bin of either
R_MAX, R_SHORT, BIN = 10.0, 5.0, 0.1


def rdf(atoms: AtomsBatch, r_max: float = R_MAX, n_bins: int = 100) -> Tensor:
    """Share of periodic distances in each bin from 0 to r_max (paper, eq. 28).

    A histogram of distances, neither divided by 4 pi r2 nor by the density.

    Args:
        atoms: Any values.
        r_max: End of the last bin, Å.
        n_bins: Bins of equal width.

    Returns:
        Sums to 1; NaN for a structure with a problem or without a distance below r_max. [n_structures, n_bins] float64

    Raises:
        ValueError: r_max is no positive number or n_bins no positive integer.
    """
    return over_good(atoms, lambda good: rdf_of_good(good, r_max, n_bins), n_bins, _positive(r_max))


def rdf_of_good(atoms: AtomsBatch, r_max: float = R_MAX, n_bins: int = 100) -> Tensor:
    """As `rdf`, of structures without problems, in float64. [n_structures, n_bins] float64"""
    return shares(ops.rdf(atoms.positions, atoms.cell, atoms.atom_ptr, r_max, n_bins).double())


def rdf_distance(predictions: AtomsBatch, references: AtomsBatch, reference_of: Tensor | None = None, r_max: float = R_MAX) -> Tensor:
    """Wasserstein distance between the distributions of periodic distances of a prediction and its reference (paper, eq. 29).

    Args:
        predictions: Any values.
        references: Any values.
        reference_of: The reference of each prediction; the one in its place if not given. [n_predictions] int64
        r_max: Distances below it count, in bins of 0.1 Å; 5.0 gives the paper's short variant.

    Returns:
        Å; NaN where either has a problem or no distance below r_max. [n_predictions] float64

    Raises:
        ValueError: `reference_of` does not fit, or r_max is no positive number.
    """
    rows = reference_rows(predictions, references, reference_of)
    n_bins = max(round(_positive(r_max) / BIN), 1)
    return wasserstein(rdf(predictions, r_max, n_bins), rdf(references, r_max, n_bins)[rows], r_max / n_bins)


def shares(counts: Tensor) -> Tensor:
    """Counts over their sum; NaN where nothing was counted. [n, n_bins] -> [n, n_bins]"""
    return counts / counts.sum(1, keepdim=True)


def wasserstein(p: Tensor, q: Tensor, width: float) -> Tensor:
    """First Wasserstein distance of distributions over bins of the given width, in its unit. [n, n_bins], [n, n_bins] -> [n]"""
    return width * (p - q).cumsum(1).abs().sum(1)


def short(p: Tensor) -> Tensor:
    """The part of a distribution to 10 Å that is below 5 Å, with the sum 1. [n, 100] -> [n, 50]"""
    return shares(p[:, : p.shape[1] // 2])


def _positive(r_max: float) -> float:
    if not 0 < r_max < math.inf:
        raise ValueError(f"r_max must be a positive number, got {r_max}")
    return r_max

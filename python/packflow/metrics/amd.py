"""How far apart two packings are by the distances to nearest neighbors (paper, eq. 27)."""

from __future__ import annotations

from torch import Tensor

from packflow import ops
from packflow.metrics.references import reference_rows
from packflow.metrics.validity import N_NEIGHBORS, neighbor_radius, over_good
from packflow.structure import AtomsBatch


def amd(atoms: AtomsBatch, k: int = N_NEIGHBORS) -> Tensor:
    """Average minimum distances: from an atom to its k nearest, whatever the elements, averaged over atoms.

    Args:
        atoms: Any values.
        k: Number of neighbors.

    Returns:
        Ascending, Å; NaN for a structure with a problem. [n_structures, k] float64

    Raises:
        ValueError: k is no positive integer.
    """
    return over_good(atoms, lambda good: amd_of_good(good, k), k, neighbor_radius(atoms, k).nan_to_num())


def amd_of_good(atoms: AtomsBatch, k: int = N_NEIGHBORS) -> Tensor:
    """As `amd`, of structures without problems, in float64. [n_structures, k] float64"""
    return ops.amd(atoms.positions, atoms.cell, atoms.atom_ptr, k)


def amd_distance(predictions: AtomsBatch, references: AtomsBatch, reference_of: Tensor | None = None, k: int = N_NEIGHBORS) -> Tensor:
    """Greatest difference between the average minimum distances of a prediction and its reference (paper, eq. 27).

    Args:
        predictions: Any values.
        references: Any values.
        reference_of: The reference of each prediction; the one in its place if not given. [n_predictions] int64
        k: Number of neighbors.

    Returns:
        Å; NaN where either has a problem. [n_predictions] float64

    Raises:
        ValueError: `reference_of` does not fit, or k is no positive integer.
    """
    rows = reference_rows(predictions, references, reference_of)
    return largest_difference(amd(predictions, k), amd(references, k)[rows])


def largest_difference(x: Tensor, y: Tensor) -> Tensor:
    """L-infinity distance of vectors; NaN if either holds one. [n, k], [n, k] -> [n]"""
    return (x - y).abs().amax(1)

"""Which reference a prediction is compared with."""

from __future__ import annotations

import torch
from torch import Tensor

from packflow.structure import AtomsBatch


def reference_rows(predictions: AtomsBatch, references: AtomsBatch, reference_of: Tensor | None) -> Tensor:
    """The reference of each prediction, checked.

    Args:
        predictions: Structures that are compared.
        references: Those that they are compared with; one may serve many.
        reference_of: Rows of `references`; the one in its place if not given. [n_predictions] int64

    Returns:
        [n_predictions] int64, on the device of the references.

    Raises:
        ValueError: wrong shape or type, rows that do not exist, or none given and the numbers of structures differ.
    """
    n = len(predictions)
    if reference_of is None:
        if n != len(references):
            raise ValueError(f"reference_of must be given unless predictions and references are as many, got {n} and {len(references)}")
        return torch.arange(n, device=references.cell.device)
    if reference_of.dtype != torch.int64 or reference_of.shape != (n,):
        raise ValueError(f"reference_of must be int64 of shape ({n},), got {reference_of.dtype} of shape {tuple(reference_of.shape)}")
    wrong = (reference_of < 0) | (reference_of >= len(references))
    if wrong.any():
        raise ValueError(f"reference_of must be from 0 to {len(references) - 1}, got {int(reference_of[wrong][0])}")
    return reference_of.to(references.cell.device)

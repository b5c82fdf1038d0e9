"""A shortlist of a pool of packings, stratified by space group."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from packflow.baseline.random_packing import Packing, generator_of
from packflow.errors import InputError


def shortlist(pool: Sequence[Packing], n_samples: int, seed: int) -> list[Packing]:
    """Choose packings as the paper's appendix D does: as many of each space group, then what is lacking from all that are left.

    Args:
        pool: Any packings; those with a problem are not chosen.
        n_samples: How many, at most.
        seed: 0 or more.

    Returns:
        n_samples packings without a problem, fewer if the pool has fewer; in the order of the pool.

    Raises:
        InputError: n_samples is below 1, or the seed negative.
    """
    if n_samples < 1:
        raise InputError(f"n_samples must be at least 1, got {n_samples}")
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}")
    generator = generator_of(seed)
    good = [k for k, packing in enumerate(pool) if not packing.problem]
    groups = sorted({pool[k].space_group for k in good})
    chosen: list[int] = []
    for group in groups:
        of_group = [k for k in good if pool[k].space_group == group]
        chosen += _drawn(of_group, n_samples // len(groups), generator)
    left = sorted(set(good) - set(chosen))
    chosen += _drawn(left, n_samples - len(chosen), generator)
    return [pool[k] for k in sorted(chosen)]


def _drawn(places: Sequence[int], n: int, generator: torch.Generator) -> list[int]:
    """n of the places, or all, without repetition."""
    return [places[k] for k in torch.randperm(len(places), generator=generator)[:n].tolist()]

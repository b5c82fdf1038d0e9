"""What is to be sampled: proposals by template, seed and index, their noise, and which of them go into one batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from packflow.errors import InputError
from packflow.structure import Template


@dataclass(frozen=True)
class Draw:
    """One proposal before it is sampled.

    template: molecule and number of copies.
    index:    its number in its set.
    seed:     of the set; with index and attempt it determines the noise, whatever else is sampled with it.
    attempt:  how many draws of this index it replaces.
    """

    template: Template
    index: int
    seed: int
    attempt: int = 0


def draws_of(template: Template, n_samples: int, seed: int) -> Iterator[Draw]:
    """A set of proposals of one template, indices from 0.

    Raises:
        InputError: n_samples is below 1, or the seed negative.
    """
    if n_samples < 1:
        raise InputError(f"n_samples must be at least 1, got {n_samples}")
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}")
    return (Draw(template, index, seed) for index in range(n_samples))


def generator_of(draw: Draw) -> torch.Generator:
    """Source of all randomness of one proposal: a function of its seed, index and attempt."""
    key = [draw.seed, draw.index, *([draw.attempt] if draw.attempt else [])]
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))


def noise_of(draws: Sequence[Draw], generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
    """Standard normal start of each proposal from a generator of its own, the lattice first.

    Args:
        draws: Of one batch.
        generators: Of each, see `generator_of`; they go on from where they are.

    Returns:
        Positions [n_atoms, 3] and lattices [n_draws, 6], in units of the flow space.
    """
    lattices, positions = [], []
    for draw, generator in zip(draws, generators, strict=True):
        lattices.append(torch.randn(1, 6, generator=generator))
        positions.append(torch.randn(draw.template.n_atoms, 3, generator=generator))
    return torch.cat(positions), torch.cat(lattices)


def in_batches(draws: Iterable[Draw], max_atoms: int) -> Iterator[list[Draw]]:
    """The draws in their order, as many at a time as have `max_atoms` atoms together; a larger crystal is alone in its batch."""
    batch: list[Draw] = []
    n_atoms = 0
    for draw in draws:
        if batch and n_atoms + draw.template.n_atoms > max_atoms:
            yield batch
            batch, n_atoms = [], 0
        batch.append(draw)
        n_atoms += draw.template.n_atoms
    if batch:
        yield batch

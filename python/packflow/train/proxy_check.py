"""Whether cheap rewards tell the proposals of a group apart as costly ones do (paper, appendix A)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from packflow.errors import InputError
from packflow.flow.draws import draws_of
from packflow.flow.sampler import SampleConfig, sample_batches
from packflow.model import PackFlow
from packflow.potential.interface import Potential
from packflow.structure import Crystal, Template
from packflow.train.grpo_math import advantages_of, sign_agreement, vector_alignment
from packflow.train.scores import Hydrogens, check_potential, scores_of

# weights of the energy, as in the paper
LAMBDAS = (0.0, 0.5, 1.0)
# crystals that are scored at once, to bound the memory
CRYSTALS_AT_ONCE = 256


@dataclass(frozen=True)
class Scorer:
    """A way to score crystals: a potential, and what is done about hydrogens (`packflow.train.scores`)."""

    potential: Potential
    hydrogens: Hydrogens


@dataclass(frozen=True)
class Agreement:
    """How well two kinds of advantages agree, means over groups.

    weight:          lambda, of the energy; the force has the rest.
    alignment:       cosine of the advantages (eq. 33), and its standard error over groups.
    alignment_error: NaN of fewer than two groups, as the next.
    sign:            share of proposals whose advantages have one sign (eq. 34).
    sign_error:      its standard error.
    n_groups:        groups that count.
    n_skipped:       those that do not: fewer than two proposals with scores, or scores without a spread, on either side.
    """

    weight: float
    alignment: float
    alignment_error: float
    sign: float
    sign_error: float
    n_groups: int
    n_skipped: int


@dataclass(frozen=True)
class ProxyCheck:
    """What a check found.

    agreements:    one of each lambda.
    proxy, full:   [n_groups, n_samples, 2] float64, rewards for energy and force; NaN where there is none.
    proxy_seconds: that scoring took.
    full_seconds:  likewise.
    """

    agreements: tuple[Agreement, ...]
    proxy: Tensor
    full: Tensor
    proxy_seconds: float
    full_seconds: float

    def n_failed(self) -> tuple[int, int]:
        """Proposals without a score of the proxy, and without one of the full evaluation."""
        proxy, full = (int((~rewards.isfinite().all(2)).sum()) for rewards in (self.proxy, self.full))
        return proxy, full


def proxy_check(
    model: PackFlow,
    templates: Sequence[Template],
    n_samples: int,
    seed: int,
    config: SampleConfig,
    proxy: Scorer,
    full: Scorer,
    weights: Sequence[float] = LAMBDAS,
    max_atoms: int | None = None,
) -> ProxyCheck:
    """Sample a group of each template and compare the advantages that two scorers give.

    Args:
        model: Samples, on its device.
        templates: One group each.
        n_samples: Proposals of a group, at least 2.
        seed: Of all groups together, at least 0; groups share no noise, see `seed_of`.
        config: How the flow is integrated.
        proxy: The cheap one.
        full: What it stands for; the paper's relaxes hydrogens.
        weights: Values of lambda.
        max_atoms: Sampled at once, as for `packflow.flow.sampler.sample`.

    Raises:
        InputError: there is no template, n_samples is below 2, the seed is negative, a weight is outside 0 to 1, or a potential cannot do
            what is asked.
    """
    if not templates:
        raise InputError("templates must be at least one, got none")
    if n_samples < 2:
        raise InputError(f"n_samples must be at least 2, got {n_samples}")
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}")
    check_weights(weights)
    for scorer in (proxy, full):
        check_potential(scorer.potential, scorer.hydrogens)
    draws = [draw for group, template in enumerate(templates) for draw in draws_of(template, n_samples, seed_of(seed, group))]
    batches = sample_batches(model, draws, config, max_atoms)
    crystals = [proposal.crystal for batch in batches for proposal in batch]
    (cheap, cheap_seconds), (costly, costly_seconds) = (timed_rewards(crystals, scorer) for scorer in (proxy, full))
    cheap, costly = (rewards.view(len(templates), n_samples, 2) for rewards in (cheap, costly))
    return ProxyCheck(agreements_of(cheap, costly, weights), cheap, costly, cheap_seconds, costly_seconds)


def seed_of(seed: int, group: int) -> int:
    """Of the proposals of one group, so that groups are independent and their standard error means something."""
    return int(np.random.SeedSequence([seed, group]).generate_state(1)[0])


def timed_rewards(crystals: Sequence[Crystal], scorer: Scorer) -> tuple[Tensor, float]:
    """Minus energy and minus force [n_crystals, 2], and the seconds they took."""
    start, parts = time.perf_counter(), []
    for first in range(0, len(crystals), CRYSTALS_AT_ONCE):
        scores = scores_of(crystals[first : first + CRYSTALS_AT_ONCE], scorer.potential, scorer.hydrogens)
        parts.append(-torch.stack([scores.energy, scores.force], 1))
    return torch.cat(parts), time.perf_counter() - start


def agreements_of(proxy: Tensor, full: Tensor, weights: Sequence[float] = LAMBDAS) -> tuple[Agreement, ...]:
    """Agreement of two scorers' advantages, standardised and mixed as in training.

    Args:
        proxy: Rewards for energy and force; NaN where there is none. [n_groups, k, 2]
        full: Likewise, of the same proposals.
        weights: Values of lambda.

    Raises:
        InputError: a weight is outside 0 to 1.
    """
    check_weights(weights)
    return tuple(agreement(proxy, full, weight) for weight in weights)


def check_weights(weights: Sequence[float]) -> None:
    """Refuse a lambda outside 0 to 1."""
    if wrong := [weight for weight in weights if not 0 <= weight <= 1]:
        raise InputError(f"weights must be from 0 to 1, got {wrong[0]}")


def agreement(proxy: Tensor, full: Tensor, weight: float) -> Agreement:
    """As `agreements_of`, at one lambda."""
    some, others = (advantages_of(rewards, (weight, 1 - weight)) for rewards in (proxy, full))
    alignment = vector_alignment(some.values, others.values)
    counted = alignment.isfinite() & ~some.skipped & ~others.skipped
    means = (*mean_and_error(alignment[counted]), *mean_and_error(sign_agreement(some.values, others.values)[counted]))
    return Agreement(weight, *means, int(counted.sum()), int((~counted).sum()))


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Mean and its standard error; NaN of no value, and the latter of fewer than two. [n]"""
    error = values.std().item() / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return values.mean().item(), error

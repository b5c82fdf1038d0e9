"""Arithmetic of group relative policy optimization: rewards to advantages, losses to ratios and divergences (paper, section 4.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# a spread below this share of the largest reward is rounding, not a difference
ROUNDING = 1e-12
# a group of fewer proposals with rewards says nothing of what is better
LEAST_VALID = 2


@dataclass(frozen=True)
class Advantages:
    """What the proposals of each group are worth beside each other.

    values:  [n_groups, k] float64, eq. 8; zero in a group that is skipped.
    valid:   [n_groups, k] bool, proposals with all rewards.
    skipped: [n_groups] bool, groups with fewer than two of them, which must not be learned from.
    spread:  [n_groups, n_channels] float64, standard deviation of the valid rewards; NaN without any.
    """

    values: Tensor
    valid: Tensor
    skipped: Tensor
    spread: Tensor


@dataclass(frozen=True)
class Objective:
    """What is minimised, proposal by proposal.

    loss:       [n], minus the clipped surrogate plus beta times the divergence (eq. 22 before the mean, its sign turned).
    ratio:      [n], eq. 18.
    divergence: [n], eq. 20.
    clipped:    [n] bool, where the clipping leaves the surrogate without a gradient.
    """

    loss: Tensor
    ratio: Tensor
    divergence: Tensor
    clipped: Tensor


def advantages_of(rewards: Tensor, weights: Sequence[float], clip: float = 5.0, epsilon: float = 1e-8, ranks: bool = False) -> Advantages:
    """Standardise each channel within each group, mix, then clip (paper, eqs. 7 and 8, algorithm 2).

    A proposal that lacks a reward is ranked last in every channel, one standard deviation below the worst of the others, so that these
    keep their order and their distances; how badly it failed does not matter.

    Args:
        rewards: Higher is better; NaN or infinite where there is none. [n_groups, k, n_channels]
        weights: Of the channels, (lambda, 1 - lambda) for energy and force. [n_channels], at least 0, sum 1
        clip: Largest advantage, c.
        epsilon: Added to standard deviations.
        ranks: Standardise a reward's rank within its group instead of the reward (not in the paper). Repulsion grows so steeply that one
            crushed crystal has the largest reward by far and the others seem alike; their ranks do not.

    Returns:
        Advantages; those of a positive multiple of the rewards plus a constant are the same.
    """
    rewards = rewards.double()
    valid = rewards.isfinite().all(2)
    skipped = valid.sum(1) < LEAST_VALID
    filled, spread = with_failures_last(rewards, valid)
    if ranks:
        filled = ranks_of(filled)
    mean, deviation = filled.mean(1, keepdim=True), filled.std(1, correction=0, keepdim=True)
    scale = filled.abs().amax(1, keepdim=True)
    standard = torch.where(deviation > ROUNDING * scale, (filled - mean) / (deviation + epsilon), 0.0)
    mixed = (standard * standard.new_tensor(weights)).sum(2).clamp(-clip, clip)
    return Advantages(torch.where(skipped[:, None], 0.0, mixed), valid, skipped, spread)


def with_failures_last(rewards: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Give proposals without rewards those of the worst others, less one standard deviation (of 1 where these are all equal).

    Args:
        rewards: [n_groups, k, n_channels]
        valid: Which proposals have all their rewards. [n_groups, k] bool

    Returns:
        Finite rewards [n_groups, k, n_channels], zeros in a group without any, and the standard deviation of the valid ones
        [n_groups, n_channels].
    """
    mask, count = valid[..., None], valid.sum(1)[:, None]
    known = torch.where(mask, rewards, 0.0)
    mean = known.sum(1) / count
    spread = (torch.where(mask, rewards - mean[:, None], 0.0).square().sum(1) / count).sqrt()
    worst = torch.where(mask, rewards, torch.inf).amin(1)
    gap = torch.where(spread > ROUNDING * known.abs().amax(1), spread, 1.0)
    last = torch.where(count > 0, worst - gap, 0.0)
    return torch.where(mask, rewards, last[:, None]), spread


def ranks_of(values: Tensor) -> Tensor:
    """How many of its group each value is above, less how many it is below; equal values have one rank. [n_groups, k, n_channels]"""
    return (values[:, :, None] - values[:, None]).sign().sum(2)


def volume_held(advantages: Tensor, volume: Tensor, known: Tensor, gain: float) -> Tensor:
    """Take out of advantages what goes with the volume of the cell, and put in what brings it back (not in the paper).

    Larger cells have fewer contacts. That is a weak preference, but all groups share it, and so do chance drifts of a network that is
    pushed away from proposals; both move all proposals that way. One slope for all groups replaces what the advantages have of it.

    Args:
        advantages: [n_groups, k]
        volume: Logarithm of each proposal's volume; NaN where it has none, and there nothing is changed. [n_groups, k]
        known: That of a known crystal of each group's template. [n_groups]
        gain: A proposal one standard deviation (within groups) larger than its group loses `gain` where all proposals are larger than the
            known crystals by as much, in proportion, and at most 1. With 0 the volume is free.

    Returns:
        Advantages whose regression on the volume, within groups, has the wanted slope. [n_groups, k]
    """
    has = volume.isfinite()
    filled = torch.where(has, volume, 0.0)
    center = filled.sum(1, keepdim=True) / has.sum(1, keepdim=True).clamp(min=1)
    deviation = torch.where(has, filled - center, 0.0)
    square = deviation.square().sum()
    if square == 0:
        return advantages
    spread = (square / has.sum()).sqrt()
    excess = torch.where(has, filled - known[:, None], 0.0).sum() / has.sum()
    wanted = -(gain * excess / spread).clamp(-1, 1) / spread
    return advantages + (wanted - (advantages * deviation).sum() / square) * deviation


def importance_ratio(old: Tensor, new: Tensor, limit: float = 5.0) -> Tensor:
    """How much likelier a proposal has become: exp(old - new), its logarithm kept within `limit` (paper, eq. 18).

    Args:
        old: Surrogate losses of the weights that sampled the proposals. [n]
        new: Of the present weights. [n]
        limit: d of algorithm 1; beyond it there is no gradient.
    """
    return (old - new).clamp(-limit, limit).exp()


def divergence(new: Tensor, reference: Tensor, limit: float = 5.0) -> Tensor:
    """Estimate of the Kullback-Leibler divergence from the reference, exp(d) - d - 1 with d = new - reference (paper, eqs. 19 and 20).

    Above `limit` the exponential goes on as its tangent: it cannot overflow, the estimate stays convex and at least 0, and weights
    that went too far are still pulled back.

    Args:
        new: Surrogate losses of the present weights. [n]
        reference: Of the frozen reference. [n]
        limit: Where the exponential ends.
    """
    difference = new - reference
    beyond = (difference - limit).clamp(min=0)
    inside = difference.clamp(max=limit)
    return (torch.expm1(inside) - inside) + beyond * math.expm1(limit)


def objective(
    new: Tensor,  # [n]
    old: Tensor,  # [n]
    reference: Tensor,  # [n]
    advantages: Tensor,  # [n]
    clip: float = 0.2,
    beta: float = 1.0,
    limit: float = 5.0,
) -> Objective:
    """Clipped surrogate and divergence of each proposal (paper, eq. 22, algorithm 1 lines 22 to 26), as a loss.

    Args:
        new: Surrogate losses of the present weights, with their gradients. [n]
        old: Of the weights that sampled. [n]
        reference: Of the frozen reference. [n]
        advantages: From `advantages_of`. [n]
        clip: Ratios beyond 1 - clip and 1 + clip gain nothing.
        beta: Weight of the divergence.
        limit: Of `importance_ratio` and `divergence`.
    """
    ratio, advantages = importance_ratio(old, new, limit), advantages.to(new)
    free, held = ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages
    away = divergence(new, reference, limit)
    return Objective(beta * away - torch.minimum(free, held), ratio, away, (held < free).detach())


def vector_alignment(some: Tensor, others: Tensor) -> Tensor:
    """Cosine between two advantages of each group (paper, eq. 33); NaN where either is zero. [n_groups, k] twice -> [n_groups]"""
    return (some * others).sum(1) / (some.norm(dim=1) * others.norm(dim=1))


def sign_agreement(some: Tensor, others: Tensor) -> Tensor:
    """Share of a group's proposals whose two advantages have one sign (paper, eq. 34). [n_groups, k] twice -> [n_groups]"""
    return (some.sign() == others.sign()).double().mean(1)

"""Optimizers, learning rate over the run, and the average of the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from packflow.model import PackFlow
from packflow.train.config import OptimConfig
from packflow.train.muon import Muon


def optimizers_of(model: PackFlow, config: OptimConfig) -> list[Optimizer]:
    """AdamW alone, or Muon for the matrices of the transformer layers and AdamW for all else, of what requires a gradient."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    matrices = [n for n, p in named.items() if config.name == "muon" and n.startswith("encoder.layers.") and p.ndim == 2]
    rest = [p for n, p in named.items() if n not in matrices]
    adamw = AdamW(rest, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    if not matrices:
        return [adamw]
    return [Muon([named[n] for n in matrices], config.muon_learning_rate, config.weight_decay), adamw]


def learning_rate_share(step: int, n_steps: int, config: OptimConfig) -> float:
    """Share of the learning rate at a step, counted from 0: a linear rise, times a cosine from 1 to final_share."""
    rise = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / n_steps)))
    return rise * (config.final_share + (1 - config.final_share) * cosine)


def set_learning_rates(optimizers: Sequence[Optimizer], step: int, n_steps: int, config: OptimConfig) -> float:
    """Set all learning rates for a step; returns that of AdamW."""
    share = learning_rate_share(step, n_steps, config)
    for optimizer in optimizers:
        base = config.muon_learning_rate if isinstance(optimizer, Muon) else config.learning_rate
        for group in optimizer.param_groups:
            group["lr"] = base * share
    return config.learning_rate * share


@torch.no_grad()
def update_average(average: PackFlow, model: PackFlow, n_updates: int, decay: float) -> None:
    """Move the average towards the weights, in place.

    Args:
        average: Exponential moving average of the weights.
        model: The weights after their n_updates-th step, counted from 1.
        n_updates: Early on the average looks back over less: its decay is at most n_updates / (n_updates + 20).
        decay: Of the long-time average.
    """
    share = 1 - min(decay, n_updates / (n_updates + 20))
    ours: list[Tensor] = list(average.parameters())
    torch._foreach_lerp_(ours, list(model.parameters()), share)

"""Muon in float32: orthogonalised momentum for the matrices of hidden layers (Jordan et al. 2024).

The same update as torch.optim.Muon with adjust_lr_fn="match_rms_adamw". That one works in bfloat16, which on a CPU without
matrix units takes twice as long as float32.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

# Quintic iteration whose slope at 0 is as large as it may be: five steps bring all singular values to about 1.
A, B, C = 3.4445, -4.7750, 2.0315
N_ITERATIONS = 5
MOMENTUM = 0.95
# Root mean square of a typical update of AdamW over its learning rate.
ADAMW_UPDATE = 0.2


class Muon(Optimizer):
    """Momentum, orthogonalised, at the size of AdamW's updates; with decoupled weight decay."""

    def __init__(self, matrices: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        """matrices: parameters with two axes."""
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no closure: the loss is computed once per step
        """Update all matrices that have a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._update(matrix, matrix.grad, group["lr"], group["weight_decay"])

    def _update(self, matrix: Tensor, gradient: Tensor, rate: float, weight_decay: float) -> None:
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        momentum = state["momentum_buffer"].lerp_(gradient, 1 - MOMENTUM)
        update = orthogonalized(gradient.lerp(momentum, MOMENTUM))  # Nesterov's look ahead
        matrix.mul_(1 - rate * weight_decay)
        matrix.add_(update, alpha=-rate * ADAMW_UPDATE * max(matrix.shape) ** 0.5)


def orthogonalized(matrix: Tensor) -> Tensor:
    """The matrix with all singular values brought near 1, by Newton-Schulz iteration. [m, n] -> [m, n]"""
    wide = matrix.T if len(matrix) > matrix.shape[1] else matrix
    x = wide / wide.norm().clamp(min=1e-7)
    for _ in range(N_ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x.T if len(matrix) > matrix.shape[1] else x

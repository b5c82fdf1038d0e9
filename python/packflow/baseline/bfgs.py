"""Minimization of many small functions at once by BFGS, each with steps of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# sufficient decrease of a step, and how a step that is too long is shortened
ARMIJO, SHORTER, MAX_HALVINGS = 1e-4, 0.4, 12

# rows of variables [n, n_variables] and which functions they are of [n] int64 -> values [n] and gradients [n, n_variables]
Function = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Minimum:
    """Where minimizations ended.

    variables: [n, n_variables].
    values:    [n].
    n_steps:   [n] int64.
    converged: [n] bool; False where the steps did not suffice.
    """

    variables: Tensor
    values: Tensor
    n_steps: Tensor
    converged: Tensor


def minimize(function: Function, start: Tensor, tolerance: float, max_steps: int, max_step: float) -> Minimum:
    """Minimize functions from points where they are finite; a step where one is infinite is shortened (Nocedal and Wright, chapter 6).

    Args:
        function: Gives some of the functions; infinite values are walls.
        start: [n, n_variables]
        tolerance: A function is done when no component of its gradient is larger, or no step makes it smaller.
        max_steps: At most.
        max_step: Longest change of a variable in one step.
    """
    x, n = start.clone(), len(start)
    rows = torch.arange(n)
    values, gradient = function(x, rows)
    inverse = torch.eye(x.shape[1], dtype=x.dtype).repeat(n, 1, 1)
    n_steps = torch.zeros(n, dtype=torch.int64)
    done = gradient.abs().amax(1) <= tolerance
    for _ in range(max_steps):
        rows = (~done).nonzero()[:, 0]
        if not len(rows):
            break
        direction = -torch.einsum("nij,nj->ni", inverse[rows], gradient[rows])
        uphill = (direction * gradient[rows]).sum(1) >= 0
        direction = torch.where(uphill[:, None], -gradient[rows], direction)
        direction *= (max_step / direction.abs().amax(1).clamp(min=1e-30)).clamp(max=1.0)[:, None]
        moved, new_values, new_gradient, stuck = line_search(function, rows, x[rows], values[rows], gradient[rows], direction)
        inverse[rows] = updated(inverse[rows], moved - x[rows], new_gradient - gradient[rows])
        x[rows], values[rows], gradient[rows] = moved, new_values, new_gradient
        n_steps[rows] += 1
        done[rows] = stuck | (new_gradient.abs().amax(1) <= tolerance)
    return Minimum(x, values, n_steps, done)


def line_search(
    function: Function, rows: Tensor, x: Tensor, values: Tensor, gradient: Tensor, direction: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A step of each function that makes it smaller.

    Returns:
        Variables, values, gradients, and where no step did: there nothing changes.
    """
    slope = (direction * gradient).sum(1)
    length = torch.ones_like(values)
    moved, new_values, new_gradient = x.clone(), values.clone(), gradient.clone()
    waiting = torch.arange(len(rows))
    for _ in range(MAX_HALVINGS):
        tried = x[waiting] + length[waiting, None] * direction[waiting]
        found, slopes = function(tried, rows[waiting])
        good = found <= values[waiting] + ARMIJO * length[waiting] * slope[waiting]
        kept = waiting[good]
        moved[kept], new_values[kept], new_gradient[kept] = tried[good], found[good], slopes[good]
        waiting = waiting[~good]
        if not len(waiting):
            break
        length[waiting] *= SHORTER
    stuck = torch.zeros(len(rows), dtype=torch.bool)
    stuck[waiting] = True
    return moved, new_values, new_gradient, stuck


def updated(inverse: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """The inverse Hessians after a step and the change of the gradient; as they are where the curvature is not positive."""
    curvature = (step * change).sum(1)
    scale = torch.where(curvature > 1e-12, 1.0 / curvature.clamp(min=1e-12), 0.0)[:, None, None]
    one = torch.eye(step.shape[1], dtype=step.dtype)
    left = one - scale * step[:, :, None] * change[:, None]
    return left @ inverse @ left.mT + scale * step[:, :, None] * step[:, None]

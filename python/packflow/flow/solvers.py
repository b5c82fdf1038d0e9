"""How the flow is integrated: a solver is a list of stages, each one evaluation of the network and one linear update.

On the path x = (1 - t) data + t noise with velocity v, the network's view of both ends is data = x - t v and noise = x + (1 - t) v, and
the score of the density at t is -(x + (1 - t) v) / t. dx/dt = v is the probability-flow ODE dx/dt = -x / (1 - t) - t / (1 - t) score,
so a score multiplied by l gives v' = l v + (l - 1) x / (1 - t), which replaces v where sampling is tempered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from packflow.errors import InputError
from packflow.flow.time_grid import LINEAR, TimeGrid

SolverName = Literal["euler", "heun", "ab2", "multistep"]
# (time, length) of each step, then the end (0, 0).
Steps = list[tuple[float, float]]
# Time at which the network is asked, and a, b, h, s, d, e of `packflow.ops.ode`.
Update = tuple[float, tuple[float, float, float, float, float, float]]


@dataclass(frozen=True)
class Stage:
    """One evaluation of the network and the update that follows.

    t_positions:  time of the positions at which the network is asked.
    t_lattice:    of the lattice.
    coefficients: those of `packflow.ops.ode`, float64 on the CPU. [2, 6], or [n_crystals, 2, 6] where crystals differ.
    """

    t_positions: float
    t_lattice: float
    coefficients: Tensor

    @property
    def is_noisy(self) -> bool:
        """Whether the update adds noise."""
        return bool((self.coefficients[..., 3] != 0).any())


def solver_stages(
    solver: SolverName,
    n_steps: int,
    grid_positions: TimeGrid = LINEAR,
    grid_lattice: TimeGrid = LINEAR,
    tempering: float | Tensor = 1.0,
    width: float = 1.0,
    eta: float = 0.0,
) -> list[Stage]:
    """The stages of a solver from t = 1 to t = 0.

    "euler":     first order.
    "heun":      second order; two stages a step, but one in the last, since the velocity at t = 0 is not defined.
    "ab2":       Adams-Bashforth with steps of any length, second order; the first step is Euler's.
    "multistep": DPM-Solver++(2M) of Lu et al. 2022 (arXiv 2211.01095, algorithm 2): exact where the predicted data do not change.
                 The first two steps and the last are Euler's, where one of its two steps in log((1 - t) / t) is infinite. Of second
                 order where steps shrink toward the data, else but for a logarithm of n_steps.

    Tempering multiplies the score at t by l(t) = l ((1 - t)^2 w^2 + t^2) / ((1 - t)^2 w^2 + l t^2), from 1 at the noise to l at the data:
    normal data of deviation w come out with the variance w^2 / l, narrower ones are changed more than by that factor. v' stays finite,
    as |l(t) - 1| / (1 - t) is below |l - 1| (1 + w^2 / l).

    With eta, each step from t to u keeps the part k = q^eta, q = (1 - t) u / ((1 - u) t), of the predicted noise and adds fresh noise so
    that its variance stays u^2: x' = (1 - u) data + u (k noise + sqrt(1 - k^2) fresh). 1 is ancestral sampling (Ho et al. 2020), 0 the
    ODE. The step that begins at t = 1 replaces all noise, and that to t = 0 adds none.

    Args:
        solver: Its name.
        n_steps: Number of steps, at least 1.
        grid_positions: Times of the positions. One with `compat` is for "euler" without eta only.
        grid_lattice: Times of the lattice, likewise.
        tempering: l above 0, for all crystals or of each, float or [n_crystals]; above 1 is colder. 1 changes no bit.
        width: w of the tempering, above 0: how wide the data are around what the network knows of them, in units of the flow space.
        eta: Strength of the noise, 0 or more; for "euler" only.

    Returns:
        n_steps stages, 2 n_steps - 1 of "heun". Coefficients have a row per crystal if `tempering` is a tensor.
    """
    _check(solver, n_steps, (grid_positions, grid_lattice), eta)
    strength = torch.as_tensor(tempering, dtype=torch.float64, device="cpu")
    if strength.dim() > 1 or not ((strength > 0) & strength.isfinite()).all():
        raise InputError(f"tempering must be a finite number above 0, or one per crystal, got {tempering}")
    if not (math.isfinite(width) and width > 0):
        raise InputError(f"width must be a finite number above 0, got {width}")
    channels = [_updates(solver, _steps(grid, n_steps), eta) for grid in (grid_positions, grid_lattice)]
    stages = []
    for updates in zip(*channels, strict=True):
        coefficients = torch.stack([_tempered(update, strength, width) for update in updates], dim=-2)
        stages.append(Stage(updates[0][0], updates[1][0], coefficients))
    return stages


def _check(solver: str, n_steps: int, grids: tuple[TimeGrid, TimeGrid], eta: float) -> None:
    if solver not in get_args(SolverName):
        raise InputError(f"solver must be one of {', '.join(map(repr, get_args(SolverName)))}, got {solver!r}")
    if n_steps < 1:
        raise InputError(f"n_steps must be at least 1, got {n_steps}")
    if not (math.isfinite(eta) and eta >= 0):
        raise InputError(f"eta must be a finite number of 0 or more, got {eta}")
    if eta > 0 and solver != "euler":
        raise InputError(f"eta must be 0 unless the solver is 'euler', got {eta} with {solver!r}")
    if any(grid.compat for grid in grids) and (solver != "euler" or eta > 0):
        what = f"eta {eta}" if solver == "euler" else repr(solver)
        raise InputError(f"a time grid with compat must go with the solver 'euler' and eta 0, got {what}")


def _steps(grid: TimeGrid, n_steps: int) -> Steps:
    steps = grid.steps(n_steps)
    if not grid.compat and any(t <= 0 or length <= 0 for t, length in steps):
        raise InputError(f"the steps of a time grid must have a length that a float64 can hold, got a zero with {grid} and {n_steps} steps")
    return [*steps, (0.0, 0.0)]


def _updates(solver: str, steps: Steps, eta: float) -> list[Update]:
    """The updates of one channel."""
    if solver == "heun":
        return _heun(steps)
    if solver == "ab2":
        return _adams_bashforth(steps)
    if solver == "multistep":
        return _multistep(steps)
    return _euler(steps, eta)


def _euler(steps: Steps, eta: float) -> list[Update]:
    updates: list[Update] = []
    for (t, length), (later, _) in pairwise(steps):
        kept = ((1 - t) * later / ((1 - later) * t)) ** eta if eta > 0 else 1.0
        lost = later * (1 - kept)
        updates.append((t, (1 - lost, -length - lost * (1 - t), 0.0, later * math.sqrt(1 - kept**2), 0.0, 0.0)))
    return updates


def _heun(steps: Steps) -> list[Update]:
    """History is the velocity at the step's beginning."""
    updates: list[Update] = []
    for (t, length), (later, _) in pairwise(steps):
        updates.append((t, (1.0, -length, 0.0, 0.0, 0.0, 1.0)))
        updates.append((later, (1.0, -length / 2, length / 2, 0.0, 0.0, 0.0)))
    return updates[:-1]


def _adams_bashforth(steps: Steps) -> list[Update]:
    """History is the velocity of the step before."""
    updates: list[Update] = []
    before = math.inf
    for t, length in steps[:-1]:
        c = length / (2 * before)
        updates.append((t, (1.0, -length * (1 + c), length * c, 0.0, 0.0, 1.0)))
        before = length
    return updates


def _multistep(steps: Steps) -> list[Update]:
    """x' = (u / t) x + (1 - u / t) ((1 + c) data - c data_before) from t to u; history is the predicted data."""
    updates: list[Update] = []
    before = math.inf
    for (t, length), (later, _) in pairwise(steps):
        step = _log_ratio(later) - _log_ratio(t)
        c = 0.0 if math.isinf(step) else step / (2 * before)
        way = length / t
        updates.append((t, (1 + way * c, -length * (1 + c), -way * c, 0.0, 1.0, -t)))
        before = step
    return updates


def _log_ratio(t: float) -> float:
    """log((1 - t) / t), from minus infinity at t = 1 to infinity at t = 0."""
    if t == 0 or t == 1:
        return math.inf if t == 0 else -math.inf
    return math.log((1 - t) / t)


def _tempered(update: Update, strength: Tensor, width: float) -> Tensor:
    """Coefficients of the update with v' = level v + drift x in place of v. strength [] or [n_crystals] -> [6] or [n_crystals, 6]"""
    t, (a, b, h, s, d, e) = update
    drift = (strength - 1) * ((1 - t) * width**2) / (((1 - t) * width) ** 2 + strength * t**2)
    level = 1 + drift * (1 - t)
    columns = [a + b * drift, b * level, h, s, d + e * drift, e * level]
    return torch.stack([torch.as_tensor(c, dtype=torch.float64).expand(strength.shape) for c in columns], dim=-1)

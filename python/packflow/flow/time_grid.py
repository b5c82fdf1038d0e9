"""At which times the integration looks, and how long its steps are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from packflow.errors import InputError

# 1 - 10 ** -2: what the exponential grid is divided by
EXPONENTIAL_END = 0.99


@dataclass(frozen=True)
class TimeGrid:
    """Times of the steps from noise (t = 1) to data (t = 0).

    kind:   "linear": equal steps. "quadratic": steps that grow. "exponential": steps that shrink. "power": step k of n begins at
            t = (1 - k/n)^power, so that steps shrink toward the data where power is above 1, and the last is n^-power long.
    compat: as the authors' released code, whose last step is as long as the one before, so that the quadratic grid stops
            short of the data, at 20 steps by 0.005; its exponential grid has its last time at the data already and goes
            beyond, at 20 steps by 0.006. Without it every grid ends at the data.
    power:  of the kind "power", above 0.
    """

    kind: Literal["linear", "quadratic", "exponential", "power"] = "linear"
    compat: bool = False
    power: float = 2.0

    def __post_init__(self) -> None:
        """Refuse an unknown kind, a power that is not above 0, and compat where the released code has no such grid."""
        if self.kind not in ("linear", "quadratic", "exponential", "power"):
            raise InputError(f"time grid must be 'linear', 'quadratic', 'exponential' or 'power', got {self.kind!r}")
        if not (math.isfinite(self.power) and self.power > 0):
            raise InputError(f"power of a time grid must be a finite number above 0, got {self.power}")
        if self.compat and self.kind == "power":
            raise InputError("compat must be False for the time grid 'power', which the released code does not have, got True")

    def steps(self, n_steps: int) -> list[tuple[float, float]]:
        """(time, length) of each step.

        Args:
            n_steps: Number of steps, at least 1.
        """
        gone = [self.fraction(k / n_steps) for k in range(n_steps + 1)]
        lengths = [after - before for before, after in pairwise(gone)]
        if self.compat and n_steps > 1:
            if self.kind == "exponential":
                gone[n_steps - 1] = 1.0
                lengths[-2] = 1.0 - gone[n_steps - 2]
            lengths[-1] = lengths[-2]
        return [(1 - before, length) for before, length in zip(gone, lengths, strict=False)]

    def fraction(self, x: float) -> float:
        """Part of the way that is done after a part x of the steps; 0 at 0 and 1 at 1."""
        if self.kind == "linear":
            return x
        if self.kind == "quadratic":
            return x * x
        if self.kind == "power":
            return 1 - (1 - x) ** self.power
        return (1 - 10 ** (-2 * x)) / EXPONENTIAL_END


LINEAR = TimeGrid()
# tuned: the fewest steps for the quality of 500 Euler steps, found on the validation molecules (docs/sampling.md, bench/bench_solvers.py)
TUNED_POSITIONS = TimeGrid("power", power=1.5)
TUNED_LATTICE = LINEAR

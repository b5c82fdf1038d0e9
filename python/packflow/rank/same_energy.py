"""Whether structures have the same energy, asked before anything that costs more."""

from __future__ import annotations

import numpy as np

from packflow.ops.amd_groups import Confirm


class SameEnergy:
    """Confirms what is near by energy, and by what else confirms; a missing energy is near to nothing."""

    def __init__(self, energies: np.ndarray, tolerance: float, confirm: Confirm | None = None) -> None:
        """Compare energies [n]; the same are at most `tolerance` apart. `confirm` is asked about those that are."""
        self.energies, self.tolerance, self.confirm = energies, tolerance, confirm

    def __call__(self, structure: int, others: np.ndarray) -> np.ndarray:
        """Which of the others [n_others] are the same as the structure. [n_others] bool"""
        same = np.abs(self.energies[others] - self.energies[structure]) <= self.tolerance
        if self.confirm is not None and same.any():
            same[same] = self.confirm(structure, others[same])
        return same

"""Energies and forces of proposals before any relaxation, as physics alignment sees them (paper, Fig. 4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa

from packflow.potential import Potential, potential_of
from packflow.structure import Crystal
from packflow.train.rewards import rewards_of


@lru_cache(maxsize=1)
def ready(name: str, device: str) -> Potential:
    """A potential, made once; raises InputError if it is not installed."""
    return potential_of(name, device)


def energy_columns(
    proposals: Sequence[Crystal], references: Sequence[Crystal], pairs: np.ndarray, potential: Potential
) -> dict[str, pa.Array]:
    """Energy of each pair's proposal above that of its reference, and the proposal's force.

    Hydrogens are placed by their bonds and not relaxed, in both; see `packflow.train.scores`.

    Args:
        proposals: Any values.
        references: Crystals.
        pairs: Rows of both. [n_pairs, 2]
        potential: Of both.

    Returns:
        energy_above_known (eV per heavy atom) and force (mean norm, eV/Å); missing where the potential cannot say.
    """
    values = rewards_of([*proposals, *references], potential, ("energy", "force")).values.numpy()
    mine, known = values[pairs[:, 0]], values[len(proposals) + pairs[:, 1]]
    columns = {"energy_above_known": known[:, 0] - mine[:, 0], "force": -mine[:, 1]}
    return {name: pa.array(column, pa.float64(), from_pandas=True) for name, column in columns.items()}

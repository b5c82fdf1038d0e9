"""What an iteration of alignment tells: rewards, failures, divergence, ratios, and where the time went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric

from packflow.train.grpo_math import Advantages, Objective
from packflow.train.parallel import gathered
from packflow.train.rollout import Rollout

PARTS = ("rollout", "reward", "reference", "update")
LEARNED = ("ratio", "divergence", "clipped", "loss")
COLUMNS = (
    "step",
    "energy",
    "energy_mean",
    "force",
    "force_mean",
    "clash",
    "failed",
    "skipped",
    "spread_energy",
    "spread_force",
    "divergence",
    "ratio",
    "ratio_largest",
    "clipped",
    "loss",
    "gradient_norm",
    "learning_rate",
    *(f"seconds_{part}" for part in PARTS),
    *(f"validation/{name}" for name in ("energy", "force", "clash", "failed", "bonds_valid", "density_error", "amd")),
)


@dataclass(frozen=True)
class Report:
    """Numbers of an iteration over all processes, by column of the log; NaN where there is nothing to tell."""

    values: dict[str, float]

    def line(self) -> str:
        """For the progress bar."""
        v = self.values
        return f"energy {v['energy']:.3f}  force {v['force']:.3f}  clash {v['clash']:.2f} %  KL {v['divergence']:.2e}"


@dataclass(frozen=True)
class Share:
    """What one process has to tell.

    energy, force: [n_groups, k], eV per heavy atom and eV/Å; NaN of failed proposals.
    clash:         [n_groups * k], percent.
    spread:        [n_groups, 2], of energy and force.
    skipped:       [n_groups] bool.
    learned:       ratio, divergence, clipped and loss, each [n_epochs, n_learned].
    seconds:       of each part.
    """

    energy: np.ndarray
    force: np.ndarray
    clash: np.ndarray
    spread: np.ndarray
    skipped: np.ndarray
    learned: dict[str, np.ndarray]
    seconds: dict[str, float]


def report_of(
    fabric: Fabric,
    rollout: Rollout,
    advantages: Advantages,
    epochs: Sequence[Sequence[Objective]],
    norms: Sequence[float],
    learning_rate: float,
    seconds: dict[str, float],
) -> Report:
    """Put together what all processes know.

    `energy` and `force` are means over groups of the median of a group, which one crushed crystal does not move; `energy_mean` and
    `force_mean` are means over all valid proposals, as in the paper's figures. Divergence and ratios are of the last epoch, where they
    are largest.
    """
    energy, force = (-rollout.values[..., k].numpy() for k in (0, 1))
    own = Share(
        energy,
        force,
        rollout.clash.numpy(),
        advantages.spread[:, :2].numpy(),
        advantages.skipped.numpy(),
        {name: joined(epochs, name) for name in LEARNED},
        seconds,
    )
    shares = gathered(fabric, own)
    values = numbers(shares)
    values |= {"gradient_norm": mean(np.array(norms)), "learning_rate": learning_rate}
    values |= {f"seconds_{part}": max(share.seconds[part] for share in shares) for part in PARTS}
    return Report(values)


def joined(epochs: Sequence[Sequence[Objective]], name: str) -> np.ndarray:
    """One field of the objectives. [n_epochs, n_learned]"""
    rows = [torch.cat([getattr(lesson, name) for lesson in lessons]).float().cpu().numpy() for lessons in epochs if lessons]
    return np.stack(rows) if rows else np.zeros((0, 0))


def numbers(shares: Sequence[Share]) -> dict[str, float]:
    """Columns that come from proposals."""
    energy, force = (np.concatenate([getattr(share, name) for share in shares]) for name in ("energy", "force"))
    clash, skipped = (np.concatenate([getattr(share, name) for share in shares]) for name in ("clash", "skipped"))
    spread = np.concatenate([share.spread for share in shares])
    learned = {name: [share.learned[name] for share in shares if share.learned[name].size] for name in LEARNED}
    last = {name: np.concatenate([x[-1] for x in found]) if found else np.zeros(0) for name, found in learned.items()}
    every = np.concatenate([x.flatten() for x in learned["clipped"]]) if learned["clipped"] else np.zeros(0)
    return {
        "energy": mean(medians(energy)),
        "energy_mean": mean(energy),
        "force": mean(medians(force)),
        "force_mean": mean(force),
        "clash": mean(clash),
        "failed": float(np.isnan(energy).mean()),
        "skipped": float(skipped.mean()),
        "spread_energy": mean(spread[:, 0]),
        "spread_force": mean(spread[:, 1]),
        "divergence": mean(last["divergence"]),
        "ratio": mean(last["ratio"]),
        "ratio_largest": float(last["ratio"].max()) if last["ratio"].size else float("nan"),
        "clipped": mean(every),
        "loss": mean(last["loss"]),
    }


def medians(groups: np.ndarray) -> np.ndarray:
    """Median of each group's numbers, where it has any. [n_groups, k] -> [<= n_groups]"""
    return np.array([np.median(group[~np.isnan(group)]) for group in groups if not np.isnan(group).all()])


def mean(values: np.ndarray) -> float:
    """Mean of the numbers among the values; NaN of none."""
    found = values[~np.isnan(values)]
    return float(found.mean()) if found.size else float("nan")

"""Figure of training runs: loss of the positions and of the lattice on the fixed validation crystals and while training.

python bench/learning_curves.py FIGURE.png NAME=RUN_FOLDER ...
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import matplotlib

CHANNELS = ("positions", "lattice")
WINDOW = 25  # rows of ten steps that a training loss is averaged over


def read(run: Path) -> list[dict[str, float]]:
    """Rows of a run's metrics.csv, without what is empty."""
    with (run / "metrics.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def averaged(values: list[float]) -> list[float]:
    """Means over the last WINDOW values."""
    return [sum(values[max(0, k - WINDOW + 1) : k + 1]) / min(k + 1, WINDOW) for k in range(len(values))]


def main() -> None:
    """Draw."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    out, runs = sys.argv[1], dict(argument.split("=", 1) for argument in sys.argv[2:])
    figure, axes = pyplot.subplots(1, len(CHANNELS), figsize=(10, 4), layout="constrained")
    for color, (name, folder) in enumerate(runs.items()):
        rows = read(Path(folder))
        for channel, axis in zip(CHANNELS, axes, strict=True):
            training = [(row["step"], row[f"loss_{channel}"]) for row in rows if f"loss_{channel}" in row]
            steps, losses = zip(*training, strict=True)
            axis.plot(steps, averaged(list(losses)), color=f"C{color}", linewidth=1, alpha=0.5)
            validation = [(row["step"], row[f"validation/{channel}"]) for row in rows if f"validation/{channel}" in row]
            axis.plot(*zip(*validation, strict=True), "o-", color=f"C{color}", markersize=4, label=f"{name}, validation")
            axis.set_xlabel("step")
            axis.set_title(f"loss of the {channel}; thin: while training")
    for axis in axes:
        axis.set_yscale("log")
    axes[0].legend()
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main()

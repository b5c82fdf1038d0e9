"""Figures of alignment runs: what their logs and alignment_quality.py tell.

python bench/alignment_figure.py curves OUT.png LABEL=RUN ...           held-out molecules along runs
python bench/alignment_figure.py stability OUT.png LABEL=RUN ...        the proposals that are learned from, as in the paper's Fig. F.1
python bench/alignment_figure.py tradeoff OUT.png RESULTS.jsonl LABEL=MODEL ...   energy against force, as in the paper's Fig. 4d
"""

import csv
import json
import sys
from pathlib import Path

import matplotlib

HELD_OUT = {
    "validation/energy": "energy, eV per heavy atom",
    "validation/force": "mean force norm, eV/Å",
    "validation/clash": "atoms in clash, %",
    "validation/density_error": "density error, %",
    "validation/amd": "AMD distance, Å",
    "validation/bonds_valid": "valid bonds, %",
}
LEARNED = {
    "energy_mean": "mean energy, eV per heavy atom",
    "force_mean": "mean force norm, eV/Å",
    "divergence": "divergence from the reference",
    "clash": "atoms in clash, %",
}
COMPARED = {"clash_percent": "atoms in clash, %", "density_error_percent": "density error, %", "amd_distance": "AMD distance, Å"}


def rows_of(run: Path) -> list[dict[str, str]]:
    """The log of a run."""
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def draw_curves(axes, columns: dict[str, str], runs: dict[str, Path], marker: str) -> None:
    """A panel for each column, a line for each run."""
    for axis, (column, title) in zip(axes.flat, columns.items(), strict=True):
        for label, run in runs.items():
            points = [(int(row["step"]), float(row[column])) for row in rows_of(run) if row[column]]
            axis.plot(*zip(*points, strict=True), label=label, marker=marker, markersize=3, linewidth=1.2)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("iteration")
        axis.grid(alpha=0.3)
    axes.flat[0].legend(fontsize=8)


def draw_tradeoff(axes, results: Path, models: dict[str, str]) -> None:
    """Energy against force, then what else changes."""
    rows = {row["model"]: row for row in map(json.loads, results.read_text().splitlines())}
    for place, (label, model) in enumerate(models.items()):
        row = rows[model]
        axes.flat[0].plot(row["energy"], row["force"], marker="o", linestyle="", label=label)
        offset = (6, 4 if place % 2 else -12)
        axes.flat[0].annotate(label, (row["energy"], row["force"]), textcoords="offset points", xytext=offset, fontsize=9)
    axes.flat[0].set_xlabel("energy, eV per heavy atom")
    axes.flat[0].set_ylabel("mean force norm, eV/Å")
    axes.flat[0].margins(0.25)
    axes.flat[0].grid(alpha=0.3)
    for axis, (column, title) in zip(axes.flat[1:], COMPARED.items(), strict=True):
        for place, (label, model) in enumerate(models.items()):
            axis.bar(place, rows[model][column], label=label)
        axis.set_xticks(range(len(models)), list(models), fontsize=8)
        axis.set_title(title, fontsize=10)


def main() -> None:
    """Draw one figure."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    kind, out, *rest = sys.argv[1:]
    shape = {"curves": (2, 3), "stability": (2, 2), "tradeoff": (1, 4)}[kind]
    figure, axes = pyplot.subplots(*shape, figsize=(4 * shape[1], 3.4 * shape[0]), layout="constrained")
    if kind == "tradeoff":
        draw_tradeoff(axes, Path(rest[0]), dict(word.rsplit("=", 1) for word in rest[1:]))
    else:
        runs = {label: Path(run) for label, run in (word.rsplit("=", 1) for word in rest)}
        draw_curves(axes, HELD_OUT if kind == "curves" else LEARNED, runs, "o" if kind == "curves" else "")
    if kind == "stability":
        for axis in axes.flat[:3]:
            axis.set_yscale("log")
    figure.savefig(out, dpi=90)


if __name__ == "__main__":
    main()

"""Figure of bench_solvers.py: what each solver and grid makes of its evaluations of the network.

python bench/solver_figure.py FIGURE.png RESULTS.jsonl
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib
from bench_solvers import METRICS

SHOWN = {
    "density_error_percent": "density error, %",
    "clash_percent": "atoms in clash, %",
    "amd_distance": "AMD distance, Å",
    "rdf_distance": "RDF distance, Å",
    "contact_f1": "contact F1",
}
MARKERS = {"euler": "o", "heun": "s", "ab2": "^", "multistep": "D"}


def series(rows: list[dict]) -> dict[str, list[dict]]:
    """Rows of one solver, grid and precision together, by number of evaluations."""
    found: dict[str, list[dict]] = {}
    for row in rows:
        solver, _, *rest = row["case"].split(":")
        found.setdefault(" ".join([solver, *rest]), []).append(row)
    return {name: sorted(some, key=lambda row: row["evaluations"]) for name, some in found.items()}


def worst_percent(row: dict, reference: dict) -> float:
    """How much worse the metric is that lost the most, in percent of the reference's."""
    changes = [(row[name] / reference[name] - 1) * (1 if less else -1) for name, less in METRICS.items()]
    return 100 * max(changes)


def main() -> None:
    """Draw."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    out, results = sys.argv[1:]
    rows = [json.loads(line) for line in Path(results).read_text().splitlines()]
    reference = rows[0]
    figure, axes = pyplot.subplots(2, 3, figsize=(13, 7), layout="constrained")
    for name, some in series(rows).items():
        marker = MARKERS[name.split()[0]]
        evaluations = [row["evaluations"] for row in some]
        style = {"marker": marker, "markersize": 4, "linewidth": 1, "label": name}
        (line,) = axes[0, 0].plot(evaluations, [worst_percent(row, reference) for row in some], **style)
        for axis, metric in zip(axes.flat[1:], SHOWN, strict=True):
            axis.plot(evaluations, [row[metric] for row in some], color=line.get_color(), **style)
    axes[0, 0].axhline(2, color="gray", linestyle="--", linewidth=1)
    axes[0, 0].set_ylim(-1, 15)
    axes[0, 0].set_title(f"worst metric against {reference['case']}, % worse")
    for axis, title in zip(axes.flat[1:], SHOWN.values(), strict=True):
        axis.set_title(title)
    for axis in axes.flat:
        axis.set_xscale("log")
        axis.set_xlabel("evaluations of the network")
    axes[0, 0].legend(fontsize=7)
    figure.savefig(out, dpi=100)


if __name__ == "__main__":
    main()

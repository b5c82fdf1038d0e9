"""How the cost of the periodic ops grows with the number of crystals and with the number of atoms of one crystal, over two decades.

Prints a JSON object a line and draws bench/results/scaling.png, cost per atom against size: level lines are linear growth.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from cases import Case, scaling
from harness import smallest

from packflow.ops import amd, clash, neighbors, pdd, rdf

PLOT = Path(__file__).parent / "results" / "scaling.png"
OPS: dict[str, Callable[[Case], object]] = {
    "neighbors 6 Å": lambda x: neighbors(x.positions, x.cell, x.atom_ptr, 6.0),
    "clash": lambda x: clash(x.positions, x.cell, x.atom_ptr, x.radii),
    "rdf 10 Å": lambda x: rdf(x.positions, x.cell, x.atom_ptr),
    "amd k = 100": lambda x: amd(x.positions, x.cell, x.atom_ptr),
    "pdd k = 100": lambda x: pdd(x.positions, x.cell, x.atom_ptr),
}
ROUNDS, SECONDS = 7, 0.3


def milliseconds(call: Callable[[], object], quick: bool) -> float:
    """Median of some rounds."""
    call()
    times: list[float] = []
    while len(times) < (1 if quick else ROUNDS) or (not quick and sum(times) < SECONDS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def measure(quick: bool) -> list[dict[str, float | int | str]]:
    rows: list[dict[str, float | int | str]] = []
    for along, case in scaling(quick):
        for op, call in OPS.items():
            row = {"op": op, "along": along, "crystals": len(case.cell), "atoms": len(case.positions)}
            row["ms"] = milliseconds(lambda call=call, case=case: call(case), quick)
            row["us_per_atom"] = 1e3 * row["ms"] / row["atoms"]
            print(json.dumps(row), flush=True)
            rows.append(row)
    return rows


def draw(rows: list[dict[str, float | int | str]]) -> None:
    """Two panels, one per way to grow."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True)
    for panel, (along, label) in zip(panels, (("crystals", "crystals of 56 atoms"), ("atoms", "atoms of one crystal")), strict=True):
        for op in OPS:
            some = [row for row in rows if row["along"] == along and row["op"] == op]
            panel.plot([row[along] for row in some], [row["us_per_atom"] for row in some], marker="o", label=op)
        panel.set(xscale="log", yscale="log", xlabel=label)
        panel.grid(which="both", alpha=0.3)
    panels[0].set_ylabel("µs per atom, one thread")
    panels[1].legend()
    figure.tight_layout()
    figure.savefig(PLOT, dpi=110)


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    rows = measure(quick)
    for op in OPS:
        for along in ("crystals", "atoms"):
            cost = [row["us_per_atom"] for row in rows if row["op"] == op and row["along"] == along]
            print(f"{op:<14} along {along:<9} µs per atom: " + "  ".join(f"{x:.2f}" for x in cost), file=sys.stderr)
    if not quick:
        draw(rows)


if __name__ == "__main__":
    main()

"""How many steps a sampler needs: metrics of proposals against known crystals for each solver, number of steps and grid.

python bench/bench_solvers.py DATASET [--split held-out] [--n-samples 4] [--cases euler:50 multistep:20:tuned ...] [--device cuda]

A case is solver:steps, then if wanted the grid (linear, quadratic, exponential, tuned, power1.5, or power2/power1.5 where positions and
lattice have different ones) and bf16. Every case samples the same
proposals from the same noise, molecules mixed in packed batches; the first one is what the others are compared with. Prints a JSON object
per case on standard output, and a table for people on standard error with the metric that got worse the most.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from quality import means, references

import packflow
from packflow import Crystal, SampleConfig
from packflow.data.dataset import CrystalDataset
from packflow.data.prepare import PrepareConfig, prepare
from packflow.flow.draws import Draw
from packflow.flow.sampler import sample_batches
from packflow.flow.time_grid import TUNED_LATTICE, TUNED_POSITIONS, TimeGrid
from packflow.metrics import compare
from packflow.model import PackFlow
from packflow.structure import AtomsBatch

CASES = [
    "euler:500",
    *(f"euler:{n}" for n in (200, 100, 50, 30, 20, 10)),
    *(f"{solver}:{n}" for solver in ("ab2", "multistep") for n in (50, 30, 20, 15, 10)),
    *(f"{solver}:{n}:tuned" for solver in ("ab2", "multistep") for n in (50, 30, 20, 15, 10)),
    *(f"multistep:{n}:{grid}" for grid in ("quadratic", "exponential", "power1.5") for n in (50, 20, 10)),
    *(f"heun:{n}" for n in (25, 15, 10, 5)),
    *(f"{solver}:tuned:bf16" for solver in ("multistep:50", "multistep:30", "multistep:20")),
]
# metric: whether less is better
METRICS = {
    "density_error_percent": True,
    "clash_percent": True,
    "bonds_valid_percent": False,
    "valid_cell": False,
    "amd_distance": True,
    "rdf_distance": True,
    "rdf_distance_short": True,
    "contact_f1": False,
}
SEED = 7


def config_of(case: str) -> SampleConfig:
    """The settings that a case names."""
    solver, steps, *rest = case.split(":")
    precision = "bf16" if rest[-1:] == ["bf16"] else "float32"
    positions, _, lattice = (rest[0] if rest and rest[0] != "bf16" else "linear").partition("/")
    grids = (TUNED_POSITIONS, TUNED_LATTICE) if positions == "tuned" else (grid_of(positions), grid_of(lattice or positions))
    return SampleConfig(int(steps), solver, *grids, precision=precision)  # type: ignore[arg-type]


def grid_of(name: str) -> TimeGrid:
    """A grid from its name in a case."""
    return TimeGrid("power", power=float(name[5:])) if name.startswith("power") else TimeGrid(name)  # type: ignore[arg-type]


def run(model: PackFlow, known: Sequence[Crystal], n_samples: int, case: str) -> dict[str, object]:
    """Sample and score a case."""
    config = config_of(case)
    draws = [Draw(crystal.template, index, SEED) for crystal in known for index in range(n_samples)]
    start = time.perf_counter()
    crystals = [p.crystal for batch in sample_batches(model, draws, config) for p in batch]
    seconds = (time.perf_counter() - start) / len(draws)
    reference_of = torch.arange(len(known)).repeat_interleave(n_samples)
    table = compare(AtomsBatch.from_crystals(crystals), AtomsBatch.from_crystals(known), reference_of, seconds=seconds)
    row = {"case": case, "evaluations": len(config.stages()), "molecules": len(known), "proposals": len(draws)}
    return {**row, **means(table, by="reference")}


def worst_change(row: dict[str, object], reference: dict[str, object]) -> tuple[str, float]:
    """The metric that got worse the most, and by how much, relative."""
    changes = {}
    for name, less_is_better in METRICS.items():
        change = float(str(row[name])) / float(str(reference[name])) - 1
        changes[name] = change if less_is_better else -change
    return max(changes.items(), key=lambda item: item[1])


def main() -> None:
    """Score every case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", nargs="?")
    parser.add_argument("--model", default="open-2m")
    parser.add_argument("--split", default="held-out", choices=("validation", "test", "held-out"))
    parser.add_argument("--n-samples", type=int, default=4)
    parser.add_argument("--max-molecules", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cases", nargs="*", default=CASES)
    parser.add_argument("--smallest", action="store_true", help="the crystals of the tests, a few steps")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not args.smallest:
        score_all(args, CrystalDataset.open(args.dataset))
        return
    args.cases, args.n_samples, args.split = ["euler:4", "multistep:2:tuned", "heun:2:power1.5:bf16"], 1, "validation"
    cifs = Path(__file__).parents[1] / "tests" / "data" / "cif"
    with tempfile.TemporaryDirectory() as folder:
        prepare(cifs, Path(folder) / "d", PrepareConfig(fractions=(0.2, 0.8, 0.0)), cifs / "table.csv", n_jobs=1, progress=False)
        score_all(args, CrystalDataset.open(Path(folder) / "d"))


def score_all(args: argparse.Namespace, dataset: CrystalDataset) -> None:
    """Run the cases on one reference crystal for each molecule of the split."""
    splits = ("validation", "test") if args.split == "held-out" else (args.split,)
    known = [dataset[index] for split in splits for index in references(dataset, split)][: args.max_molecules]
    model = packflow.load(args.model).to(args.device)
    device = torch.cuda.get_device_name() if args.device == "cuda" else "cpu"
    reference: dict[str, object] | None = None
    for case in args.cases:
        row = run(model, known, args.n_samples, case)
        reference = reference or row
        metric, change = worst_change(row, reference)
        print(json.dumps({**row, "device": device, "worst_metric": metric, "worst_change": change}), flush=True)
        shown = " ".join(f"{name.removesuffix('_percent')} {row[name]:.4f}" for name in METRICS)
        print(f"{case:<26} {row['evaluations']:>4}  worst {100 * change:+5.1f} % ({metric})   {shown}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

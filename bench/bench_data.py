"""What the crystals of a training step cost beside its network, and what a dataset of a million crystals costs to open.

Prints a JSON object a line. `share` is the part of a step's wall time in which the network waits for its input: `ours` with
batches read ahead in a thread, as training does, `peer` with each read when its step begins. Memory is beyond that of the
imports: resident, and of that what is no file's. `load` is the machine's over the last minute, this benchmark's own part in it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import harness
import numpy as np
import psutil
import synthetic
import torch

from packflow.data.batching import BatchConfig, Batches
from packflow.data.dataset import CrystalDataset, molecule_of
from packflow.train import TrainConfig, pretrain, recipe_named, step

RECIPES = ("open-2m", "base-2m")
THREADS = (1, 2)
N_CRYSTALS, N_MOLECULES, N_READ = 1_000_000, 50_000, 10_000
N_STEPS, N_TURNS = 4, 2  # steps in a row, and how often each side has its turn


class Clock:
    """Adds up the time that calls of some functions take."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*args):
            began = time.perf_counter()
            try:
                return function(*args)
            finally:
                self.seconds += time.perf_counter() - began

        return wrapper


def steps(run: step.Run, clock: Clock, ahead: bool, n_steps: int) -> list[tuple[float, float]]:
    """Seconds of each step and of its input; one more before them, that the thread has read ahead when the first begins."""
    run.batches.prepare([])
    measured = []
    for _ in range(n_steps + 1):
        clock.seconds, began = 0.0, time.perf_counter()
        if ahead:
            clock.timed(pretrain.read_ahead)(run)
        step.train_step(run)
        measured.append((time.perf_counter() - began, clock.seconds))
    return measured[1:]


def share_of_input(name: str, config: TrainConfig, data: CrystalDataset, n_threads: int, n_steps: int, n_turns: int) -> dict:
    """A line about training steps."""
    torch.set_num_threads(n_threads)
    molecule_of.cache_clear()
    run = pretrain.start(replace(config, fit_lattice=False, validation=replace(config.validation, n_crystals=2)), data, None, "cpu")
    clock, sides = Clock(), {True: [], False: []}
    plain = step.rows_of_step, step.path_of
    step.rows_of_step, step.path_of = map(clock.timed, plain)
    try:
        for _ in range(n_turns):
            for ahead, times in sides.items():
                times += steps(run, clock, ahead, n_steps)
    finally:
        step.rows_of_step, step.path_of = plain
    line = {
        "op": "data",
        "case": f"step {config.recipe}, {name}",
        "peer": "read when the step begins",
        "device": "cpu",
        "threads": n_threads,
    }
    for side, times in zip(("ours", "peer"), sides.values(), strict=True):
        total, waited = zip(*times, strict=True)
        line |= {f"{side}_ms": 1e3 * statistics.median(total), f"{side}_input_ms": 1e3 * statistics.median(waited)}
        line[f"{side}_share"] = sum(waited) / sum(total)
    return line


def opened(folder: Path, n_read: int) -> dict:
    """A line about a dataset folder; call it in a process that has opened none."""
    process, before = psutil.Process(), psutil.Process().memory_info()

    def memory(what: str) -> dict[str, float]:
        info = process.memory_info()
        resident, shared = info.rss - before.rss, info.shared - before.shared
        return {f"{what}_resident_mb": resident / 1e6, f"{what}_anonymous_mb": (resident - shared) / 1e6}

    began = time.perf_counter()
    data = CrystalDataset.open(folder)
    line = {"op": "data", "case": "open", "crystals": len(data), "atoms": len(data.positions), "open_s": time.perf_counter() - began}
    line |= memory("open")
    began = time.perf_counter()
    for row in np.random.default_rng(0).integers(len(data), size=n_read):
        data[int(row)]
    line |= {"read": n_read, "read_s": time.perf_counter() - began, **memory("read")}
    began = time.perf_counter()
    Batches(data, BatchConfig())
    return line | {"batches_s": time.perf_counter() - began, **memory("batches")}


def show(line: dict) -> None:
    """The line, and the same for people."""
    line |= {"load": os.getloadavg()[0], "versions": {name: version(name) for name in ("torch", "pyarrow")}, "commit": harness._commit()}
    print(json.dumps(line), flush=True)
    numbers = {key: value for key, value in line.items() if isinstance(value, int | float)}
    print(f"{line['case']:<34} " + "  ".join(f"{key} {value:.4g}" for key, value in numbers.items()), file=sys.stderr)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smallest", action="store_true", help="few small crystals, few steps")
    parser.add_argument("--data", type=Path, help="measure this dataset folder too")
    return parser.parse_args()


def main() -> None:
    task = arguments()
    recipes = [recipe_named(name) for name in RECIPES]
    sizes, n_threads, turns = (N_CRYSTALS, N_MOLECULES, N_READ), THREADS, (N_STEPS, N_TURNS)
    if task.smallest:
        recipes = [replace(recipes[0], batch=BatchConfig(max_atoms=200))]
        sizes, n_threads, turns = (1000, 100, 100), (1,), (1, 1)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "data"
        synthetic.write(made, *sizes[:2])
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
            show(fresh.submit(opened, made, sizes[2]).result())
        for name, folder in ((f"{sizes[1]} synthetic molecules", made), ("--data", task.data)):
            data = CrystalDataset.open(folder) if folder else None
            for config in recipes if data else []:
                for threads in n_threads:
                    show(share_of_input(name, config, data, threads, *turns))


if __name__ == "__main__":
    main()

"""First right, then fast: compares two implementations, then times them in turn.

Standard output gets one JSON object a line, standard error a table for people.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch

SECONDS = 1.0  # per comparison, at least
MIN_ROUNDS = 7


@dataclass(frozen=True)
class Row:
    """The result of one comparison; `ratio` is peer over ours, so above 1 ours is faster."""

    op: str
    case: str
    peer: str
    device: str
    threads: int
    ours_ms: float
    ours_ms_quantiles: tuple[float, float]  # 20 % and 80 %
    peer_ms: float
    peer_ms_quantiles: tuple[float, float]
    ratio: float
    work: str
    ours_rate: float
    peer_rate: float
    versions: dict[str, str]
    commit: str


def smallest() -> bool:
    """Whether the command line asks for one small case of each kind, to see that the benchmark runs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--smallest", action="store_true", help="one small case of each kind, few rounds")
    return parser.parse_args().smallest


def compare(
    op: str,
    case: str,
    peer: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    check: Callable[[object, object], None],
    work: tuple[str, float],
    packages: tuple[str, ...] = (),
    device: str = "cpu",
    quick: bool = False,
) -> Row:
    """Check that both sides agree, then time them in turn in this process.

    Args:
        op: What is computed.
        case: The input's name.
        peer: Whom we are compared with.
        ours: Calls our implementation.
        theirs: Calls the other one.
        check: Raises if the two results differ; called before any clock runs.
        work: What is counted, and how much of it one call does; rates are in that per second.
        packages: Distributions whose versions are recorded besides torch.
        device: Where it runs.
        quick: Few rounds, for a run that only shows that it runs.

    Returns:
        The row that was printed.
    """
    check(ours(), theirs())
    for _ in range(1 if quick else 3):
        ours(), theirs()
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + (0.0 if quick else SECONDS)
    while time.perf_counter() < end or len(times[0]) < (3 if quick else MIN_ROUNDS):
        for side, call in enumerate((ours, theirs)):
            times[side].append(_milliseconds(call, device))
    medians = [statistics.median(t) for t in times]
    what, amount = work
    row = Row(
        op=op,
        case=case,
        peer=peer,
        device=torch.cuda.get_device_name() if device == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        ours_ms=medians[0],
        ours_ms_quantiles=_quantiles(times[0]),
        peer_ms=medians[1],
        peer_ms_quantiles=_quantiles(times[1]),
        ratio=medians[1] / medians[0],
        work=f"{what}/s",
        ours_rate=1e3 * amount / medians[0],
        peer_rate=1e3 * amount / medians[1],
        versions={name: version(name) for name in ("torch", *packages)},
        commit=_commit(),
    )
    _print(row)
    return row


def _milliseconds(call: Callable[[], object], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start)


def _quantiles(times: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(times, n=5)
    return cuts[0], cuts[-1]


def _commit() -> str:
    """The commit of this checkout, with "+" if files differ from it; empty outside a checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=False)
    return head.stdout.strip() + ("+" if changed.stdout else "")


def _print(row: Row) -> None:
    print(json.dumps(asdict(row)), flush=True)
    print(
        f"{row.op:<10} {row.case:<34} {row.ours_ms:>9.3f} ms   {row.peer:<18} {row.peer_ms:>9.3f} ms   "
        f"ratio {row.ratio:>6.1f}   {row.ours_rate:.2e} {row.work}",
        file=sys.stderr,
    )

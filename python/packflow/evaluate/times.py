"""What sampling took: seconds of a worker, measured where the work is done, apart for each number of workers and threads."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from packflow.campaign.disk import write_atomically
from packflow.campaign.work import Done, Executor, Work
from packflow.errors import InputError

# before the shard that a worker sends: seconds, threads
HEADER = struct.Struct("<dq")
NUMBERS = ("workers", "threads", "seconds", "elapsed", "n_timed")


@dataclass(frozen=True)
class Part:
    """Proposals that were sampled by equally many workers with equally many threads.

    workers: side by side; 0 for a cluster, whose number changes.
    threads: of each; 0 where an earlier version did not note it.
    device:  of the network, as torch calls it.
    seconds: in which a worker was at work, summed over the workers. Their start, waiting and writing are not in it.
    elapsed: seconds on the clock, with all of these.
    n_timed: proposals that were made in it.
    """

    workers: int
    threads: int
    device: str
    seconds: float = 0.0
    elapsed: float = 0.0
    n_timed: int = 0

    @property
    def setting(self) -> tuple[int, int, str]:
        """What a comparison of times must have in common."""
        return self.workers, self.threads, self.device

    def text(self) -> str:
        """Who made how many, as "40 proposals by 2 workers of 1 thread side by side (cpu), 12.3 s elapsed"."""
        threads = f" of {self.threads} thread{'s' * (self.threads != 1)}" if self.threads else ""
        several = f"{self.workers} workers{threads} side by side"
        who = {0: f"workers{threads} of a cluster", 1: f"1 worker{threads}"}.get(self.workers, several)
        each = self.seconds / self.n_timed
        return f"{self.n_timed} proposals by {who} ({self.device}), {each:.3g} s of a worker each, {self.elapsed:.3g} s elapsed"


@dataclass(frozen=True)
class Times:
    """Sampling over all parts of a run; fewer proposals than all if it was cut off between a unit and its note."""

    parts: tuple[Part, ...] = ()

    @property
    def n_timed(self) -> int:
        """Proposals."""
        return sum(part.n_timed for part in self.parts)

    @property
    def per_proposal(self) -> float | None:
        """Seconds in which a worker makes a proposal; None where nothing was timed."""
        return sum(part.seconds for part in self.parts) / self.n_timed if self.n_timed else None

    @property
    def settings(self) -> tuple[tuple[int, int, str], ...]:
        """How its parts were made; times of engines with other settings cannot be compared."""
        return tuple(sorted(part.setting for part in self.parts))

    def text(self) -> str:
        """A phrase for each part."""
        return "; ".join(part.text() for part in self.parts if part.n_timed) or "nothing was timed"

    def plus(self, part: Part) -> Times:
        """With more of a part that is there, or a further one."""
        kept = [one for one in self.parts if one.setting != part.setting]
        for one in self.parts:
            if one.setting == part.setting:
                sums = {name: getattr(one, name) + getattr(part, name) for name in ("seconds", "elapsed", "n_timed")}
                part = replace(part, **sums)
        return Times((*kept, part))


@dataclass(frozen=True)
class TimedWork:
    """A work that says before each shard what it took and with how many threads."""

    work: Work

    @property
    def campaign(self) -> str:
        """Other than that of the bare work, whose shards have nothing before them."""
        return f"timed {self.work.campaign}"

    @property
    def device(self) -> str:
        """Where it is done."""
        return self.work.device

    def __call__(self, unit: Any) -> bytes:  # noqa: ANN401, as in `Work`
        """Do a unit."""
        began = time.perf_counter()
        data = self.work(unit)
        return HEADER.pack(time.perf_counter() - began, torch.get_num_threads()) + data

    def portable(self) -> TimedWork:
        """In a form that can be pickled."""
        return TimedWork(self.work.portable())

    def to(self, device: str) -> TimedWork:
        """Ready on a device."""
        return TimedWork(self.work.to(device))


def timed(executor: Executor, file: Path, times: Times, n_workers: int) -> Executor:
    """The executor; what each unit took is added to the times, and they are written to the file as soon as it is done.

    Args:
        executor: That does the work.
        file: Of the times.
        times: Of earlier parts.
        n_workers: It has; 0 for a cluster.
    """

    def run(work: Work, units: Iterator[Any]) -> Iterator[Done]:
        device = work.device.partition(":")[0]
        return noted(executor(TimedWork(work), units), device)

    def noted(results: Iterator[Done], device: str) -> Iterator[Done]:
        found, began = times, time.perf_counter()
        for done in results:
            if not done.data:
                yield done
                continue
            seconds, n_threads = HEADER.unpack_from(done.data)
            yield replace(done, data=done.data[HEADER.size :])
            # written by now
            now = time.perf_counter()
            found = found.plus(Part(n_workers, n_threads, device, seconds, now - began, done.unit.n_proposals))
            write_atomically(file, json.dumps({"parts": [asdict(part) for part in found.parts]}).encode())
            began = now

    return run


def read_times(file: Path) -> Times:
    """What was spent before; nothing if there is no such file. Raises InputError if it is damaged."""
    if not file.exists():
        return Times()
    try:
        found = json.loads(file.read_text())
        if "parts" not in found:
            # an earlier version knew one worker and noted its seconds alone
            found = {"parts": [{"workers": 1, "threads": 0, "device": "cpu", "elapsed": found["seconds"], **found}]}
        parts = tuple(Part(**entry) for entry in found["parts"])
        if any(not isinstance(getattr(part, name), int | float) or getattr(part, name) < 0 for part in parts for name in NUMBERS):
            raise ValueError("no number")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{file} is damaged: the wall time is that of the proposals still to come") from error
    return Times(parts)

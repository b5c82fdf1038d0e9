"""Executor: worker processes on this machine; a worker that dies is replaced and its unit done again."""

from __future__ import annotations

import signal
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from packflow.campaign.work import Done, Piece, Work, device_type, work_bytes, work_of
from packflow.errors import InputError

# how often a unit is begun before it is given up
TRIES = 3


@dataclass
class Worker:
    """A process, our end of its pipe, and the unit that it has."""

    process: BaseProcess
    pipe: Connection
    unit: Piece


def processes(work: Work, units: Iterator[Piece], n_workers: int = 2, n_threads: int = 0) -> Iterator[Done]:
    """Do units in several processes; the calling script must be importable.

    Args:
        work: On the device that is meant; on GPUs worker k takes GPU k, counted around.
        units: Asked for one by one.
        n_workers: Processes, at least 1.
        n_threads: CPU threads of all workers together, at least one each; 0 takes those that torch has.

    Returns:
        Results in the order in which they are done; a unit whose worker died three times has a problem.

    Raises:
        InputError: n_workers is below 1.
    """
    if n_workers < 1:
        raise InputError(f"workers must be at least 1, got {n_workers}")
    n_each = max(1, (n_threads or torch.get_num_threads()) // n_workers)
    return results(work, units, n_workers, n_each)


def results(work: Work, units: Iterator[Piece], n_workers: int, n_threads: int) -> Iterator[Done]:
    """`processes`, from the first result on."""
    yield from Pool(work_bytes(work), device_type(work), n_threads).results(units, n_workers)


class Pool:
    """Workers that have a unit each."""

    def __init__(self, work: bytes, device: str, n_threads: int) -> None:
        """What every worker is told; the work through a file, because a large argument blocks us if its process dies too soon."""
        self.folder = TemporaryDirectory(prefix="packflow-")
        file = Path(self.folder.name) / "work"
        file.write_bytes(work)
        self.about = (file, device, n_threads)
        self.workers: list[Worker | None] = []
        self.tries: Counter[int] = Counter()

    def results(self, units: Iterator[Piece], n_workers: int) -> Iterator[Done]:
        """Results of all units as they are done."""
        again: deque[Piece] = deque()
        self.workers = [None] * n_workers
        try:
            while True:
                for place, worker in enumerate(self.workers):
                    unit = (again.popleft() if again else next(units, None)) if worker is None else None
                    if unit is not None:
                        self.workers[place] = self.start(place, unit)
                busy = {worker.pipe: place for place, worker in enumerate(self.workers) if worker is not None}
                if not busy:
                    return
                for pipe in wait(list(busy)):
                    yield from self.receive(busy[pipe], units, again)  # type: ignore[index]
        finally:
            self.stop()

    def receive(self, place: int, units: Iterator[Piece], again: deque[Piece]) -> Iterator[Done]:
        """The result of a worker, which has its next unit before the caller sees it; none if the worker died."""
        worker = self.workers[place]
        assert worker is not None
        unit = worker.unit
        try:
            result = Done(unit, worker.pipe.recv_bytes())
        except (EOFError, OSError):
            worker.pipe.close()
            worker.process.join()
            self.workers[place] = None
            self.tries[unit.number] += 1
            if self.tries[unit.number] < TRIES:
                again.append(unit)
            else:
                yield Done(unit, b"", f"{TRIES} workers died of it, the last with exit code {worker.process.exitcode}")
            return
        following = again.popleft() if again else next(units, None)
        if following is None or not send(worker, following):
            again.extend([following] if following else [])
            worker.pipe.close()
            worker.process.join()
            self.workers[place] = None
        yield result

    def start(self, place: int, unit: Piece) -> Worker:
        """A worker with its first unit."""
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, place, *self.about), daemon=True)
        process.start()
        theirs.close()
        worker = Worker(process, ours, unit)
        send(worker, unit)
        return worker

    def stop(self) -> None:
        """End all workers, whatever they are doing."""
        for worker in filter(None, self.workers):
            worker.process.terminate()
            worker.process.join()
            worker.pipe.close()
        self.folder.cleanup()


def send(worker: Worker, unit: Piece) -> bool:
    """Give a worker a unit; False if it is dead."""
    worker.unit = unit
    try:
        worker.pipe.send(unit)
    except OSError:
        return False
    return True


def serve(pipe: Connection, place: int, file: Path, device: str, n_threads: int) -> None:
    """A worker: units come in, shards go out, until the other end is closed or its process has died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(n_threads)
    work = work_of(file.read_bytes(), f"cuda:{place % torch.cuda.device_count()}" if device == "cuda" else device)
    while True:
        try:
            unit = pipe.recv()
        except (EOFError, OSError):
            return
        shard = work(unit)
        try:
            pipe.send_bytes(shard)
        except OSError:
            return

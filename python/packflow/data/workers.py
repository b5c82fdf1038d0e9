"""The same work on many files, in as many processes as wanted."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

CHUNK = 16

Job = TypeVar("Job")
Result = TypeVar("Result")


def map_files(work: Callable[[Job], Result], jobs: Sequence[Job], n_jobs: int, progress: bool) -> Iterator[Result]:
    """Results of all jobs, one a file, in their order.

    Args:
        work: A function that another process can import.
        jobs: Its arguments.
        n_jobs: Processes; with 1 the work is done in this one.
        progress: Show a progress bar on standard error.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        files = bar.add_task("files", total=len(jobs))
        if n_jobs == 1:
            for job in jobs:
                yield work(job)
                bar.advance(files)
            return
        with multiprocessing.get_context("spawn").Pool(n_jobs, start_worker) as pool:
            for result in pool.imap(work, jobs, chunksize=CHUNK):
                yield result
                bar.advance(files)


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start_worker() -> None:
    """One thread per process, and Ctrl-C is left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)

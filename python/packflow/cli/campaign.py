"""`packflow sample --input`: proposals of many molecules, into a store that the same command continues."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from functools import partial

import jsonargparse
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from packflow.campaign.job_files import read_jobs, some_of
from packflow.campaign.processes import processes
from packflow.campaign.ray import cluster
from packflow.campaign.run import carry_on
from packflow.campaign.shard import Result
from packflow.campaign.store import Store, open_store
from packflow.campaign.work import Engine, here
from packflow.errors import InputError
from packflow.flow.acceptance import Checks
from packflow.flow.sampler import SampleConfig
from packflow.model import PackFlow

ENGINES = ("here", "processes", "ray")


def add_campaign_arguments(parser: jsonargparse.ArgumentParser) -> None:
    """Arguments of `packflow sample` that only a campaign has."""
    files = "molecules: .csv with smiles, name, n_copies (one or several, as 2;4) and n_samples, .json with the same keys, or .smi"
    parser.add_argument("--input", type=str, default=None, help=f"{files}; --out then becomes a store that the same command continues")
    parser.add_argument("--skip-invalid", action="store_true", help="leave out rows of the input that cannot be used")
    parser.add_argument("--engine", choices=list(ENGINES), default="here", help="where an input is sampled")
    parser.add_argument("--workers", type=int, default=2, help="processes of the engine processes; --threads are divided among them")
    parser.add_argument("--address", type=str, default="", help="host:port of the cluster of the engine ray; none starts one here")


def check_campaign_arguments(args: jsonargparse.Namespace) -> None:
    """Refuse what makes no sense together, before any work.

    Raises:
        InputError: neither a molecule nor an input or both, or an option of a campaign without one.
    """
    if (args.smiles is None) == (args.input is None):
        raise InputError(f"give a SMILES or --input, got {'neither' if args.input is None else 'both'}")
    if args.input is None and (args.skip_invalid or args.engine != "here" or args.address):
        raise InputError("--skip-invalid, --engine and --address are for --input, got a SMILES")
    if args.address and args.engine != "ray":
        raise InputError(f"--address is for --engine ray, got --engine {args.engine}")


def run_campaign(args: jsonargparse.Namespace, model: PackFlow, config: SampleConfig, checks: Checks) -> None:
    """Sample what the input asks for and is not in the store yet, and print a summary.

    Raises:
        InputError: as `packflow.campaign.run`, or units were given up.
    """
    found = read_jobs(args.input, args.n_copies, args.n_samples, args.skip_invalid)
    if found.problems:
        print(f"packflow sample: {len(found.problems)} invalid rows left out: {some_of(found.problems)}", file=sys.stderr)
    store = open_store(args.out, model, found.jobs, config, args.seed, args.max_atoms, checks, workers_of_a_device(args))
    before, began = store.n_done, time.perf_counter()
    given_up = with_progress(carry_on(model, store, engine_of(args)), store)
    Console().print(summary(store, store.n_done - before, time.perf_counter() - began), highlight=False)
    if given_up:
        units = f"{len(given_up)} units ({sum(result.unit.n_proposals for result in given_up)} proposals)"
        raise InputError(f"{units} could not be sampled, the same command tries them again; the first: {given_up[0].problem}")


def workers_of_a_device(args: jsonargparse.Namespace) -> int:
    """How many processes of this machine will share the memory of a device."""
    if args.engine != "processes":
        return 1
    n_devices = max(1, torch.cuda.device_count()) if args.device.startswith("cuda") else 1
    return math.ceil(args.workers / n_devices)


def engine_of(args: jsonargparse.Namespace) -> Engine:
    """The engine that the command line asks for."""
    engines: dict[str, Engine] = {
        "here": here,
        "processes": partial(processes, n_workers=args.workers, n_threads=args.threads),
        "ray": partial(cluster, address=args.address, n_threads=args.threads or 1),
    }
    return engines[args.engine]


def with_progress(results: Iterator[Result], store: Store) -> list[Result]:
    """Take all results, with a progress bar on standard error; returns those that were given up."""
    columns = (TextColumn("sampling"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    given_up = []
    with Progress(*columns, console=Console(stderr=True)) as bar:
        work = bar.add_task("proposals", total=store.plan.n_proposals, completed=store.n_done)
        for result in results:
            bar.update(work, completed=store.n_done)
            if result.problem:
                given_up.append(result)
    return given_up


def summary(store: Store, n_new: int, seconds: float) -> str:
    """What is in the store, and how fast it came."""
    total = store.plan.n_proposals
    there = f"{store.n_done} proposals" if store.n_done == total else f"{store.n_done} of {total} proposals"
    failed = f"{store.n_done - store.n_usable} failed"
    speed = f"{n_new} in this run, {n_new / seconds:.1f} per second" if n_new else "all of them were there"
    return f"{there}, {failed}; {speed}\n{store.tally.text(store.sampling.checks.budget)}\nwritten: {store.path}"

"""`packflow sample --input`: proposals of many molecules, into a store that the same command continues."""

from __future__ import annotations

import sys
import time

import jsonargparse
from rich.console import Console

from packflow.baseline.engine import Baseline
from packflow.campaign.job_files import read_jobs, some_of
from packflow.campaign.progress import check_none_given_up, with_progress
from packflow.campaign.run import carry_on
from packflow.campaign.store import Store, open_store
from packflow.cli.executors import add_executor_arguments, check_executor_arguments, executor_of, workers_of_a_device
from packflow.errors import InputError
from packflow.flow.acceptance import Checks
from packflow.flow.sampler import SampleConfig
from packflow.model import PackFlow


def add_campaign_arguments(parser: jsonargparse.ArgumentParser) -> None:
    """Arguments of `packflow sample` that only a campaign has."""
    files = "molecules: .csv with smiles, name, n_copies (one or several, as 2;4) and n_samples, .json with the same keys, or .smi"
    parser.add_argument("--input", type=str, default=None, help=f"{files}; --out then becomes a store that the same command continues")
    parser.add_argument("--skip-invalid", action="store_true", help="leave out rows of the input that cannot be used")
    add_executor_arguments(parser, "an input is sampled")


def check_campaign_arguments(args: jsonargparse.Namespace) -> None:
    """Refuse what makes no sense together, before any work.

    Raises:
        InputError: neither a molecule nor an input or both, or an option of a campaign without one.
    """
    if (args.smiles is None) == (args.input is None):
        raise InputError(f"give a SMILES or --input, got {'neither' if args.input is None else 'both'}")
    if args.input is None and (args.skip_invalid or args.executor != "here" or args.address):
        raise InputError("--skip-invalid, --executor and --address are for --input, got a SMILES")
    check_executor_arguments(args)


def run_campaign(args: jsonargparse.Namespace, model: PackFlow | Baseline, config: SampleConfig, checks: Checks) -> None:
    """Sample what the input asks for and is not in the store yet, and print a summary.

    Raises:
        InputError: as `packflow.campaign.run`, or units were given up.
    """
    found = read_jobs(args.input, args.n_copies, args.n_samples, args.skip_invalid)
    if found.problems:
        print(f"packflow sample: {len(found.problems)} invalid rows left out: {some_of(found.problems)}", file=sys.stderr)
    store = open_store(args.out, model, found.jobs, config, args.seed, args.max_atoms, checks, workers_of_a_device(args))
    before, began = store.n_done, time.perf_counter()
    given_up = with_progress(carry_on(model, store, executor_of(args)), "sampling", store.plan.n_proposals, lambda: store.n_done)
    Console().print(summary(store, store.n_done - before, time.perf_counter() - began), highlight=False)
    check_none_given_up(given_up, "sampled")


def summary(store: Store, n_new: int, seconds: float) -> str:
    """What is in the store, and how fast it came."""
    total = store.plan.n_proposals
    there = f"{store.n_done} proposals" if store.n_done == total else f"{store.n_done} of {total} proposals"
    failed = f"{store.n_done - store.n_usable} failed"
    speed = f"{n_new} in this run, {n_new / seconds:.1f} per second" if n_new else "all of them were there"
    return f"{there}, {failed}; {speed}\n{store.tally.text(store.sampling.checks.budget)}\nwritten: {store.path}"

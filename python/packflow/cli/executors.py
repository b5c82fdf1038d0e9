"""Where units of work are done: arguments of all commands that work on a store."""

from __future__ import annotations

import math
from functools import partial

import jsonargparse
import torch

from packflow.campaign.processes import processes
from packflow.campaign.ray import cluster
from packflow.campaign.work import Executor, here
from packflow.errors import InputError

EXECUTORS = ("here", "processes", "ray")


def add_executor_arguments(parser: jsonargparse.ArgumentParser, what: str) -> None:
    """--executor, --workers and --address; `what` is done there, for the help."""
    parser.add_argument("--executor", choices=list(EXECUTORS), default="here", help=f"where {what}")
    parser.add_argument("--workers", type=int, default=2, help="processes of the executor processes; --threads are divided among them")
    parser.add_argument("--address", type=str, default="", help="host:port of the cluster of the executor ray; none starts one here")


def check_executor_arguments(args: jsonargparse.Namespace) -> None:
    """Refuse an address without the executor for it, and less than one process.

    Raises:
        InputError: so.
    """
    if args.executor == "processes" and args.workers < 1:
        raise InputError(f"--workers must be at least 1, got {args.workers}")
    if args.address and args.executor != "ray":
        raise InputError(f"--address is for --executor ray, got --executor {args.executor}")


def executor_of(args: jsonargparse.Namespace) -> Executor:
    """The executor that the command line asks for."""
    executors: dict[str, Executor] = {
        "here": here,
        "processes": partial(processes, n_workers=args.workers, n_threads=args.threads),
        "ray": partial(cluster, address=args.address, n_threads=args.threads or 1),
    }
    return executors[args.executor]


def workers_of_a_device(args: jsonargparse.Namespace) -> int:
    """How many processes of this machine will share the memory of a device."""
    if args.executor != "processes":
        return 1
    n_devices = max(1, torch.cuda.device_count()) if args.device.startswith("cuda") else 1
    return math.ceil(args.workers / n_devices)

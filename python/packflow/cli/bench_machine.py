"""`packflow bench-machine`: how many proposals per second, and what a million would cost."""

from __future__ import annotations

import platform

import jsonargparse
import torch
from rich.console import Console
from rich.table import Table

from packflow.campaign.calibration import N_COPIES, PRECISIONS, Rate, calibrate, default_jobs
from packflow.campaign.job import Job
from packflow.cli.sample import add_solver_arguments, config_of, device_of, set_threads
from packflow.errors import InputError
from packflow.model.pretrained import load

MILLION = 10**6


def bench_machine_parser() -> jsonargparse.ArgumentParser:
    """Arguments of `packflow bench-machine`."""
    parser = jsonargparse.ArgumentParser(description="Measure how fast this machine samples, with the work of writing a store.")
    parser.add_argument("smiles", type=str, nargs="?", default=None, help="the molecule; three usual ones if not given")
    parser.add_argument("--n-copies", type=int, default=N_COPIES, help="molecules per unit cell, of that molecule")
    parser.add_argument("--seconds", type=float, default=3.0, help="least time of each measurement")
    parser.add_argument("--model", type=str, default="open-2m", help="name of installed or released weights, or a path")
    parser.add_argument("--max-atoms", type=int, default=None, help="atoms sampled at once; as many as suit the device if not given")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 takes all cores")
    add_solver_arguments(parser)
    parser.set_defaults(precision="both")
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda")
    return parser


def run_bench_machine(args: jsonargparse.Namespace) -> None:
    """`packflow bench-machine`."""
    if args.seconds <= 0:
        raise InputError(f"seconds must be above 0, got {args.seconds}")
    precisions = PRECISIONS if args.precision == "both" else (args.precision,)
    config = config_of(jsonargparse.Namespace(**{**vars(args), "precision": precisions[0]}))
    jobs = default_jobs() if args.smiles is None else [Job.of("molecule", args.smiles, args.n_copies, 10**9)]
    set_threads(args.threads)
    model = load(args.model).to(device_of(args.device))
    console = Console()
    console.print(f"{args.model}, {config.solver}, {config.n_steps} steps, on {machine(args.device)}", highlight=False)
    table = table_of([])
    with console.status("measuring", spinner="line"):
        for rate in calibrate(model, jobs, config, precisions, args.seconds, args.max_atoms):
            add_row(table, rate)
    console.print(table)
    console.print(
        "One process. Each worker of --executor processes or ray has such a rate where it has such threads or such a GPU to itself."
    )


def machine(device: str) -> str:
    """What is measured, in words."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} threads of {platform.processor() or platform.machine()}"


def table_of(rates: list[Rate]) -> Table:
    """A row for each measurement."""
    table = Table("molecule", "atoms", "precision", "per second", "for a million", "on disk", title="proposals")
    for rate in rates:
        add_row(table, rate)
    return table


def add_row(table: Table, rate: Rate) -> None:
    """A row of `table_of`."""
    table.add_row(
        rate.job.name,
        str(rate.job.n_atoms),
        rate.precision,
        f"{rate.per_second:.3g}",
        duration(MILLION / rate.per_second),
        f"{MILLION * rate.bytes_per_proposal / 1e9:.2g} GB",
    )


def duration(seconds: float) -> str:
    """As "3 min", "2.5 h" or "4.1 days"."""
    if seconds < 3600:
        return f"{seconds / 60:.2g} min"
    return f"{seconds / 3600:.2g} h" if seconds < 86400 else f"{seconds / 86400:.2g} days"

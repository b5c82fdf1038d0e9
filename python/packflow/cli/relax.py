"""`packflow relax`: the proposals of a store with their hydrogens, relaxed, in the same store."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import get_args

import jsonargparse
from rich.console import Console

from packflow.campaign.progress import check_none_given_up, with_progress
from packflow.campaign.relax_stage import RelaxStage, open_stage
from packflow.campaign.relaxation import OPTIMIZERS, Relaxation
from packflow.campaign.work import carried_on
from packflow.cli.executors import add_executor_arguments, check_executor_arguments, executor_of
from packflow.cli.sample import device_of, set_threads
from packflow.errors import InputError
from packflow.potential.named import NAMES
from packflow.relax.cell_filter import CellFilter
from packflow.relax.relax import RelaxConfig


def relax_parser() -> jsonargparse.ArgumentParser:
    """Arguments of `packflow relax`."""
    parser = jsonargparse.ArgumentParser(
        description="Add hydrogens to the proposals of a store and relax them, hydrogens first; the same command continues."
    )
    parser.add_argument("store", type=str, help="folder that `packflow sample` wrote, finished or not; results go to its subfolder relaxed")
    add_relax_arguments(parser)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 takes all cores")
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda")
    add_executor_arguments(parser, "proposals are relaxed")
    return parser


def add_relax_arguments(parser: jsonargparse.ArgumentParser) -> None:
    """The potential and the fields of Relaxation."""
    full = RelaxConfig.for_ranking()
    parser.add_argument("--potential", type=str, default="mmff", help=f"what energies are by: {', '.join(NAMES)}")
    parser.add_argument("--fmax", type=float, default=full.fmax, help="eV/Å, relaxed when all forces are smaller")
    parser.add_argument(
        "--max-stress", type=float, default=full.max_stress_gpa or 0.0, help="GPa, and the stress; 0: forces alone decide, as in ASE"
    )
    parser.add_argument("--max-steps", type=int, default=full.max_steps, help="steps of a structure, at most")
    parser.add_argument("--optimizer", choices=list(OPTIMIZERS), default="lbfgs", help="fire is the paper's, and needs many more steps")
    parser.add_argument("--cell", choices=list(get_args(CellFilter)), default=full.cell, help="what may strain the cell")
    parser.add_argument("--h-only", action="store_true", help="relax hydrogens alone, heavy atoms and cells stay")
    parser.add_argument("--flagged", action="store_true", help="relax proposals that are flagged as implausible too")
    parser.add_argument("--relax-atoms", type=int, default=full.max_atoms, help="atoms relaxed at a time, hydrogens counted")


def relaxation_of(args: jsonargparse.Namespace) -> Relaxation:
    """How proposals are relaxed.

    Raises:
        InputError: a number has no meaning.
    """
    for name, lowest in (("max_steps", 1), ("relax_atoms", 1)):
        if args[name] < lowest:
            raise InputError(f"{name} must be at least {lowest}, got {args[name]}")
    if not args.fmax > 0:
        raise InputError(f"fmax must be above 0 eV/Å, got {args.fmax}")
    if not args.max_stress >= 0:
        raise InputError(f"max_stress must be 0 GPa or more, got {args.max_stress}")
    full = RelaxConfig(
        optimizer=OPTIMIZERS[args.optimizer](),
        cell=args.cell,
        fmax=args.fmax,
        max_stress_gpa=args.max_stress or None,
        max_steps=args.max_steps,
        max_atoms=args.relax_atoms,
    )
    hydrogens = replace(RelaxConfig.of_hydrogens(), max_atoms=args.relax_atoms)
    return Relaxation(full, hydrogens, only_hydrogens=args.h_only, flagged=args.flagged)


def run_relax(args: jsonargparse.Namespace) -> None:
    """`packflow relax`."""
    check_executor_arguments(args)
    settings = relaxation_of(args)
    set_threads(args.threads)
    stage = open_stage(args.store, args.potential, settings, str(device_of(args.device)))
    before, began = stage.counts.n_proposals, time.perf_counter()
    results = carried_on(stage.work, stage.missing(), stage, executor_of(args))
    given_up = with_progress(results, "relaxing", stage.source.n_proposals, lambda: stage.counts.n_proposals)
    Console().print(summary(stage, stage.counts.n_proposals - before, time.perf_counter() - began), highlight=False, soft_wrap=True)
    check_none_given_up(given_up, "relaxed")


def summary(stage: RelaxStage, n_new: int, seconds: float) -> str:
    """What became of the proposals, and how fast."""
    source = stage.source
    speed = f"{n_new} in this run, {n_new / seconds:.2f} per second" if n_new else "all of them were there"
    lines = [f"{stage.counts.text()}; {speed}"]
    if source.n_proposals < source.n_planned:
        lines.append(f"{source.n_planned - source.n_proposals} of {source.n_planned} proposals are not sampled yet")
    return "\n".join([*lines, f"written: {stage.path}"])

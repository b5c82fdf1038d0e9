"""Physics alignment: GRPO post-training of a generator by energies and forces of what it samples (paper, section 4.2)."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from packflow.data.batching import CrystalSource
from packflow.errors import InputError
from packflow.model import PackFlow
from packflow.model.pretrained import load
from packflow.potential import potential_of
from packflow.train.align_config import AlignConfig
from packflow.train.align_report import COLUMNS, PARTS, Report
from packflow.train.align_step import AlignRun, align_step
from packflow.train.align_validation import AlignValidation
from packflow.train.checkpoint import RunState, load_checkpoint, save_checkpoint
from packflow.train.initial import origin_of_run
from packflow.train.log import Log
from packflow.train.optim import optimizers_of
from packflow.train.parallel import any_of, first_alone, launched
from packflow.train.run_folder import TrainResult, claim_folder, ended, log_of
from packflow.train.scores import check_potential
from packflow.train.seen import seen_by
from packflow.train.stop import StopRequest
from packflow.train.templates import TemplatePool
from packflow.train.wandb_log import wandb_module


def align(
    config: AlignConfig,
    dataset: CrystalSource,
    out: Path,
    resume: Path | None = None,
    max_minutes: float = math.inf,
    device: str = "auto",
    wandb_project: str | None = None,
) -> TrainResult:
    """Align until n_steps, max_minutes, or Ctrl-C or SIGTERM, with a checkpoint at the end whichever comes first.

    Only the templates of the dataset are learned from; its crystals are what the validation compares with. Templates, proposals, times
    and noises are a function of the seed and the iteration, so a resumed run continues to the last bit. Processes that torchrun
    started align together: each has its share of an iteration's groups, and the first one writes and reports.

    Args:
        config: Of the run; for a resumed one that of its checkpoint, see checkpoint.read_config_of.
        dataset: Crystals with their splits.
        out: Folder for checkpoints and logs; made if it is not there.
        resume: Checkpoint to continue from, a folder step_... .
        max_minutes: Wall-clock limit of this call.
        device: "auto", "cpu" or "cuda".
        wandb_project: Project at Weights & Biases that is told the same numbers as the CSV file; None for none.

    Raises:
        InputError: weights or a potential are missing, the reference has another network, the dataset has no template, the folder
            holds another run, a file cannot be written, or the gradient is no longer a number.
    """
    if wandb_project is not None:
        wandb_module()
    claim_folder(out, resume)
    run, validation = start(config, dataset, resume, device)
    run.fabric.barrier()  # every process has looked at the folder before the first one writes into it
    deadline = time.monotonic() + 60 * max_minutes
    with StopRequest() as stop, log_of(run.fabric, out, config, COLUMNS, run.state.progress.step, wandb_project) as log:
        describe(run, log)
        advance(run, validation, out, log, lambda: any_of(run.fabric, stop.received is not None or time.monotonic() > deadline))
        return ended(run.fabric, out, run.state.progress.step, stop.received)


def start(config: AlignConfig, dataset: CrystalSource, resume: Path | None, device: str) -> tuple[AlignRun, AlignValidation]:
    """Build everything for the first iteration, or for the one after a checkpoint."""
    fabric = launched(device, config.precision)
    if config.n_templates < fabric.world_size:
        raise InputError(f"n_templates must be at least 1 for each of {fabric.world_size} processes, got {config.n_templates}")
    potential = potential_of(config.rewards.potential, fabric.device)
    check_potential(potential, config.rewards.hydrogens)
    model, reference = weights_of(config)
    if config.freeze_refinements and model.refinements is not None:
        model.refinements.requires_grad_(False)
    model.to(fabric.device)
    state = RunState(
        model,
        copy.deepcopy(model).eval().requires_grad_(False),
        optimizers_of(model, config.optim),
        reference=reference.to(fabric.device).eval().requires_grad_(False),
        seen=seen_by(dataset, config.init, resume),
        origin=origin_of_run(config.init, resume),
    )
    if resume is not None:
        state = replace(state, progress=load_checkpoint(resume, state))
    pool = TemplatePool.of(dataset, "train", config.max_templates, config.max_template_atoms, config.seed)
    run = AlignRun(config, state, fabric, pool, potential)
    return run, AlignValidation.of(dataset, config, potential)


def weights_of(config: AlignConfig) -> tuple[PackFlow, PackFlow]:
    """The initial weights and the reference.

    Raises:
        InputError: there are none, or they are of two networks.
    """
    model = load(config.init)
    if config.reference is None:
        return model, copy.deepcopy(model)
    reference = load(config.reference)
    if reference.config != model.config:
        raise InputError(
            f"reference must be weights of the same network as init {config.init}, got {config.reference}: its configuration differs"
        )
    return model, reference


def describe(run: AlignRun, log: Log) -> None:
    """Say what is aligned on what."""
    config, state = run.config, run.state
    n_parameters = sum(p.numel() for p in state.model.parameters() if p.requires_grad)
    log.line(
        f"{config.recipe}: {n_parameters:,} parameters of {config.init} on {run.fabric.device}, {len(run.pool):,} templates, "
        f"{config.n_templates} groups of {config.group_size}, iterations {state.progress.step} to {config.n_steps}"
        + (f", in {run.fabric.world_size} processes" if run.fabric.world_size > 1 else "")
    )


def advance(run: AlignRun, validation: AlignValidation, out: Path, log: Log, should_stop: Callable[[], bool]) -> None:
    """Iterate to the last one, or until asked to stop; then every finished iteration is in a checkpoint."""
    config, progress, saved = run.config, run.state.progress, run.state.progress.step
    if progress.step == 0 and not should_stop():
        first_alone(run.fabric, partial(validate, run, validation, log, {}))
    while progress.step < config.n_steps and not should_stop():
        report = align_step(run)
        log.advance(progress.step, report.line())
        values, last = known(report), progress.step == config.n_steps
        if config.validation.every and (progress.step % config.validation.every == 0 or last):
            first_alone(run.fabric, partial(validate, run, validation, log, values))
        else:
            log.write(progress.step, values)
        if progress.step % config.save_every == 0 or last:
            first_alone(run.fabric, lambda: save(run, out))
            saved = progress.step
    if progress.step > saved:
        first_alone(run.fabric, lambda: save(run, out))


def known(report: Report) -> dict[str, float]:
    """Numbers of an iteration that there are."""
    return {name: value for name, value in report.values.items() if not math.isnan(value)}


@torch.no_grad()
def validate(run: AlignRun, validation: AlignValidation, log: Log, values: dict[str, float]) -> None:
    """Judge the averaged weights and write a row of the log, with what is known of the iteration."""
    step = run.state.progress.step
    if not run.config.validation.every:
        return
    scores = validation.score(run.state.ema)
    log.write(step, values | {name: score for name, score in scores.items() if not math.isnan(score)})
    said = ", ".join(f"{name.removeprefix('validation/')} {score:.4g}" for name, score in scores.items())
    took = " + ".join(f"{part} {values[f'seconds_{part}']:.1f}" for part in PARTS if values)
    log.line(f"iteration {step}: {said}" + (f"; {took} s" if values else ""))


def save(run: AlignRun, out: Path) -> None:
    """Write a checkpoint."""
    save_checkpoint(out, run.state, run.config)

"""Pre-training by flow matching: batch, loss, backward, clip, step, average, log, validate, save."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from packflow.data.batching import Batches, CrystalSource, generator_of
from packflow.flow.loss import Loss
from packflow.train.checkpoint import Progress, RunState, load_checkpoint, save_checkpoint
from packflow.train.config import TrainConfig
from packflow.train.initial import initial_model, origin_of_run, random_model
from packflow.train.log import Log
from packflow.train.optim import optimizers_of
from packflow.train.parallel import any_of, first_alone, launched
from packflow.train.run_folder import TrainResult, claim_folder, ended, log_of
from packflow.train.seen import seen_by
from packflow.train.step import LATTICE, Run, batches_of_process, rows_of_step, train_step
from packflow.train.stop import StopRequest
from packflow.train.validation import Validation
from packflow.train.wandb_log import wandb_module

LOG_EVERY = 10
N_LATTICE_BATCHES = 64
COLUMNS = (
    "step",
    "loss",
    "loss_positions",
    "loss_lattice",
    "gradient_norm",
    "learning_rate",
    "atoms_per_second",
    "validation/loss",
    "validation/positions",
    "validation/lattice",
    "validation/baseline",
)


def train(
    config: TrainConfig,
    dataset: CrystalSource,
    out: Path,
    resume: Path | None = None,
    max_minutes: float = math.inf,
    device: str = "auto",
    wandb_project: str | None = None,
) -> TrainResult:
    """Train until n_steps, max_minutes, or Ctrl-C or SIGTERM, with a checkpoint at the end whichever comes first.

    Every batch, time and noise is a function of the seed and the step, so a resumed run continues to the last bit. Processes
    that torchrun started train together: each does its own batches of a step, and the first one writes and reports.

    Args:
        config: Of the run; for a resumed one that of its checkpoint, see checkpoint.read_config.
        dataset: Crystals with their splits.
        out: Folder for checkpoints and logs; made if it is not there.
        resume: Checkpoint to continue from, a folder step_... .
        max_minutes: Wall-clock limit of this call; the learning rate follows n_steps all the same.
        device: "auto", "cpu" or "cuda".
        wandb_project: Project at Weights & Biases that is told the same numbers as the CSV file; None for none.

    Raises:
        InputError: the folder holds another run, the checkpoint does not fit or cannot be written, the loss is no longer a
            number, or wandb_project is given and the package wandb is not installed or not logged in.
    """
    if wandb_project is not None:
        wandb_module()
    claim_folder(out, resume)
    run = start(config, dataset, resume, device)
    run.fabric.barrier()  # every process has looked at the folder before the first one writes into it
    deadline = time.monotonic() + 60 * max_minutes
    with StopRequest() as stop, log_of(run.fabric, out, run.config, COLUMNS, run.state.progress.step, wandb_project) as log:
        describe(run, log)
        advance(run, out, log, should_stop=lambda: any_of(run.fabric, stop.received is not None or time.monotonic() > deadline))
        return ended(run.fabric, out, run.state.progress.step, stop.received)


def start(config: TrainConfig, dataset: CrystalSource, resume: Path | None, device: str) -> Run:
    """Build everything for the first step, or for the one after a checkpoint."""
    fabric = launched(device, config.precision)
    batches = Batches(dataset, config.batch)
    if config.fit_lattice and resume is None:
        config = with_fitted_lattice(config, batches)
    model = (initial_model(config) if resume is None else random_model(config)).to(fabric.device)
    if config.freeze:
        model.requires_grad_(False).refinements.requires_grad_(True)
    state = RunState(model, copy.deepcopy(model).eval().requires_grad_(False), optimizers_of(model, config.optim))
    state = replace(state, seen=seen_by(dataset, config.init, resume), origin=origin_of_run(config.init, resume))
    if resume is not None:
        state = replace(state, progress=load_checkpoint(resume, state))
    return Run(config, state, fabric, batches, Validation.of(dataset, config, fabric.device))


def with_fitted_lattice(config: TrainConfig, batches: Batches) -> TrainConfig:
    """Set the flow space's lattice_mean and lattice_std to those of training crystals, drawn as in training."""
    drawn = [batches.batch(generator_of(config.seed, i, LATTICE)) for i in range(N_LATTICE_BATCHES)]
    plain = replace(config.model.space, lattice_mean=(0.0,) * 6, lattice_std=(1.0,) * 6)
    lattice = torch.cat([plain.encode(b.positions, b.lattice, b.template)[1] for b in drawn]).double()
    mean, std = lattice.mean(0).tolist(), lattice.std(0).clamp(min=1e-3).tolist()
    rounded = [tuple(round(value, 6) for value in values) for values in (mean, std)]
    space = replace(plain, lattice_mean=rounded[0], lattice_std=rounded[1])
    return replace(config, model=replace(config.model, space=space))


def describe(run: Run, log: Log) -> None:
    """Say what is trained on what."""
    n_parameters = sum(p.numel() for p in run.state.model.parameters())
    baseline = run.validation.baseline()
    log.line(
        f"{run.config.recipe}: {n_parameters:,} parameters on {run.fabric.device}, {len(run.batches.rows):,} crystals of "
        f"{run.batches.n_molecules:,} molecules, steps {run.state.progress.step} to {run.config.n_steps}"
        + (f", in {run.fabric.world_size} processes" if run.fabric.world_size > 1 else "")
    )
    log.line(
        f"validation baseline {baseline.total:.4f} (positions {baseline.positions:.4f}, lattice {baseline.lattice:.4f}): "
        "the mean as the crystal, the noise known"
    )


def advance(run: Run, out: Path, log: Log, should_stop: Callable[[], bool]) -> None:
    """Train to the last step, or until asked to stop; then every finished step is in a checkpoint."""
    progress, window = run.state.progress, Window()
    saved = progress.step
    while progress.step < run.config.n_steps and not should_stop():
        began = time.monotonic()
        read_ahead(run)
        rate, loss, norm, n_atoms = train_step(run)
        progress.seconds += time.monotonic() - began
        window.add(loss, norm, n_atoms, time.monotonic() - began)
        said = f"loss {window.losses[-1][0]:.4f}  lr {rate:.1e}  {window.atoms_per_second:.0f} atoms/s"
        log.advance(progress.step, said)
        if progress.step % LOG_EVERY == 0:
            log.write(progress.step, {**window.means(), "learning_rate": rate})
            window = Window()
        if progress.step % run.config.validation.every == 0 or progress.step == run.config.n_steps:
            first_alone(run.fabric, lambda: validate_and_save(run, out, log))
            saved = progress.step
    if progress.step > saved:
        progress.validation_loss = None
        first_alone(run.fabric, lambda: save(run, out))


def read_ahead(run: Run) -> None:
    """Begin to read the crystals of this step and the next one, so that the next ones are ready when this step ends."""
    step = run.state.progress.step
    coming = [replace(run, state=replace(run.state, progress=Progress(k))) for k in range(step, min(step + 2, run.config.n_steps))]
    run.batches.prepare([rows_of_step(then)[k] for then in coming for k in batches_of_process(run)])


def save(run: Run, out: Path) -> None:
    """Write a checkpoint."""
    save_checkpoint(out, run.state, run.config)


def validate_and_save(run: Run, out: Path, log: Log) -> None:
    """Judge the averaged weights and write a checkpoint."""
    validate(run, log)
    save(run, out)


def validate(run: Run, log: Log) -> None:
    """Score the averaged weights, log it, and note whether it is the best so far."""
    progress, score, baseline = run.state.progress, run.validation.score(run.state.ema), run.validation.baseline()
    progress.validation_loss = score.total
    if progress.best_loss is None or score.total < progress.best_loss:
        progress.best_loss, progress.best_step = score.total, progress.step
    log.write(
        progress.step,
        {
            "validation/loss": score.total,
            "validation/positions": score.positions,
            "validation/lattice": score.lattice,
            "validation/baseline": baseline.total,
        },
    )
    log.line(
        f"step {progress.step}: validation {score.total:.4f} (positions {score.positions:.4f}, lattice {score.lattice:.4f}), "
        f"baseline {baseline.total:.4f}, best at step {progress.best_step}, {progress.seconds / 60:.1f} min"
    )


@dataclass
class Window:
    """Steps since the last row of the log."""

    losses: list[tuple[float, float, float]] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    n_atoms: int = 0
    seconds: float = 0.0

    def add(self, loss: Loss, norm: float, n_atoms: int, seconds: float) -> None:
        """Count one step."""
        self.losses.append((loss.total.item(), loss.positions.item(), loss.lattice.item()))
        self.norms.append(norm)
        self.n_atoms += n_atoms
        self.seconds += seconds

    @property
    def atoms_per_second(self) -> float:
        """Speed of training."""
        return self.n_atoms / self.seconds

    def means(self) -> dict[str, float]:
        """Means over the steps, by column of the log."""
        n = len(self.losses)
        total, positions, lattice = (sum(channel) / n for channel in zip(*self.losses, strict=True))
        return {
            "loss": total,
            "loss_positions": positions,
            "loss_lattice": lattice,
            "gradient_norm": sum(self.norms) / n,
            "atoms_per_second": self.atoms_per_second,
        }

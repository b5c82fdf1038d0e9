"""One step of training: batches, their gradients over all processes, clip, update, average."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from lightning_fabric import Fabric

from packflow.data.batching import Batches, generator_of
from packflow.errors import InputError
from packflow.flow.loss import Loss, crystal_losses, draw_path, flow_matching_loss
from packflow.flow.path import CrystalPath
from packflow.structure import CrystalBatch
from packflow.train.checkpoint import RunState
from packflow.train.config import TrainConfig
from packflow.train.optim import set_learning_rates, update_average
from packflow.train.parallel import add_up, add_up_gradients, gathered
from packflow.train.validation import Validation

# Independent uses of randomness in one batch of a step; the k-th batch of the step adds k times their number.
STREAMS = BATCH, FLOW, LATTICE = range(3)

MOST_NAMED = 8


@dataclass(frozen=True)
class Run:
    """What a step needs.

    config:     of the run.
    state:      weights, moments and progress.
    fabric:     device, precision, backward, and the other processes.
    batches:    training crystals.
    validation: fixed crystals, times and noises.
    """

    config: TrainConfig
    state: RunState
    fabric: Fabric
    batches: Batches
    validation: Validation


def train_step(run: Run) -> tuple[float, Loss, float, int]:
    """One update of the weights and their average, from `accumulate` batches in each process.

    Every crystal of all those batches counts the same, as if they were one batch.

    Returns:
        Learning rate, loss, norm of the gradient before clipping, atoms in all batches.

    Raises:
        InputError: the loss or its gradient is not a number; the weights are left as they were.
    """
    config, state = run.config, run.state
    rows, own = rows_of_step(run), batches_of_process(run)
    n_crystals = sum(len(batch) for batch in rows)
    rate = set_learning_rates(state.optimizers, state.progress.step, config.n_steps, config.optim)
    parts = [backward(run, path_of(run, k, rows[k]), len(rows[k]) / n_crystals) for k in own]
    loss = Loss(*add_up(run.fabric, torch.stack(parts).sum(0)).unbind())
    parameters = [p for p in state.model.parameters() if p.requires_grad]
    add_up_gradients(run.fabric, parameters)
    norm = torch.nn.utils.clip_grad_norm_(parameters, config.optim.clip_norm).item()
    if not (math.isfinite(norm) and math.isfinite(loss.total.item())):
        raise InputError(
            f"the loss became {loss.total.item()} (gradient norm {norm}) at step {state.progress.step + 1}, "
            f"{culprits(run, rows)}: resume from the last checkpoint with a lower learning rate"
        )
    for optimizer in state.optimizers:
        optimizer.step()
        optimizer.zero_grad()
    state.progress.step += 1
    update_average(state.ema, state.model, state.progress.step, config.optim.ema_decay)
    return rate, loss, norm, sum(run.batches.atoms_in(batch) for batch in rows)


def rows_of_step(run: Run) -> list[np.ndarray]:
    """Dataset rows of every batch of this step, those of all processes: each knows them without being told."""
    seed, step = run.config.seed, run.state.progress.step
    n_batches = run.fabric.world_size * run.config.accumulate
    return [run.batches.rows_of(generator_of(seed, step, len(STREAMS) * k + BATCH)) for k in range(n_batches)]


def batches_of_process(run: Run) -> range:
    """Which of the step's batches this process does."""
    first = run.fabric.global_rank * run.config.accumulate
    return range(first, first + run.config.accumulate)


def path_of(run: Run, k: int, rows: np.ndarray) -> CrystalPath:
    """Times and noises for the crystals of the step's k-th batch, which are at `rows` of the dataset."""
    config = run.config
    flow = generator_of(config.seed, run.state.progress.step, len(STREAMS) * k + FLOW)
    batch = run.batches.pack(rows)
    batch = (invert(batch, flow) if config.invert else batch).to(run.fabric.device)
    return draw_path(batch, config.model.space, config.path, config.time, flow)


def backward(run: Run, path: CrystalPath, weight: float) -> torch.Tensor:
    """Add the gradient of a batch's weighted loss; returns that loss and its two channels. [3]"""
    with run.fabric.autocast():
        velocities = path.velocities(run.state.model)
    loss = flow_matching_loss(velocities, path, run.config.model.space, run.config.loss)
    run.fabric.backward(loss.total * weight)
    return torch.stack([loss.total, loss.positions, loss.lattice]).detach() * weight


@torch.no_grad()
def culprits(run: Run, rows: Sequence[np.ndarray]) -> str:
    """Which crystals have a loss that is not a number, else which are in the batches; the same answer in every process."""
    bad: list[int] = []
    for k in batches_of_process(run):
        path = path_of(run, k, rows[k])
        with run.fabric.autocast():
            velocities = path.velocities(run.state.model)
        total = sum(crystal_losses(velocities, path, run.config.model.space, run.config.loss))
        bad += rows[k][~torch.as_tensor(total).isfinite().cpu().numpy()].tolist()
    found = sorted({row for part in gathered(run.fabric, bad) for row in part})
    named = found or sorted({int(row) for batch in rows for row in batch})
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    what = "at" if found else "each loss alone being finite, in the batch of"
    return f"{what} crystals {', '.join(map(str, named[:MOST_NAMED]))}{more} of the dataset"


def invert(batch: CrystalBatch, generator: torch.Generator) -> CrystalBatch:
    """Replace each crystal by its mirror image through the origin with probability one half; the lattice is the same."""
    signs = 1 - 2 * torch.randint(2, (batch.template.n_crystals, 1), generator=generator).float()
    return replace(batch, positions=batch.positions * signs[batch.template.crystal_index])

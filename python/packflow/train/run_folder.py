"""The folder of a run: whose it is, where the run reports, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals

from lightning_fabric import Fabric

from packflow.errors import InputError
from packflow.train.checkpoint import PREFIX, RunConfig, checkpoints_in
from packflow.train.log import BOARD, METRICS, Log, Logs, RunLog
from packflow.train.parallel import gathered
from packflow.train.wandb_log import FOLDER, RUN_ID, WandbLog


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    step:       steps done.
    checkpoint: the last one, None if no step was done.
    stopped_by: the signal that ended it early, None otherwise.
    """

    step: int
    checkpoint: Path | None
    stopped_by: Signals | None


def ended(fabric: Fabric, out: Path, step: int, received: Signals | None) -> TrainResult:
    """How a run ended, the same in every process.

    Args:
        fabric: Of the run.
        out: Its folder.
        step: Steps done.
        received: The signal that this process was sent, if any.
    """
    last = checkpoints_in(out)
    signals = [signal for signal in gathered(fabric, received) if signal is not None]
    return TrainResult(step, last[-1] if last else None, signals[0] if signals else None)


def claim_folder(out: Path, resume: Path | None) -> None:
    """Make the folder of a run, or check that the run in it is the one to go on with; nothing is ever overwritten."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out} cannot be made ({error.strerror}): choose another folder") from error
    found = checkpoints_in(out)
    if resume is None and found:
        raise InputError(f"{out} holds another run: continue it with --resume auto, or choose another --out")
    if resume is not None and found and resume.resolve() != found[-1].resolve():
        raise InputError(f"{out} holds {found[-1].name}, which is not the checkpoint to resume: choose another --out")
    strange = [
        path.name for path in out.iterdir() if path.name not in (METRICS, BOARD, RUN_ID, FOLDER) and not path.name.startswith(PREFIX)
    ]
    if strange:
        raise InputError(f"{out} holds {strange[0]}, which is not of a run: choose another --out")


def log_of(fabric: Fabric, out: Path, config: RunConfig, columns: Sequence[str], step: int, wandb_project: str | None) -> Log:
    """Where this process reports: the first one to files and the terminal, the others nowhere.

    Args:
        fabric: Of the run.
        out: Its folder.
        config: Its configuration.
        columns: Names of the numbers of a step, "step" first.
        step: Steps that are done.
        wandb_project: Where W&B shows it, None for nowhere.
    """
    if not fabric.is_global_zero:
        return Log()
    log = RunLog(out, columns, config.n_steps, step)
    return log if wandb_project is None else Logs(log, WandbLog(wandb_project, out, config, log.line))

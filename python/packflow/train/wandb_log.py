"""Optional reports to Weights & Biases: the columns of the CSV file, and the configuration of the run."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from packflow.errors import InputError
from packflow.train.checkpoint import RunConfig
from packflow.train.log import Log, written

# What stands beside the checkpoints: the run's identity at W&B, and the folder where wandb keeps what is not sent yet.
RUN_ID, FOLDER = "wandb_run_id", "wandb"
FINISH_SECONDS = 60.0  # to send what is left when a run ends; `wandb sync` sends the rest
INSTEAD = "or leave --wandb out"


def wandb_module() -> ModuleType:
    """The package wandb, able to report: it is offline or knows an API key.

    Raises:
        InputError: it is not installed, or not logged in.
    """
    try:
        import wandb
    except ImportError as error:
        raise InputError(f"--wandb needs the package wandb ({error}): pip install 'packflow-csp[wandb]', {INSTEAD}") from error
    try:
        ready = wandb.setup().settings.mode != "online" or wandb.login(prompt=False, verify=False)
    except (wandb.Error, ValueError, OSError) as error:
        raise InputError(f"--wandb: {in_one_line(error)}: mend that, {INSTEAD}") from error
    if not ready:
        raise InputError(f"--wandb: not logged in to Weights & Biases: call `wandb login`, set WANDB_MODE=offline, {INSTEAD}")
    return wandb


class WandbLog(Log):
    """Log of one run at W&B; it never ends a training: after a first failure it warns and reports no more."""

    def __init__(self, project: str, out: Path, config: RunConfig, warn: Callable[[str], None]) -> None:
        """Nothing happens yet.

        Args:
            project: Where W&B shows the run.
            out: The run's folder; it keeps the run's identity and what is not sent yet.
            config: Sent along.
            warn: Takes the line about a failure.
        """
        self._project, self._out, self._config, self._warn = project, out, config, warn
        self._run: Any = None

    def __enter__(self) -> Self:
        """Begin the run at W&B, or go on with the one that the folder belongs to.

        Raises:
            InputError: W&B refuses the run or cannot be reached, or the folder is not writable.
        """
        wandb = wandb_module()
        try:
            self._run = wandb.init(
                project=self._project,
                id=identity(self._out / RUN_ID),
                resume="allow",
                dir=str(self._out),
                name=self._out.resolve().name,
                config=asdict(self._config),
                settings=wandb.Settings(console="off", silent=True, finish_timeout=FINISH_SECONDS),
            )
        except (wandb.Error, ValueError, OSError) as error:
            raise InputError(f"--wandb {self._project}: {in_one_line(error)}: mend that, {INSTEAD}") from error
        # W&B's own count of steps never goes back, but a run does that resumes from its last checkpoint
        self._guarded(lambda: (self._run.define_metric("step"), self._run.define_metric("*", step_metric="step")))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Send what is left, and how the run ended."""
        self._guarded(lambda: self._run.finish(exit_code=0 if kind is None else 1))

    def write(self, step: int, values: dict[str, float]) -> None:
        """One row; the names are those of the CSV file's columns."""
        self._guarded(lambda: self._run.log({"step": step, **values}))

    def _guarded(self, work: Callable[[], object]) -> None:
        if self._run is None:
            return
        try:
            work()
        except Exception as error:  # whatever wandb raises, it is said, and the training is worth more
            self._run = None
            self._warn(f"--wandb: {in_one_line(error)}: nothing more is reported to Weights & Biases, the training goes on")


def identity(file: Path) -> str:
    """The run's identity at W&B, kept in a file; made when there is none."""
    with written(file):
        if not file.is_file():
            file.write_text(secrets.token_hex(8) + "\n")
        return file.read_text().strip()


def in_one_line(error: Exception) -> str:
    """What went wrong, on one line."""
    return " ".join(str(error).split()).rstrip(":.") or type(error).__name__

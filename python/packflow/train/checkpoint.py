"""Checkpoints of a run: folders that are complete or not there, and hold all that the next step depends on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from packflow.disk import flush_to_disk
from packflow.errors import InputError
from packflow.model import PackFlow
from packflow.model.training_record import TrainingRecord
from packflow.model.weights import FORMAT_VERSION, Origin, check_names, check_version, from_dict, load_weights, read_tensors, save_model
from packflow.train.config import TrainConfig
from packflow.train.muon import Muon

MODEL, EMA, OPTIMIZER, PROGRESS = "model.safetensors", "ema.safetensors", "optimizer.safetensors", "progress.json"
REFERENCE = "reference.safetensors"
PREFIX, PARTIAL = "step_", ".partial"

C = TypeVar("C")


class RunConfig(Protocol):
    """What checkpoints ask of the configuration of a run, a dataclass: TrainConfig and AlignConfig are two."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def keep_last(self) -> int:
        """Checkpoints kept."""
        ...

    @property
    def n_steps(self) -> int:
        """Length of the run."""
        ...


@dataclass
class Progress:
    """Where a run stands.

    step:            steps done.
    validation_loss: of these averaged weights; None if they were not validated.
    best_step:       step of the checkpoint with the lowest validation loss, None before the first validation.
    best_loss:       that loss.
    seconds:         time spent in steps, over all parts of the run.
    """

    step: int = 0
    validation_loss: float | None = None
    best_step: int | None = None
    best_loss: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class RunState:
    """All that changes in a run.

    model:      raw weights.
    ema:        averaged weights.
    optimizers: with their moments.
    progress:   where the run stands.
    reference:  weights that never change, which an alignment is measured from; None where there are none.
    seen:       molecules that the weights are trained on; None where that is not known.
    origin:     of the weights that training began with, whose licence stays with what is trained from them; None for one's own.
    """

    model: PackFlow
    ema: PackFlow
    optimizers: Sequence[Optimizer]
    progress: Progress = field(default_factory=Progress)
    reference: PackFlow | None = None
    seen: TrainingRecord | None = None
    origin: Origin | None = None


def checkpoint_name(step: int) -> str:
    """Folder name of the checkpoint after `step` steps."""
    return f"{PREFIX}{step:08d}"


def checkpoints_in(out: Path) -> list[Path]:
    """Complete checkpoints of a run's folder, oldest first."""
    names = sorted(p.name for p in out.glob(f"{PREFIX}*") if p.is_dir() and p.name.removeprefix(PREFIX).isdigit())
    return [out / name for name in names]


def save_checkpoint(out: Path, state: RunState, config: RunConfig) -> Path:
    """Write a checkpoint under a temporary name and rename it, so that an interrupted write leaves none.

    Then remove all older ones but the last `config.keep_last` and the best.

    Raises:
        InputError: the disk is full or not writable.
    """
    final = out / checkpoint_name(state.progress.step)
    partial = final.with_name(final.name + PARTIAL)
    try:
        write_checkpoint(partial, state, config)
        partial.rename(final)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{final} cannot be written ({error}): mend that and resume; earlier checkpoints are complete") from error
    remove_old_checkpoints(out, config.keep_last, state.progress.best_step)
    return final


def write_checkpoint(folder: Path, state: RunState, config: RunConfig) -> None:
    """Write all files of a checkpoint and wait until they are on the disk."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_model(folder / MODEL, state.model, origin=state.origin, record=state.seen)
    save_model(folder / EMA, state.ema, origin=state.origin, record=state.seen)
    if state.reference is not None:
        save_model(folder / REFERENCE, state.reference, origin=state.origin)
    save_file(optimizer_tensors(state), folder / OPTIMIZER)
    record = {"format_version": FORMAT_VERSION, "packflow": package_version(), "progress": asdict(state.progress), "config": asdict(config)}
    (folder / PROGRESS).write_text(json.dumps(record, indent=2) + "\n")
    for path in (*folder.iterdir(), folder):
        flush_to_disk(path)


def remove_old_checkpoints(out: Path, keep_last: int, best_step: int | None) -> None:
    """Keep the last ones and the best; clear away what interrupted writes left."""
    for path in checkpoints_in(out)[:-keep_last]:
        if best_step is None or path.name != checkpoint_name(best_step):
            shutil.rmtree(path)
    for path in out.glob(f"{PREFIX}*{PARTIAL}"):
        shutil.rmtree(path)


def read_config(checkpoint: Path) -> TrainConfig:
    """The configuration that a checkpoint was trained with."""
    return read_config_of(checkpoint, TrainConfig)


def read_config_of(checkpoint: Path, kind: type[C]) -> C:
    """The configuration of a run of another kind."""
    return from_dict(kind, read_progress_file(checkpoint)["config"], checkpoint / PROGRESS)


def load_checkpoint(checkpoint: Path, state: RunState) -> Progress:
    """Copy a checkpoint's tensors into a state of the same configuration.

    Returns:
        Where the run stood.

    Raises:
        InputError: a file is missing, damaged, of another version or of another configuration.
    """
    modules = {MODEL: state.model, EMA: state.ema} | ({REFERENCE: state.reference} if state.reference else {})
    for name, module in modules.items():
        load_weights(module, read_tensors(checkpoint / name)[0], checkpoint / name)
    load_optimizers(state, checkpoint / OPTIMIZER)
    return from_dict(Progress, read_progress_file(checkpoint)["progress"], checkpoint / PROGRESS)


def read_progress_file(checkpoint: Path) -> dict:
    """The checkpoint's JSON, of a version that is known here."""
    file = checkpoint / PROGRESS
    try:
        record = json.loads(file.read_text())
        check_version(record.get("format_version"), file)
        if not {"config", "progress"} <= record.keys():
            raise InputError(f"{file} has no config or no progress: take another checkpoint")
    except OSError as error:
        raise InputError(f"{checkpoint} is no checkpoint, {PROGRESS} cannot be read: give a folder step_... of a run") from error
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise InputError(f"{file} is damaged: take an earlier checkpoint") from error
    return record


def optimizer_tensors(state: RunState) -> dict[str, Tensor]:
    """Moments of all optimizers by name of the parameter and of the moment."""
    names = parameter_names(state.model)
    return {
        f"{names[id(parameter)]}:{key}": value.detach().to("cpu").contiguous()
        for optimizer in state.optimizers
        for parameter, moments in optimizer.state.items()
        for key, value in moments.items()
    }


def load_optimizers(state: RunState, file: Path) -> None:
    """Set the moments of all optimizers; the names must be those that these optimizers have after a step."""
    tensors = read_tensors(file)[0]
    names = parameter_names(state.model)
    expected = {
        f"{names[id(parameter)]}:{key}": parameter.new_zeros(shape)
        for optimizer in state.optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
        for key, shape in moment_shapes(optimizer, parameter).items()
    }
    check_names(expected, tensors, file)
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                keys = moment_shapes(optimizer, parameter)
                optimizer.state[parameter] = {key: tensors[f"{names[id(parameter)]}:{key}"].to(parameter.device) for key in keys}


def moment_shapes(optimizer: Optimizer, parameter: nn.Parameter) -> dict[str, tuple[int, ...]]:
    """Names and shapes of what an optimizer remembers of a parameter."""
    shape = tuple(parameter.shape)
    if isinstance(optimizer, Muon):
        return {"momentum_buffer": shape}
    return {"step": (), "exp_avg": shape, "exp_avg_sq": shape}


def parameter_names(model: nn.Module) -> dict[int, str]:
    """Name of each parameter by its identity."""
    return {id(parameter): name for name, parameter in model.named_parameters()}


def package_version() -> str:
    """Version of the installed package."""
    try:
        return version("packflow-csp")
    except PackageNotFoundError:
        return "unknown"

"""Weights of a PackFlow on disk: one safetensors file whose header holds the model's configuration."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from packflow.errors import InputError
from packflow.model.packflow import OPTIONAL, ModelConfig, PackFlow
from packflow.model.training_record import TrainingRecord

T = TypeVar("T")

FORMAT_VERSION = 1
# In a folder, averaged weights are preferred over raw ones.
WEIGHTS_NAMES = ("ema.safetensors", "model.safetensors")
LOG = logging.getLogger("packflow")


@dataclass(frozen=True)
class Origin:
    """Whose weights a file holds, where they are not packflow's own or the user's.

    source:  where they come from.
    licence: on which terms they may be used.
    """

    source: str
    licence: str

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Origin | None:
        """The origin in a header; None if it has none."""
        known = {"source", "licence"} <= metadata.keys()
        return cls(metadata["source"], metadata["licence"]) if known else None

    def show(self) -> None:
        """Log the terms as a warning: on standard error, unless the program has set up logging otherwise."""
        LOG.warning("weights of %s: licence %s", self.source, self.licence)


def save_model(
    path: Path | str,
    model: PackFlow,
    state: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype = torch.float32,
    origin: Origin | None = None,
    record: TrainingRecord | None = None,
) -> None:
    """Write a model's configuration and weights.

    Args:
        path: File to write, `*.safetensors`.
        model: Gives the configuration, and the weights unless `state` does.
        state: Other weights of the same shapes, such as an average.
        dtype: Stored precision; half precision halves the file and is cast to float32 when loaded.
        origin: Written to the header, and shown whenever the file is loaded.
        record: What it was trained on, written to the header.
    """
    state = model.state_dict() if state is None else state
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in state.items()}
    metadata = {"format_version": str(FORMAT_VERSION), "config": json.dumps(asdict(model.config))}
    save_file(tensors, path, {**metadata, **(asdict(origin) if origin else {}), **(record.metadata() if record else {})})


def load_model(path: Path | str) -> PackFlow:
    """A model in evaluation mode, in float32, on the CPU; the licence of weights of others is logged.

    Args:
        path: A file of `save_model`, or a folder with one: its averaged weights, else its raw ones.

    Raises:
        InputError: nothing is there, the file is damaged, or it is not of this model; one line that names the file.
    """
    model, origin = read_model(path)
    if origin:
        origin.show()
    return model


def read_model(path: Path | str) -> tuple[PackFlow, Origin | None]:
    """`load_model`, with the origin from the header instead of a log entry."""
    file = weights_file(Path(path))
    tensors, metadata = read_tensors(file)
    if "config" not in metadata:
        raise InputError(f"{file} holds no PackFlow configuration: give a file written by packflow")
    check_version(metadata.get("format_version"), file)
    try:
        values = json.loads(metadata["config"])
    except json.JSONDecodeError as error:
        raise InputError(f"{file} has a damaged configuration: copy it again or take an earlier one") from error
    config = from_dict(ModelConfig, values, file)
    with torch.random.fork_rng(devices=[]):  # the initial weights are replaced: leave the caller's random state alone
        model = PackFlow(config)
    load_weights(model, tensors, file)
    return model.eval(), Origin.from_metadata(metadata)


def read_origin(path: Path | str) -> Origin | None:
    """The origin in the header of a file or of the weights in a folder, without reading weights; raises as `load_model`."""
    file = weights_file(Path(path))
    try:
        with safe_open(file, framework="pt") as opened:
            return Origin.from_metadata(opened.metadata() or {})
    except SafetensorError as error:
        raise InputError(f"{file} is damaged or no safetensors file ({error}): copy it again or take an earlier one") from error


def weights_file(path: Path) -> Path:
    """The weights at a path that is a file or a folder."""
    if path.is_dir():
        found = [path / name for name in WEIGHTS_NAMES if (path / name).is_file()]
        if not found:
            raise InputError(f"{path} holds no weights: expected {' or '.join(WEIGHTS_NAMES)} in it")
        return found[0]
    if not path.is_file():
        raise InputError(f"{path} does not exist: give a .safetensors file or a folder with one")
    return path


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file and its metadata."""
    try:
        with safe_open(file, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"{file} is damaged or no safetensors file ({error}): copy it again or take an earlier one") from error
    except FileNotFoundError as error:
        raise InputError(f"{file} does not exist: the folder is incomplete, take another one") from error


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Copy tensors into a module of exactly these names and shapes."""
    expected = module.state_dict()
    check_names(expected, tensors, file)
    module.load_state_dict({name: value.to(expected[name].dtype) for name, value in tensors.items()}, strict=True)


def check_names(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], file: Path) -> None:
    """Refuse tensors that are missing, too many or of another shape."""
    problems = [f"misses {name}" for name in sorted(expected.keys() - tensors.keys())]
    problems += [f"has an unexpected {name}" for name in sorted(tensors.keys() - expected.keys())]
    problems += [
        f"has {name} of shape {tuple(tensors[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & tensors.keys())
        if tensors[name].shape != expected[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise InputError(f"{file} {problems[0]}{more}: it does not belong to this model configuration")


def check_version(version: str | int | None, file: Path) -> None:
    """Refuse files without a version, or of a version that is not known here."""
    if str(version) != str(FORMAT_VERSION):
        raise InputError(f"{file} has format version {version}, this packflow reads {FORMAT_VERSION}: update packflow")


def from_dict(cls: type[T], values: dict[str, Any], file: Path) -> T:
    """Rebuild a tree of dataclasses from the JSON of its `asdict`.

    A field marked optional takes its default where the file has none: files written before there was such a field mean that
    default.

    Raises:
        InputError: a field is unknown, or missing and not optional, or a value is refused by its class.
    """
    names = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    needed = {f.name for f in fields(cls) if not f.metadata.keys() & OPTIONAL.keys()}  # type: ignore[arg-type]
    wrong = [f"unknown field {name}" for name in sorted(values.keys() - names)]
    wrong += [f"no field {name}" for name in sorted(needed - values.keys())]
    if wrong:
        raise InputError(f"{file} has {wrong[0]} in its {cls.__name__}: it was written by another version of packflow")
    types = get_type_hints(cls)
    built = {name: _from_json(types[name], value, file) for name, value in values.items()}
    try:
        return cls(**built)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _from_json(kind: Any, value: Any, file: Path) -> Any:  # noqa: ANN401 - whatever JSON holds
    if is_dataclass(kind):
        return from_dict(kind, value, file)  # type: ignore[arg-type]
    return tuple(value) if isinstance(value, list) else value

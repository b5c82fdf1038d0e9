"""Trained models by name or path: installed with the package, the user's own, or released by the authors of the paper."""

from __future__ import annotations

from pathlib import Path

import packflow
from packflow.errors import InputError
from packflow.model.hub import FILE_NAME, LICENCE, RELEASED, REPOSITORY, find_released
from packflow.model.official import load_official
from packflow.model.packflow import PackFlow
from packflow.model.training_record import TrainingRecord, read_record
from packflow.model.weights import Origin, read_model, read_origin, weights_file

WEIGHTS = Path(packflow.__file__).parent / "weights"
OFFICIAL_SUFFIXES = (".pt", ".pth", ".ckpt")


def pretrained_names() -> list[str]:
    """Names of the weights that are installed with the package."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


def load(name: str | Path = "open-2m", place_embedding: bool = False) -> PackFlow:
    """A trained model in evaluation mode, float32, on the CPU; move it with `.to("cuda")`.

    The licence of weights of others is logged as a warning, which is on standard error by default.

    Args:
        name: Of installed weights; the path of a .safetensors file, of a checkpoint, or of a training run: its last one; the
            path of a .pt file of the authors' code or of a folder with best_model.pt; or "packflow-2m", "packflow-20m",
            "packflow-60m", "packflow-pa", which are looked for in the folder $PACKFLOW_CHECKPOINT_DIR, then on the hub.
        place_embedding: See `official.load_official`; only for files of the authors' code.

    Raises:
        InputError: there is neither such a name nor such a path, or the file is damaged, holds pickled code or is of another
            model; or released weights cannot be fetched.
    """
    model, origin = load_with_origin(name, place_embedding)
    if origin:
        origin.show()
    return model


def load_with_origin(name: str | Path, place_embedding: bool = False) -> tuple[PackFlow, Origin | None]:
    """`load`, with the origin of weights of others instead of a log entry."""
    if str(name) in pretrained_names():
        found, official = WEIGHTS / f"{name}.safetensors", False
    else:
        found, official = find(name)
    if official:
        return load_official(found, place_embedding), Origin(source_of(str(name), found), LICENCE)
    if place_embedding:
        raise InputError(f"place_embedding is for checkpoints of the authors' code only, {found} states its own")
    return read_model(found)


def record_of(name: str | Path) -> TrainingRecord | None:
    """What a trained model says that it was trained on; None for weights that do not say, as those of the authors' code.

    Args:
        name: As for `load`.

    Raises:
        InputError: there are no such weights, or the record is damaged.
    """
    if str(name) in pretrained_names():
        return read_record(WEIGHTS / f"{name}.safetensors")
    found, official = find(name)
    return None if official else read_record(weights_file(found))


def origin_of(name: str | Path) -> Origin | None:
    """Whose weights these are, and on which terms; None for packflow's own and the user's.

    Args:
        name: As for `load`.

    Raises:
        InputError: there are no such weights.
    """
    if str(name) in pretrained_names():
        return read_origin(WEIGHTS / f"{name}.safetensors")
    found, official = find(name)
    return Origin(source_of(str(name), found), LICENCE) if official else read_origin(found)


def find(name: str | Path) -> tuple[Path, bool]:
    """The file or folder of weights, and whether it is of the authors' code."""
    path = Path(name)
    if path.is_dir() and (path / FILE_NAME).is_file():
        return path / FILE_NAME, True
    if path.exists():
        # a name that goes on after the digits is a checkpoint whose writing was interrupted
        checkpoints = sorted(p for p in path.glob("step_*") if p.name.removeprefix("step_").isdigit())
        return checkpoints[-1] if checkpoints else path, path.is_file() and path.suffix in OFFICIAL_SUFFIXES
    if str(name).lower() in RELEASED:
        return find_released(str(name).lower()), True
    known = ", ".join([*pretrained_names(), *RELEASED])
    raise InputError(f"model {str(name)!r} is neither installed or released ({known}) nor a path that exists")


def source_of(name: str, file: Path) -> str:
    """How the origin of a file of the authors' code is told."""
    if name.lower() in RELEASED:
        return f"{REPOSITORY}, {RELEASED[name.lower()][0]}/{FILE_NAME}"
    return f"{file.name}, a checkpoint of the authors' code ({REPOSITORY})"

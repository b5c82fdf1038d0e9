"""Weights that are installed with the package."""

from pathlib import Path

import packflow
from packflow.errors import InputError
from packflow.model.packflow import PackFlow
from packflow.model.weights import load_model

WEIGHTS = Path(packflow.__file__).parent / "weights"


def pretrained_names() -> list[str]:
    """Names that `load` knows."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


def load(name: str | Path = "open-2m") -> PackFlow:
    """A trained model in evaluation mode, float32, on the CPU; move it with `.to("cuda")`.

    Args:
        name: Of installed weights, or the path of a .safetensors file, of a checkpoint, or of a training run: its last one.

    Raises:
        InputError: there is neither such a name nor such a path, or the file is damaged or of another model.
    """
    names = pretrained_names()
    if str(name) in names:
        return load_model(WEIGHTS / f"{name}.safetensors")
    path = Path(name)
    if path.exists():
        # a name that goes on after the digits is a checkpoint whose writing was interrupted
        checkpoints = sorted(p for p in path.glob("step_*") if p.name.removeprefix("step_").isdigit())
        return load_model(checkpoints[-1] if checkpoints else path)
    raise InputError(f"model {str(name)!r} is neither installed ({', '.join(names) or 'none are'}) nor a path that exists")

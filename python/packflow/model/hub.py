"""Where the weights that the authors released are: a folder of the user's, or their repository on the Hugging Face hub."""

from __future__ import annotations

import os
from pathlib import Path

from packflow.errors import InputError

REPOSITORY = "aksub99/packflow-checkpoints"
LICENCE = "CC BY-NC 4.0, no commercial use"
FOLDER_VARIABLE = "PACKFLOW_CHECKPOINT_DIR"
FILE_NAME = "best_model.pt"
# name -> folders that may hold it, the repository's first
RELEASED = {
    "packflow-2m": ("packflow-2M",),
    "packflow-20m": ("packflow-20M",),
    "packflow-60m": ("packflow-ddp", "packflow-60M"),
    "packflow-pa": ("packflow-pa",),
}


def find_released(name: str) -> Path:
    """The file of a released checkpoint: in the folder that $PACKFLOW_CHECKPOINT_DIR names, else downloaded once.

    Args:
        name: A key of RELEASED.

    Raises:
        InputError: the variable names no folder, huggingface_hub is not installed, or the hub does not answer.
    """
    return find_in_folder(name) or download(name)


def find_in_folder(name: str) -> Path | None:
    """`<folder>/packflow-2M/best_model.pt` and the like, the layout of the repository, or None."""
    value = os.environ.get(FOLDER_VARIABLE)
    if not value:
        return None
    folder = Path(value)
    if not folder.is_dir():
        raise InputError(f"environment variable {FOLDER_VARIABLE} must name a folder, got {value!r}")
    candidates = [folder / released / FILE_NAME for released in RELEASED[name]]
    return next((file for file in candidates if file.is_file()), None)


def download(name: str) -> Path:
    """The file in the cache of huggingface_hub, fetched if it is not there."""
    try:
        from huggingface_hub import hf_hub_download  # optional: only released weights need it
    except ImportError as error:
        raise InputError(
            f"model {name!r} needs huggingface_hub: pip install huggingface_hub, or set {FOLDER_VARIABLE} to a folder "
            f"with {RELEASED[name][0]}/{FILE_NAME}"
        ) from error
    wanted = f"{RELEASED[name][0]}/{FILE_NAME}"
    try:
        return Path(hf_hub_download(repo_id=REPOSITORY, filename=wanted))
    except OSError as error:  # the base of all errors of hub and network
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"model {name!r} cannot be fetched from {REPOSITORY} ({reason}): check the connection, or set {FOLDER_VARIABLE} "
            f"to a folder with {wanted}"
        ) from error

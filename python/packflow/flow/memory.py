"""How many atoms fit into the memory at once."""

from __future__ import annotations

import psutil
import torch

from packflow.baseline.engine import Baseline
from packflow.errors import InputError
from packflow.model import PackFlow

# float32 numbers of an atom alive at once, in units of the model's width; the attention keeps none of a pair
LIVE_PER_TOKEN = 24
# of a heavy atom while packings are compressed: its hydrogens, and about 60 neighbors of each
BASELINE_BYTES = 40_000
# more at once do not go faster on a CPU, whose caches they leave; on a GPU steps of this many last longer than their launches
AT_ONCE = {"cpu": 4096, "cuda": 131072}
# of the free memory, for what is not counted
SHARE = 0.5


def device_of(model: PackFlow | Baseline) -> torch.device:
    """Where a model is; baselines work on the CPU."""
    return torch.device("cpu") if isinstance(model, Baseline) else next(model.parameters()).device


def bytes_per_atom(model: PackFlow | Baseline) -> int:
    """Memory that a batch needs for each of its atoms while it is sampled."""
    if isinstance(model, Baseline):
        return BASELINE_BYTES
    return 4 * (LIVE_PER_TOKEN * model.config.d_model + 2 * model.config.d_feedforward)


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device."""
    return int(torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available)


def fitting(model: PackFlow | Baseline, n_workers: int = 1) -> int:
    """Atoms to sample at once: as many as make the device busy, fewer where its free memory is short.

    Args:
        model: On the device that is meant.
        n_workers: Processes that share the memory.
    """
    device = device_of(model)
    room = int(SHARE * free_bytes(device) / n_workers / bytes_per_atom(model))
    return max(1, min(AT_ONCE.get(device.type, AT_ONCE["cpu"]), room))


def check_memory(model: PackFlow | Baseline, largest: int, n_atoms: int, max_atoms: int | None, n_workers: int = 1) -> None:
    """Refuse, before any work, batches that do not fit into the free memory of the machine.

    Args:
        model: On the device that is meant.
        largest: Atoms of the largest crystal.
        n_atoms: Atoms of all crystals.
        max_atoms: Atoms sampled at once; None for as many as fit.
        n_workers: Processes that share the memory.

    Raises:
        InputError: max_atoms is below 1, or a batch does not fit.
    """
    if max_atoms is not None and max_atoms < 1:
        raise InputError(f"max_atoms must be at least 1, got {max_atoms}")
    free = free_bytes(device_of(model))
    at_once = max(largest, min(n_atoms, max_atoms or 1))
    needed = n_workers * at_once * bytes_per_atom(model)
    if needed > free:
        mends = ["lower n_copies" if at_once == largest else "lower max_atoms", *(["use fewer workers"] if n_workers > 1 else [])]
        workers = f" in each of {n_workers} workers" if n_workers > 1 else ""
        raise InputError(
            f"{at_once} atoms at once{workers} need about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free: {' or '.join(mends)}"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or of a native op says that memory could not be had."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)

"""Argument checks shared by every op: an error names the argument, what is wanted and what came."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def check_tensor(
    name: str,
    x: Tensor,
    shape: Sequence[str | int],
    dtypes: torch.dtype | Sequence[torch.dtype],
    device: torch.device | None = None,
) -> dict[str, int]:
    """Check type, dtype, shape and device of one argument.

    Args:
        name: The argument's name, for the message.
        x: The argument.
        shape: Its sizes; a word stands for any size, the same word for the same size.
        dtypes: The one it must have, or those it may have.
        device: Where it must be; anywhere if not given.

    Returns:
        The size that each word of `shape` stands for.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(x).__name__}")
    dtypes = (dtypes,) if isinstance(dtypes, torch.dtype) else tuple(dtypes)
    if x.dtype not in dtypes:
        raise ValueError(f"{name} must have dtype {' or '.join(map(str, dtypes))}, got {x.dtype}")
    sizes: dict[str, int] = {}
    wanted = [sizes.setdefault(want, got) if isinstance(want, str) else want for want, got in zip(shape, x.shape, strict=False)]
    if x.dim() != len(shape) or wanted != list(x.shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {tuple(x.shape)}")
    if device is not None and x.device != device:
        raise ValueError(f"{name} must be on {device}, got {x.device}")
    return sizes

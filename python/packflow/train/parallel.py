"""Processes of one run, started by torchrun: they share gradients, decisions and mistakes. One process alone shares nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from packflow.errors import InputError

T = TypeVar("T")


def launched(device: str, precision: str) -> Fabric:
    """Device and precision of this process, connected to the others if torchrun started several.

    Args:
        device: "auto", "cpu" or "cuda".
        precision: Of the arithmetic, as Fabric names it.

    Raises:
        InputError: there is no GPU, or not one for each process.
    """
    n_processes, n_here = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cuda" and n_gpus == 0:
        raise InputError("--device cuda: this machine has no GPU that torch can use; take --device cpu")
    if device != "cpu" and 0 < n_gpus < n_here:
        raise InputError(f"--nproc-per-node {n_here} needs as many GPUs, this machine has {n_gpus}: start fewer, or take --device cpu")
    if n_processes == 1:
        return Fabric(accelerator=device, devices=1, precision=precision)  # type: ignore[arg-type]
    n_nodes = n_processes // n_here
    fabric = Fabric(accelerator=device, strategy="ddp", devices=n_here, num_nodes=n_nodes, precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    return fabric


def is_first() -> bool:
    """Whether this process is the one that writes and reports."""
    return os.environ.get("RANK", "0") == "0"


def add_up(fabric: Fabric, tensor: Tensor) -> Tensor:
    """Sum over the processes of a tensor that each of them has in the same shape."""
    return tensor if fabric.world_size == 1 else fabric.all_reduce(tensor, reduce_op="sum")  # type: ignore[return-value]


def add_up_gradients(fabric: Fabric, parameters: Sequence[nn.Parameter]) -> None:
    """Replace all gradients by their sums over the processes, in one exchange; the same bits in each process."""
    if fabric.world_size == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    total = add_up(fabric, torch.cat([gradient.flatten() for gradient in gradients]))
    parts = total.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)])


def gathered(fabric: Fabric, value: T) -> list[T]:
    """What each process has, in their order."""
    if fabric.world_size == 1:
        return [value]
    values: list[T | None] = [None] * fabric.world_size
    torch.distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def any_of(fabric: Fabric, flag: bool) -> bool:
    """Whether the flag is set in any process."""
    return flag if fabric.world_size == 1 else bool(add_up(fabric, torch.tensor(float(flag), device=fabric.device)) > 0)


def first_alone(fabric: Fabric, work: Callable[[], None]) -> None:
    """Do something in the first process while the others wait; a mistake ends them all, not only the one that sees it.

    Raises:
        InputError: that of `work`, in every process.
    """
    problem: InputError | None = None
    if fabric.is_global_zero:
        try:
            work()
        except InputError as error:
            problem = error
    message = fabric.broadcast(problem and str(problem))
    if message is not None:
        raise problem or InputError(message)

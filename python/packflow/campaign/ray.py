"""Engine: tasks on a Ray cluster; Ray does the work of lost nodes again. Only the process that called writes to the store."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch

from packflow.campaign.plan import Unit
from packflow.campaign.processes import TRIES, device_type, model_bytes, model_of
from packflow.campaign.shard import Result, Sampling, sample_unit
from packflow.errors import InputError
from packflow.model import PackFlow

# units that wait for each core of the cluster, so that none is idle while a shard is written
PER_CORE = 2
SECONDS_TO_CONNECT = 5.0
# models of this worker process, by campaign
_models: dict[tuple[str, str], PackFlow] = {}


def cluster(model: PackFlow, sampling: Sampling, units: Iterator[Unit], address: str = "", n_threads: int = 1) -> Iterator[Result]:
    """Sample units as tasks of a Ray cluster on whose machines packflow is installed.

    Args:
        model: On the device that is meant: a task on cuda takes a whole GPU.
        sampling: How.
        units: Asked for as there is room for them.
        address: Of the cluster, as host:port or ray://host:port; "" starts one on this machine.
        n_threads: CPU cores of a task, at least 1.

    Returns:
        Results in the order in which they are done; a unit that failed three times has a problem.

    Raises:
        InputError: ray is not installed, there is no cluster at the address, or n_threads is below 1.
    """
    if n_threads < 1:
        raise InputError(f"threads must be at least 1, got {n_threads}")
    ray, ours = connect(address)
    return results(ray, ours, model, sampling, units, n_threads)


def results(ray: ModuleType, ours: bool, model: PackFlow, sampling: Sampling, units: Iterator[Unit], n_threads: int) -> Iterator[Result]:
    """Results of all units; ends the connection if it is ours."""
    device = device_type(model)
    options = {"num_cpus": n_threads, "num_gpus": int(device == "cuda"), "max_retries": TRIES - 1, "retry_exceptions": True}
    task = ray.remote(**options)(sample_there)
    # in a list, so that a worker fetches the weights once and not with every task
    weights = [ray.put(model_bytes(model))]
    running: dict[Any, Unit] = {}
    try:
        while True:
            room = PER_CORE * max(1, int(ray.cluster_resources().get("CPU", 1)) // n_threads)
            while len(running) < room and (unit := next(units, None)) is not None:
                running[task.remote(weights, device, unit, sampling, n_threads)] = unit
            if not running:
                return
            for done in ray.wait(list(running), num_returns=1)[0]:
                yield fetched(ray, done, running.pop(done))
    finally:
        for task_of in running:
            ray.cancel(task_of, force=True)
        if ours:
            ray.shutdown()


def fetched(ray: ModuleType, done: object, unit: Unit) -> Result:
    """The result of a task that is done or was given up."""
    try:
        return Result(unit, ray.get(done))
    except ray.exceptions.RayError as error:
        return Result(unit, b"", f"{TRIES} tasks failed: {next(iter(str(error).strip().splitlines()[-1:]), type(error).__name__)}")


def connect(address: str) -> tuple[ModuleType, bool]:
    """Ray, connected to a cluster, and whether the connection was made here."""
    try:
        import ray
    except ImportError as error:
        raise InputError("engine ray needs ray: pip install 'packflow-csp[ray]'") from error
    if ray.is_initialized():
        return ray, False
    check_reachable(address)
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"no Ray cluster at address {address!r}: {reason}") from error
    return ray, True


def check_reachable(address: str) -> None:
    """Refuse an address where nobody answers: Ray itself tries for a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        if address in ("", "auto", "local"):
            return
        raise InputError(f"address must be host:port or ray://host:port, got {address!r}")
    try:
        socket.create_connection((host, int(port)), SECONDS_TO_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"no Ray cluster at address {address!r}: {error}") from error


def sample_there(weights: list[Any], device: str, unit: Unit, sampling: Sampling, n_threads: int) -> bytes:
    """A task: the shard of a unit, by the model that this process keeps."""
    import ray

    torch.set_num_threads(n_threads)
    key = (sampling.campaign, device)
    if key not in _models:
        _models.clear()
        _models[key] = model_of(ray.get(weights[0]), device)
    return sample_unit(_models[key], unit, sampling)

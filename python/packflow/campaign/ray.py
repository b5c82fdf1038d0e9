"""Executor: tasks on a Ray cluster; Ray does the work of lost nodes again. Only the process that called writes to the store."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch

from packflow.campaign.processes import TRIES
from packflow.campaign.work import Done, Piece, Work, device_type, work_bytes, work_of
from packflow.errors import InputError

# units that wait for each core of the cluster, so that none is idle while a shard is written
PER_CORE = 2
SECONDS_TO_CONNECT = 5.0
# the work of this worker process, by campaign and device
_works: dict[tuple[str, str], Work] = {}


def cluster(work: Work, units: Iterator[Piece], address: str = "", n_threads: int = 1) -> Iterator[Done]:
    """Do units as tasks of a Ray cluster on whose machines packflow is installed.

    Args:
        work: On the device that is meant: a task on cuda takes a whole GPU.
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
    return results(ray, ours, work, units, n_threads)


def results(ray: ModuleType, ours: bool, work: Work, units: Iterator[Piece], n_threads: int) -> Iterator[Done]:
    """Results of all units; ends the connection if it is ours."""
    device = device_type(work)
    options = {"num_cpus": n_threads, "num_gpus": int(device == "cuda"), "max_retries": TRIES - 1, "retry_exceptions": True}
    task = ray.remote(**options)(do_there)
    # in a list, so that a worker fetches it once and not with every task
    put = [ray.put(work_bytes(work))]
    running: dict[Any, Piece] = {}
    try:
        while True:
            room = PER_CORE * max(1, int(ray.cluster_resources().get("CPU", 1)) // n_threads)
            while len(running) < room and (unit := next(units, None)) is not None:
                running[task.remote(put, work.campaign, device, unit, n_threads)] = unit
            if not running:
                return
            for done in ray.wait(list(running), num_returns=1)[0]:
                yield fetched(ray, done, running.pop(done))
    finally:
        for task_of in running:
            ray.cancel(task_of, force=True)
        if ours:
            ray.shutdown()


def fetched(ray: ModuleType, done: object, unit: Piece) -> Done:
    """The result of a task that is done or was given up."""
    try:
        return Done(unit, ray.get(done))
    except ray.exceptions.RayError as error:
        return Done(unit, b"", f"{TRIES} tasks failed: {next(iter(str(error).strip().splitlines()[-1:]), type(error).__name__)}")


def connect(address: str) -> tuple[ModuleType, bool]:
    """Ray, connected to a cluster, and whether the connection was made here."""
    try:
        import ray
    except ImportError as error:
        raise InputError("executor ray needs ray: pip install 'packflow-csp[ray]'") from error
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


def do_there(put: list[Any], campaign: str, device: str, unit: Piece, n_threads: int) -> bytes:
    """A task: the shard of a unit, by the work that this process keeps."""
    import ray

    torch.set_num_threads(n_threads)
    key = (campaign, device)
    if key not in _works:
        _works.clear()
        _works[key] = work_of(ray.get(put[0]), device)
    return _works[key](unit)

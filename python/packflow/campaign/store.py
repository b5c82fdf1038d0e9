"""Store: a folder with the proposals of a campaign, shard by shard, and what they were made of."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from packflow.baseline.engine import Baseline
from packflow.campaign.disk import PARTIAL, write_atomically
from packflow.campaign.job import Job
from packflow.campaign.job_files import jobs_text
from packflow.campaign.manifest import LOCK, MANIFEST, begun_manifest, campaign_digest, check_same, made_by, manifest_of
from packflow.campaign.plan import Plan, Unit
from packflow.campaign.shard import Footer, Result, Sampling, read_footer
from packflow.errors import InputError
from packflow.flow.acceptance import Checks, Tally
from packflow.flow.memory import check_memory, fitting
from packflow.flow.sampler import SampleConfig
from packflow.model import PackFlow

JOBS, SHARDS = "jobs.csv", "shards"
MODEL_ENGINE = "packflow"
# shards of a folder, so that no folder becomes slow
PER_FOLDER = 1000


class Store:
    """Writes the shards of a campaign; the unit whose shard is there is done.

    manifest.json: format, weights (digest) or engine, seed, how it samples, what is checked, unit_atoms, digest of the jobs, counts.
    jobs.csv:      the jobs, as `--input` reads them.
    shards/:       <unit // 1000>/<unit>.parquet, see `packflow.campaign.shard`.

    One process at a time writes; the others may read. Every file is complete or not there.
    """

    def __init__(self, path: Path, plan: Plan, sampling: Sampling, lock: TextIO) -> None:
        """Use `open_store`."""
        self.path = path
        self.plan = plan
        self.sampling = sampling
        self.done = np.zeros(plan.n_units, dtype=bool)
        self.n_done = self.n_usable = 0
        self.tally = Tally()
        self._lock = lock

    def close(self) -> None:
        """Let other processes write."""
        self._lock.close()

    def __enter__(self) -> Store:
        """The store, open for writing."""
        return self

    def __exit__(self, *error: object) -> None:
        """Let other processes write."""
        self.close()

    def missing(self) -> Iterator[Unit]:
        """Units without a shard, made when they are asked for."""
        return (self.plan.unit(int(number)) for number in np.flatnonzero(~self.done))

    def write(self, result: Result) -> None:
        """Write the shard of a unit.

        Raises:
            InputError: the disk is full or not writable; the shards that are there stay.
        """
        footer = read_footer(result.data)
        write_atomically(shard_path(self.path, footer.unit), result.data)
        self._count(footer)

    def scan(self) -> None:
        """Find the units that are done, and clear away what interrupted writes left.

        Raises:
            InputError: a shard is damaged, or of another campaign.
        """
        sizes = self.plan.sizes
        for path in shard_paths(self.path):
            footer = read_footer(path)
            ours = footer.campaign == self.sampling.campaign and path == shard_path(self.path, footer.unit)
            if not ours or footer.unit >= self.plan.n_units or footer.n_rows != sizes[footer.unit]:
                raise InputError(f"{path} is not of this campaign: remove it and its proposals are sampled again")
            self._count(footer)
        for leftover in (*self.path.glob(f".*{PARTIAL}"), *self.path.glob(f"{SHARDS}/*/.*{PARTIAL}")):
            leftover.unlink(missing_ok=True)

    def _count(self, footer: Footer) -> None:
        self.done[footer.unit] = True
        self.n_done += footer.n_rows
        self.n_usable += footer.n_usable
        self.tally += footer.tally


def open_store(
    path: str | Path,
    model: PackFlow | Baseline,
    jobs: Sequence[Job],
    config: SampleConfig | None = None,
    seed: int = 0,
    max_atoms: int | None = None,
    checks: Checks | None = None,
    n_workers: int = 1,
) -> Store:
    """Make a store, or open the one that the same campaign has begun.

    Args:
        path: Folder that does not exist, is empty, or is a store of the same weights or engine, jobs, seed, config and checks.
        model: Weights, or a baseline.
        jobs: At least one.
        config: How the flow is integrated.
        seed: Of all jobs, 0 or more: proposal k of a job is made from the noise of (seed, k).
        max_atoms: Atoms sampled at once, None for as many as suit the device and its free memory. A unit has as many; one that was begun
            keeps the units that it was begun with.
        checks: What is flagged, and how often it is then sampled again.
        n_workers: Processes that will share the memory of a device.

    Returns:
        The store, open for writing.

    Raises:
        InputError: the folder holds something else, was made with other settings, is damaged, in use or not writable; a count is
            below 1, or one crystal needs more memory than there is.
    """
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}")
    path, table = Path(path), jobs_text(jobs).encode()
    config, checks = config or SampleConfig(), checks or Checks()
    made_of = {
        **made_by(model, config),
        "jobs": hashlib.sha256(table).hexdigest(),
        "seed": seed,
        "checks": asdict(checks),
    }
    begun = begun_manifest(path)
    if begun:
        # a manifest that names no engine is of a model
        model_made: dict[str, Any] = {"engine": MODEL_ENGINE}
        check_same(path, model_made | begun["made_of"], model_made | made_of)
    at_once = fitting(model, n_workers) if max_atoms is None else max_atoms
    plan = Plan(jobs, begun["unit_atoms"] if begun else at_once)
    n_atoms = sum(job.n_atoms * job.n_samples for job in jobs)
    check_memory(model, max(job.n_atoms for job in jobs), n_atoms, min(at_once, plan.unit_atoms), n_workers)
    campaign = campaign_digest(made_of, plan.unit_atoms)
    store = Store(path, plan, Sampling(campaign, seed, config, checks, at_once), lock_folder(path))
    try:
        if not begun:
            write_atomically(path / MANIFEST, manifest_of(plan, made_of))
        write_jobs(path / JOBS, table)
        store.scan()
    except InputError:
        store.close()
        raise
    return store


def write_jobs(file: Path, table: bytes) -> None:
    """Write jobs.csv; it is missing where the first command was killed right after the manifest."""
    if not file.exists():
        write_atomically(file, table)
    elif file.read_bytes() != table:
        raise InputError(f"{file} was changed: remove it and give the same command again")


def lock_folder(path: Path) -> TextIO:
    """Make the folder and keep other processes from writing to it, until the file that is returned is closed."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / LOCK).open("w")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): choose another folder") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise InputError(f"{path} is in use by another packflow: wait for it, or stop it") from error
    return lock


def shard_path(store: Path, unit: int) -> Path:
    """File of a unit's shard."""
    return store / SHARDS / f"{unit // PER_FOLDER:05d}" / f"{unit:08d}.parquet"


def shard_paths(store: Path) -> Iterator[Path]:
    """Shards of a store in the order of their units."""
    for folder in sorted((store / SHARDS).glob("*")):
        yield from sorted(folder.glob("[!.]*.parquet"))

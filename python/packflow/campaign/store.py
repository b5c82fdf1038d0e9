"""Store: a folder with the proposals of a campaign, shard by shard, and what they were made of."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from packflow.campaign.disk import PARTIAL, write_atomically
from packflow.campaign.job import Job
from packflow.campaign.job_files import jobs_text
from packflow.campaign.plan import Plan, Unit
from packflow.campaign.shard import Footer, Result, Sampling, read_footer
from packflow.errors import InputError
from packflow.flow.sampler import SampleConfig, check_memory
from packflow.model import PackFlow

FORMAT, FORMAT_VERSION = "packflow campaign", 1
MANIFEST, JOBS, SHARDS, LOCK = "manifest.json", "jobs.csv", "shards", ".lock"
# shards of a folder, so that no folder becomes slow
PER_FOLDER = 1000


class Store:
    """Writes the shards of a campaign; the unit whose shard is there is done.

    manifest.json: format, weights (digest), seed, how the flow is integrated, unit_atoms, digest of the jobs, counts.
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


def open_store(
    path: str | Path, model: PackFlow, jobs: Sequence[Job], config: SampleConfig | None = None, seed: int = 0, max_atoms: int = 4096
) -> Store:
    """Make a store, or open the one that the same campaign has begun.

    Args:
        path: Folder that does not exist, is empty, or is a store of the same weights, jobs, seed and config.
        model: Weights.
        jobs: At least one.
        config: How the flow is integrated.
        seed: Of all jobs, 0 or more: proposal k of a job is made from the noise of (seed, k).
        max_atoms: Atoms sampled at once. A unit has as many; one that was begun keeps the units that it was begun with.

    Returns:
        The store, open for writing.

    Raises:
        InputError: the folder holds something else, was made with other settings, is damaged, in use or not writable; a count is
            below 1, or one crystal needs more memory than there is.
    """
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}")
    path, config, table = Path(path), config or SampleConfig(), jobs_text(jobs).encode()
    made_of = {
        "weights": weights_digest(model),
        "jobs": hashlib.sha256(table).hexdigest(),
        "seed": seed,
        "sample": json.loads(json.dumps(asdict(config))),
    }
    begun = begun_manifest(path)
    if begun:
        check_same(path, begun["made_of"], made_of)
    plan = Plan(jobs, begun["unit_atoms"] if begun else max_atoms)
    n_atoms = sum(job.n_atoms * job.n_samples for job in jobs)
    check_memory(model, max(job.n_atoms for job in jobs), n_atoms, min(max_atoms, plan.unit_atoms))
    campaign = hashlib.sha256(json.dumps({**made_of, "unit_atoms": plan.unit_atoms}, sort_keys=True).encode()).hexdigest()
    store = Store(path, plan, Sampling(campaign, seed, config, max_atoms), lock_folder(path))
    try:
        if not begun:
            write_atomically(path / MANIFEST, manifest_of(plan, made_of))
        write_jobs(path / JOBS, table)
        store.scan()
    except InputError:
        store.close()
        raise
    return store


def manifest_of(plan: Plan, made_of: dict[str, Any]) -> bytes:
    """The text of a manifest."""
    counts = {"n_jobs": len(plan.jobs), "n_proposals": plan.n_proposals, "n_units": plan.n_units}
    about = {"format": FORMAT, "format_version": FORMAT_VERSION, "packflow": version("packflow-csp")}
    return (json.dumps({**about, "made_of": made_of, "unit_atoms": plan.unit_atoms, **counts}, indent=2) + "\n").encode()


def begun_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of a folder, or None where a store may be made.

    Raises:
        InputError: the folder holds something else, or as `read_manifest`.
    """
    if (path / MANIFEST).exists():
        return read_manifest(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is no folder: choose another name")
    if path.is_dir() and any(p.name != LOCK and not p.name.endswith(PARTIAL) for p in path.iterdir()):
        raise InputError(f"{path} holds files already and no campaign ({MANIFEST} is missing); nothing in it was changed")
    return None


def read_manifest(path: Path) -> dict[str, Any]:
    """What a store says of itself.

    Raises:
        InputError: there is no store, or its manifest is damaged or of another version.
    """
    file = path / MANIFEST
    try:
        found = json.loads(file.read_text())
    except OSError as error:
        raise InputError(f"{path} is no store of a campaign: {MANIFEST} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{file} is damaged: the shards beside it are untouched") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{file} is not that of a campaign; nothing in {path} was changed")
    if found.get("format_version") != FORMAT_VERSION:
        raise InputError(f"{file} has format version {found.get('format_version')}, this packflow reads {FORMAT_VERSION}: update packflow")
    if not isinstance(found.get("made_of"), dict) or not isinstance(found.get("unit_atoms"), int):
        raise InputError(f"{file} is damaged, made_of or unit_atoms is missing: the shards beside it are untouched")
    return found


def check_same(path: Path, begun: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse to continue with other weights, jobs or settings, and name the first that differs."""
    for name in sorted(begun.keys() | wanted.keys()):
        one, other = begun.get(name), wanted.get(name)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            check_same(path, one, other)
        shown = "other ones" if name in ("weights", "jobs") else f"{one}, got {other}"
        raise InputError(f"{path} was begun with {name} {shown}: give what it was begun with, or another folder")


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


def weights_digest(model: PackFlow) -> str:
    """SHA-256 of a model's configuration and weights, wherever they are."""
    digest = hashlib.sha256(json.dumps(asdict(model.config), sort_keys=True, default=str).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def shard_path(store: Path, unit: int) -> Path:
    """File of a unit's shard."""
    return store / SHARDS / f"{unit // PER_FOLDER:05d}" / f"{unit:08d}.parquet"


def shard_paths(store: Path) -> Iterator[Path]:
    """Shards of a store in the order of their units."""
    for folder in sorted((store / SHARDS).glob("*")):
        yield from sorted(folder.glob("[!.]*.parquet"))

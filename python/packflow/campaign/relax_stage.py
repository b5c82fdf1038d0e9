"""The relaxation of a store's proposals, in the same folder: a shard for each unit, so that it can be cut off and continued."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import torch

from packflow.campaign.disk import PARTIAL, write_atomically
from packflow.campaign.manifest import MANIFEST, Form, begun_manifest, check_same, manifest_text, read_manifest
from packflow.campaign.proposal_source import ProposalSource, ProposalUnit, find_proposals
from packflow.campaign.relaxation import Relaxation, parameters_of, relax_proposals
from packflow.campaign.relaxed_shard import Counts, RelaxedFooter, read_relaxed_footer, relaxed_shard
from packflow.campaign.shard import read_shard
from packflow.campaign.store import SHARDS, lock_folder, shard_path, shard_paths
from packflow.campaign.work import Done, Executor, carried_on
from packflow.errors import InputError
from packflow.potential import Potential, potential_of

FOLDER = "relaxed"
RELAXATION = Form("packflow relaxation", 1, "relaxation", (), "give what it was begun with, or move that folder away to relax anew")


@dataclass(frozen=True)
class RelaxWork:
    """Relaxing as `packflow.campaign.work.Work`.

    campaign:  digest of what the results depend on.
    settings:  how.
    device:    where.
    name:      of the potential, by which other processes make it anew; empty if they are to be sent it.
    potential: ready on the device; None while it travels.
    """

    campaign: str
    settings: Relaxation
    device: str
    name: str
    potential: Potential | None

    def __call__(self, unit: ProposalUnit) -> bytes:
        """Relax the proposals of a unit."""
        assert self.potential is not None
        rows = unit.rows()
        outcomes = relax_proposals(self.potential, rows, self.settings, self.device)
        return relaxed_shard(rows, outcomes, unit.number, self.campaign)

    def portable(self) -> RelaxWork:
        """Without what is loaded."""
        return replace(self, potential=None) if self.name else self

    def to(self, device: str) -> RelaxWork:
        """With the potential on a device."""
        # networks of other packages take the current GPU
        if device.startswith("cuda:"):
            torch.cuda.set_device(device)
        return replace(self, device=device, potential=potential_of(self.name, device) if self.name else self.potential)


class RelaxStage:
    """Writes the shards of a relaxation; the unit whose shard is there is done.

    relaxed/manifest.json: format, digest of the proposals, potential, settings.
    relaxed/shards/:       as those of the store, numbers too; see `packflow.campaign.relaxed_shard`.

    One process at a time writes; the others may read, and `packflow sample` may go on meanwhile. Every file is complete or not there.
    """

    def __init__(self, source: ProposalSource, work: RelaxWork, lock: TextIO) -> None:
        """Use `open_stage`."""
        self.source = source
        self.work = work
        self.path = source.path / FOLDER
        self.done: set[int] = set()
        self.counts = Counts()
        self._lock = lock

    def close(self) -> None:
        """Let other processes write."""
        self._lock.close()

    def __enter__(self) -> RelaxStage:
        """The stage, open for writing."""
        return self

    def __exit__(self, *error: object) -> None:
        """Let other processes write."""
        self.close()

    def missing(self) -> Iterator[ProposalUnit]:
        """Units that were sampled and have no shard, read when they are asked for."""
        return self.source.units(number for number in sorted(self.source.portions) if number not in self.done)

    def write(self, done: Done) -> None:
        """Write the shard of a unit.

        Raises:
            InputError: the disk is full or not writable; the shards that are there stay.
        """
        footer = read_relaxed_footer(done.data)
        write_atomically(shard_path(self.path, footer.unit), done.data)
        self._count(footer)

    def scan(self) -> None:
        """Find the units that are done, and clear away what interrupted writes left.

        Raises:
            InputError: a shard is damaged, or of another relaxation.
        """
        for path in shard_paths(self.path):
            footer = read_relaxed_footer(path)
            portion = self.source.portions.get(footer.unit)
            ours = footer.stage == self.work.campaign and path == shard_path(self.path, footer.unit)
            if not ours or (portion is not None and footer.counts.n_proposals != portion.stop - portion.start):
                raise InputError(f"{path} is not of this relaxation: remove it and its proposals are relaxed again")
            # one whose proposals are not there, because their shard was removed, counts again when they are
            if portion is not None:
                self._count(footer)
        for leftover in (*self.path.glob(f".*{PARTIAL}"), *self.path.glob(f"{SHARDS}/*/.*{PARTIAL}")):
            leftover.unlink(missing_ok=True)

    def _count(self, footer: RelaxedFooter) -> None:
        self.done.add(footer.unit)
        self.counts += footer.counts


def open_stage(
    store: str | Path, potential: str | Potential = "mmff", settings: Relaxation | None = None, device: str = "cpu", name: str = ""
) -> RelaxStage:
    """Begin to relax the proposals of a store, or go on.

    Args:
        store: Folder that `packflow sample` wrote, with --input or a SMILES, finished or not.
        potential: A name, see `packflow.potential.potential_of`; or a potential, on its device.
        settings: How.
        device: Where, as torch calls it.
        name: Of a potential that is given itself, by which other processes can make it anew; without it they are sent a pickled copy.

    Returns:
        The stage, open for writing.

    Raises:
        InputError: no such potential, or what it needs is not there; the folder holds no proposals; the stage was begun with another
            potential, other settings or other proposals; it is damaged, in use or not writable.
    """
    settings, source = settings or Relaxation(), find_proposals(store)
    if isinstance(potential, str):
        name, potential = potential, potential_of(potential, device)
    made_of = made_of_stage(source.digest, potential, name or potential.name, settings)
    begun = check_stage(source.path, made_of)
    path = source.path / FOLDER
    stage = RelaxStage(source, RelaxWork(stage_digest(made_of), settings, device, name, potential), lock_folder(path))
    try:
        if not begun:
            write_atomically(path / MANIFEST, manifest_text(RELAXATION, {"made_of": made_of}))
        stage.scan()
    except InputError:
        stage.close()
        raise
    return stage


def made_of_stage(proposals: str, potential: Potential, name: str, settings: Relaxation) -> dict[str, Any]:
    """What relaxed crystals depend on, as the manifest states it. proposals: digest; name: of the potential"""
    about = {"potential": name, "potential_parameters": parameters_of(potential), "proposals": proposals}
    made_of: dict[str, Any] = json.loads(json.dumps(about | {"relaxation": settings.described()}))
    return made_of


def check_stage(store: Path, made_of: dict[str, Any]) -> bool:
    """Whether the relaxation of a store was begun; raises InputError if with something else, or if that folder holds something else."""
    begun = begun_manifest(store / FOLDER, RELAXATION)
    if begun:
        check_same(store / FOLDER, begun["made_of"], made_of, RELAXATION)
    return begun is not None


def stage_digest(made_of: dict[str, Any]) -> str:
    """Of what relaxed crystals depend on; shards state it."""
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def relax_store(
    store: str | Path,
    potential: str | Potential = "mmff",
    settings: Relaxation | None = None,
    device: str = "cpu",
    executor: Executor | None = None,
) -> Iterator[Done]:
    """Relax the proposals of a store that are not relaxed yet, and yield what was written.

    Results do not depend on where an earlier call was cut off, nor on the executor.

    Args:
        store: As `open_stage`, and so the next three.
        potential: What energies are by.
        settings: How.
        device: Where.
        executor: `packflow.campaign.work.here`, or one of `processes` and `cluster` with `functools.partial`.

    Returns:
        The units, each when its shard is on the disk; those that were given up have a problem.

    Raises:
        InputError: as `open_stage`, or the executor cannot start, now; a shard cannot be read or written, in the iterator.
    """
    stage = open_stage(store, potential, settings, device)
    return carried_on(stage.work, stage.missing(), stage, executor)


def read_relaxed(store: str | Path) -> Iterator[dict[str, Any]]:
    """Rows of the relaxed proposals of a store, in the order of its units.

    Raises:
        InputError: nothing was relaxed, or as `packflow.campaign.manifest.read_manifest`, now; a shard is damaged or of another
            relaxation, in the iterator.
    """
    path = Path(store) / FOLDER
    if not (path / MANIFEST).exists():
        find_proposals(store)
        raise InputError(f"{store} holds no relaxed proposals: call packflow relax {store} first")
    digest = stage_digest(read_manifest(path, RELAXATION)["made_of"])
    return rows_of_stage(path, digest)


def rows_of_stage(path: Path, digest: str) -> Iterator[dict[str, Any]]:
    """`read_relaxed`, from the first row on."""
    for file in shard_paths(path):
        if read_relaxed_footer(file).stage != digest:
            raise InputError(f"{file} is not of this relaxation: remove it and its proposals are relaxed again")
        yield from read_shard(file, "relaxed").to_pylist()


def stage_of(store: str | Path) -> dict[str, Any]:
    """What the relaxation of a store was made of, see `made_of_stage`; raises InputError as `read_relaxed`."""
    made_of: dict[str, Any] = read_manifest(Path(store) / FOLDER, RELAXATION)["made_of"]
    return made_of

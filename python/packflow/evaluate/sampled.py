"""Proposals of an engine for all templates of a test set, in stores that are continued, and what their sampling took."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from packflow.baseline import GenarrisConfig, PyxtalConfig
from packflow.campaign.job_files import jobs_text
from packflow.campaign.manifest import begun_manifest
from packflow.campaign.progress import check_none_given_up, with_progress
from packflow.campaign.proposal_source import find_proposals
from packflow.campaign.run import SampleWork
from packflow.campaign.store import open_store
from packflow.campaign.work import Executor, carried_on, here
from packflow.errors import InputError
from packflow.evaluate.engines import EngineName
from packflow.evaluate.test_set import Case
from packflow.evaluate.times import Times, read_times, timed
from packflow.flow.acceptance import Checks
from packflow.flow.sampler import SampleConfig

PROPOSALS, TIMES = "proposals", "seconds.json"


@dataclass(frozen=True)
class Workers:
    """Who samples and judges.

    executor:   as of a campaign.
    number:     of its processes; 0 for a cluster, which has as many as it has.
    per_device: those that share the memory of a device.
    """

    executor: Executor = here
    number: int = 1
    per_device: int = 1


@dataclass(frozen=True)
class SamplingOptions:
    """How all engines are sampled.

    n_samples: proposals of each template.
    seed:      proposal k of a template is made from the noise of (seed, k).
    config:    how the flow is integrated.
    checks:    what is flagged, and how often it is then sampled again.
    max_atoms: atoms sampled at once; None for as many as suit the device.
    device:    of the networks, as torch calls it.
    pyxtal:    how PyXtal draws, where it is an engine.
    genarris:  how Genarris is run, where it is one.
    workers:   who samples and judges; nothing that is found depends on it.
    """

    n_samples: int = 20
    seed: int = 0
    config: SampleConfig | None = None
    checks: Checks | None = None
    max_atoms: int | None = None
    device: str = "cpu"
    pyxtal: PyxtalConfig = field(default_factory=PyxtalConfig)
    genarris: GenarrisConfig = field(default_factory=GenarrisConfig)
    workers: Workers = field(default_factory=Workers)

    def __post_init__(self) -> None:
        """Refuse a number of samples that no mean has."""
        if self.n_samples < 1:
            raise InputError(f"n_samples must be at least 1, got {self.n_samples}")


@dataclass(frozen=True)
class Stretch:
    """Proposals first to first + number - 1 of each template, which are a store of their own: no store can grow.

    path:        of the store.
    first:       index of the first proposal of each template.
    number:      proposals of each template.
    jobs_digest: of what the store was begun with; empty if it is still to be made.
    """

    path: Path
    first: int
    number: int
    jobs_digest: str = ""

    @property
    def begun(self) -> bool:
        """Whether it is there."""
        return bool(self.jobs_digest)


def stretches(folder: Path, n_samples: int) -> list[Stretch]:
    """The stores that hold the first n_samples proposals of each template: those that are there, then one for the rest.

    Args:
        folder: Of an engine.
        n_samples: Proposals of each template that are wanted; the last store may have more.

    Raises:
        InputError: a manifest is damaged, or the folder holds something else.
    """
    found: list[Stretch] = []
    first = 0
    while first < n_samples:
        path = folder / (f"{PROPOSALS}_{first:08d}" if first else PROPOSALS)
        manifest = begun_manifest(path)
        if manifest is None:
            return [*found, Stretch(path, first, n_samples - first)]
        number = int(manifest.get("n_proposals", 0)) // max(1, int(manifest.get("n_jobs", 0)))
        if number < 1:
            raise InputError(f"{path} says nothing of how many proposals it holds: its manifest is damaged")
        found.append(Stretch(path, first, number, str(manifest["made_of"].get("jobs", "?"))))
        first += number
    return found


def sample_cases(
    engine: EngineName,
    cases: Sequence[Case],
    folder: Path,
    options: SamplingOptions,
    progress: bool = True,
    warn: Callable[[str], None] | None = None,
) -> Times:
    """Sample what is not in the engine's folder yet.

    A folder that holds fewer proposals of each template gets the others; of one that holds more, or will, only the first are asked for.

    Args:
        engine: That samples.
        cases: Templates.
        folder: Of the engine; its stores and times are in it.
        options: How. All but n_samples, max_atoms, device and workers are those that the folder was begun with.
        progress: Show a bar on standard error.
        warn: Told if the times of earlier calls cannot be read.

    Raises:
        InputError: there is no such engine, its folder was begun with other settings or templates, or proposals were given up.
    """
    sampler, workers, file = engine.sampler(options.device, options.pyxtal, options.genarris), options.workers, folder / TIMES
    times_so_far(file, warn)
    for stretch in stretches(folder, options.n_samples):
        jobs = [case.job(stretch.number, stretch.first) for case in cases]
        if stretch.begun and stretch.jobs_digest != hashlib.sha256(jobs_text(jobs).encode()).hexdigest():
            raise InputError(f"{folder} was begun with another test set: give that one, or another folder")
        opened = (sampler, jobs, options.config, options.seed, options.max_atoms, options.checks, workers.per_device)
        store = open_store(stretch.path, *opened)
        units = [unit for unit in store.missing() if any(part.start < options.n_samples for part in unit.parts)]
        executor = timed(workers.executor, file, times_so_far(file), workers.number)
        results = carried_on(SampleWork(sampler, store.sampling), iter(units), store, executor)
        total = store.n_done + sum(unit.n_proposals for unit in units)
        given_up = with_progress(results, f"sampling {engine.label}", total, lambda store=store: store.n_done, progress)  # type: ignore[misc]
        check_none_given_up(given_up, "sampled")
    return times_so_far(file)


def times_so_far(file: Path, warn: Callable[[str], None] | None = None) -> Times:
    """Times of earlier calls; none, and a warning, if they are damaged."""
    try:
        return read_times(file)
    except InputError as error:
        (warn or (lambda _: None))(str(error))
        return Times()


def proposals_by_case(folder: Path, cases: Sequence[Case], n_samples: int | None = None) -> Iterator[tuple[Case, list[dict[str, Any]]]]:
    """The proposals in an engine's folder, those of a template together with it, in the order of their indices.

    Args:
        folder: Of the engine.
        cases: Templates; those without a proposal are left out.
        n_samples: Only the first so many of each; None for all.

    Raises:
        InputError: there is no proposal, or a file is damaged.
    """
    wanted = n_samples or 2**62
    place = {case.name: k for k, case in enumerate(cases)}
    there = [stretch.path for stretch in stretches(folder, wanted) if stretch.begun] or [folder / PROPOSALS]
    # each store has the templates in their order, so that one of each store at a time is in memory
    rows = heapq.merge(*(rows_in_order(path, place) for path in there), key=lambda pair: pair[0])
    for number, group in groupby(rows, key=lambda pair: pair[0]):
        found = sorted((row for _, row in group if row["index"] < wanted), key=lambda row: int(row["index"]))
        if found:
            yield cases[number], found


def rows_in_order(path: Path, place: dict[str, int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a store with the place of their template; those of other templates are left out."""
    source = find_proposals(path)
    for unit in source.units(iter(sorted(source.portions))):
        for row in unit.rows():
            name = str(row["name"]).rpartition("-")[0]
            if name in place:
                yield place[name], row

"""Proposals of an engine for all templates of a test set, in a store that is continued, and what their sampling took."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from packflow.baseline import GenarrisConfig, PyxtalConfig
from packflow.campaign.disk import write_atomically
from packflow.campaign.progress import check_none_given_up, with_progress
from packflow.campaign.proposal_source import find_proposals
from packflow.campaign.run import carry_on
from packflow.campaign.store import open_store
from packflow.campaign.work import Done
from packflow.errors import InputError
from packflow.evaluate.engines import EngineName
from packflow.evaluate.test_set import Case
from packflow.flow.acceptance import Checks
from packflow.flow.sampler import SampleConfig

PROPOSALS, TIMES = "proposals", "seconds.json"


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
    """

    n_samples: int = 20
    seed: int = 0
    config: SampleConfig | None = None
    checks: Checks | None = None
    max_atoms: int | None = None
    device: str = "cpu"
    pyxtal: PyxtalConfig = field(default_factory=PyxtalConfig)
    genarris: GenarrisConfig = field(default_factory=GenarrisConfig)

    def __post_init__(self) -> None:
        """Refuse a number of samples that no mean has."""
        if self.n_samples < 1:
            raise InputError(f"n_samples must be at least 1, got {self.n_samples}")


@dataclass(frozen=True)
class Times:
    """Wall time of sampling, over all parts of a run.

    seconds: spent.
    n_timed: proposals that were made in it; fewer than all if the run was cut off between a unit and its note.
    """

    seconds: float = 0.0
    n_timed: int = 0

    @property
    def per_proposal(self) -> float | None:
        """Seconds; None where nothing was timed."""
        return self.seconds / self.n_timed if self.n_timed else None


def sample_cases(engine: EngineName, cases: Sequence[Case], folder: Path, options: SamplingOptions, progress: bool = True) -> Times:
    """Sample what is not in the engine's folder yet.

    Args:
        engine: That samples.
        cases: Templates.
        folder: Of the engine; its store and times are in it.
        options: How. All but max_atoms and device are those that the store was begun with.
        progress: Show a bar on standard error.

    Raises:
        InputError: there is no such engine, its store was begun with other settings, or proposals were given up.
    """
    sampler = engine.sampler(options.device, options.pyxtal, options.genarris)
    jobs = [case.job(options.n_samples) for case in cases]
    store = open_store(folder / PROPOSALS, sampler, jobs, options.config, options.seed, options.max_atoms, options.checks)
    timed = with_times(carry_on(sampler, store), folder / TIMES)
    given_up = with_progress(timed, f"sampling {engine.label}", store.plan.n_proposals, lambda: store.n_done, progress)
    check_none_given_up(given_up, "sampled")
    return read_times(folder / TIMES)


def with_times(results: Iterator[Done], file: Path) -> Iterator[Done]:
    """The results; what each took is added to the file as soon as it is there."""
    times = read_times(file)
    began = time.perf_counter()
    for result in results:
        now = time.perf_counter()
        times = Times(times.seconds + now - began, times.n_timed + result.unit.n_proposals)
        write_atomically(file, json.dumps({"seconds": times.seconds, "n_timed": times.n_timed}).encode())
        yield result
        began = time.perf_counter()


def read_times(file: Path) -> Times:
    """What was spent before; nothing if there is no such file. Raises InputError if it is damaged."""
    if not file.exists():
        return Times()
    try:
        return Times(**json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise InputError(f"{file} is damaged: remove it, then the wall time is that of the proposals still to come") from error


def proposals_by_case(folder: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The proposals in an engine's folder, those of a case together with its name."""
    source = find_proposals(folder / PROPOSALS)
    rows = (row for unit in source.units(iter(sorted(source.portions))) for row in unit.rows())
    for name, group in groupby(rows, key=lambda row: str(row["name"]).rpartition("-")[0]):
        yield name, list(group)

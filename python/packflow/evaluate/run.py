"""An evaluation: engines sampled on a test set, judged, and put side by side; the same call continues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pyarrow as pa

from packflow.errors import InputError
from packflow.evaluate.energies import ready
from packflow.evaluate.engines import EngineName, engine_names
from packflow.evaluate.judging import score_engine
from packflow.evaluate.means import Mean, crystal_table, means_of
from packflow.evaluate.overlap import Overlap, overlap_of
from packflow.evaluate.sampled import SamplingOptions, sample_cases
from packflow.evaluate.scores import ScoreOptions
from packflow.evaluate.test_set import TestSet
from packflow.evaluate.times import Times

ENGINES = "engines"


@dataclass(frozen=True)
class EngineResult:
    """What an engine did on a test set.

    engine:   which.
    scores:   a row per proposal and known crystal, see `packflow.evaluate.judging`.
    crystals: a row per known crystal, see `packflow.evaluate.means.crystal_table`.
    means:    over molecules.
    times:    what sampling took.
    overlap:  what of the test set it was trained on.
    """

    engine: EngineName
    scores: pa.Table
    crystals: pa.Table
    means: tuple[Mean, ...]
    times: Times
    overlap: Overlap

    def mean(self, metric: str) -> Mean | None:
        """A number of it, None if it was not asked for."""
        return next((mean for mean in self.means if mean.metric == metric), None)


@dataclass(frozen=True)
class Evaluation:
    """Engines side by side.

    test_set: what they were evaluated on.
    results:  of the engines that could be evaluated, in their order.
    problems: of the others, by label, why not.
    n_samples: proposals of each template that were judged; the folder may hold more.
    """

    test_set: TestSet
    results: tuple[EngineResult, ...]
    problems: dict[str, str] = field(default_factory=dict)
    n_samples: int | None = None


def evaluate_engines(
    test_set: TestSet,
    engines: Sequence[str],
    out: str | Path,
    sampling: SamplingOptions | None = None,
    scoring: ScoreOptions | None = None,
    warn: Callable[[str], None] | None = None,
    progress: bool = True,
) -> Evaluation:
    """Sample each engine on a test set and judge its proposals. An engine that cannot be evaluated keeps no other from it.

    Args:
        test_set: From `read_test_set`.
        engines: As `packflow.evaluate.engines.engine_names` takes them.
        out: Folder; `engines/LABEL` in it holds an engine's store, times and scores, which the same call continues.
        sampling: How proposals are made.
        scoring: What is computed of them.
        warn: Told at once what a user must know, such as test molecules that an engine was trained on.
        progress: Show progress bars on standard error.

    Raises:
        InputError: an engine is given twice, none can be evaluated, or the potential is not installed.
    """
    sampling, scoring, warn = sampling or SamplingOptions(), scoring or ScoreOptions(), warn or (lambda _: None)
    if scoring.potential:
        ready(scoring.potential, "cpu")
    results, problems = [], {}
    named = engine_names(engines)
    for engine in named:
        try:
            results.append(evaluate_engine(test_set, engine, Path(out) / ENGINES / engine.label, sampling, scoring, warn, progress))
        except InputError as error:
            problems[engine.label] = str(error)
            if len(named) > 1:
                warn(f"engine {engine.label} cannot be evaluated: {error}")
    if not results:
        raise InputError("no engine could be evaluated: " + "; ".join(f"{label}: {problem}" for label, problem in problems.items()))
    return Evaluation(test_set, tuple(results), problems, sampling.n_samples)


def evaluate_engine(
    test_set: TestSet,
    engine: EngineName,
    folder: Path,
    sampling: SamplingOptions,
    scoring: ScoreOptions,
    warn: Callable[[str], None],
    progress: bool,
) -> EngineResult:
    """One engine of `evaluate_engines`; raises InputError if it cannot be evaluated."""
    overlap = overlap_of(engine, test_set.molecules)
    for sentence in overlap.warnings():
        said_of(engine, warn, sentence)
    said = partial(said_of, engine, warn)
    times = sample_cases(engine, test_set.cases, folder, sampling, progress, said)
    n_samples, executor = sampling.n_samples, sampling.workers.executor
    scores = score_engine(folder, test_set.cases, scoring, engine.label, progress, n_samples, executor, said)
    crystals = crystal_table(scores)
    return EngineResult(engine, scores, crystals, tuple(means_of(crystals, times.per_proposal)), times, overlap)


def said_of(engine: EngineName, warn: Callable[[str], None], sentence: str) -> None:
    """Warn of an engine."""
    warn(f"engine {engine.label}: {sentence}")

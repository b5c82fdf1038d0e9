"""Judging: the scores of all proposals in an engine's folder, template by template; what is on the disk is not computed again."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from packflow.campaign.disk import write_atomically
from packflow.campaign.progress import check_none_given_up, with_progress
from packflow.campaign.work import Done, Executor, carried_on
from packflow.errors import InputError
from packflow.evaluate.sampled import PROPOSALS, proposals_by_case
from packflow.evaluate.scores import DIGEST, VERSION, ScoreOptions, digests_in, pairs_of, scores_of
from packflow.evaluate.test_set import Case

SCORES = "scores"
# letters of a reason in a warning
SHOWN = 80


@dataclass(frozen=True)
class ScoreUnit:
    """Proposals of a template that are to be judged, with the scores that there are.

    number: of the template in the test set.
    case:   the template.
    rows:   its proposals.
    known:  scores of some of them, or of others.
    """

    number: int
    case: Case
    rows: Sequence[Mapping[str, Any]]
    known: pa.Table | None = None

    @property
    def n_proposals(self) -> int:
        """Number of proposals."""
        return len(self.rows)


@dataclass(frozen=True)
class ScoreWork:
    """Judging as `packflow.campaign.work.Work`: on the CPU, a template at a time."""

    options: ScoreOptions
    device: str = "cpu"

    @property
    def campaign(self) -> str:
        """Of the options; the units have all else."""
        return f"scores {VERSION} {self.options}"

    def __call__(self, unit: ScoreUnit) -> bytes:
        """Scores of a template, as Parquet."""
        sink = io.BytesIO()
        pq.write_table(scores_of(unit.rows, unit.case, self.options, unit.known), sink, compression="zstd")
        return sink.getvalue()

    def portable(self) -> ScoreWork:
        """It holds nothing of any device."""
        return self

    def to(self, device: str) -> ScoreWork:
        """Likewise."""
        return self


@dataclass(frozen=True)
class ScoreFiles:
    """Where scores are written to, a file per template; one that holds more than was asked for stays."""

    folder: Path

    def path(self, case: Case) -> Path:
        """Of a template."""
        return self.folder / f"{case.name.replace('#', '_')}.parquet"

    def read(self, case: Case, warn: Callable[[str], None]) -> pa.Table | None:
        """What is there, whatever it was made with."""
        file = self.path(case)
        if not file.exists():
            return None
        try:
            return pq.read_table(file)
        except (pa.ArrowException, OSError) as error:
            warn(f"{file} is damaged ({' '.join(str(error).split())[:SHOWN]}): its proposals are judged again")
            return None

    def write(self, done: Done) -> None:
        """Write the scores of a template; raises InputError if the disk is full or not writable."""
        unit: ScoreUnit = done.unit
        table = pq.read_table(pa.BufferReader(done.data))
        if unit.known is None or not set(table[DIGEST].to_pylist()) <= set(digests_in(unit.known)):
            write_atomically(self.path(unit.case), done.data)

    def close(self) -> None:
        """Nothing is held open."""


def score_engine(
    folder: Path,
    cases: Sequence[Case],
    options: ScoreOptions,
    label: str = "",
    progress: bool = True,
    n_samples: int | None = None,
    executor: Executor | None = None,
    warn: Callable[[str], None] | None = None,
) -> pa.Table:
    """Scores of the proposals in an engine's folder.

    Args:
        folder: Of the engine.
        cases: Test set.
        options: What is computed.
        label: Of the engine, for the progress bar.
        progress: Show it on standard error.
        n_samples: Only the first so many proposals of each template; None for all.
        executor: Where it is computed, a template at a time; in this process if not given. The scores are the same.
        warn: Told of files of scores that cannot be read and are made again.

    Returns:
        A row per proposal and reference: case, molecule (canonical SMILES), reference, index (of the proposal), the columns of
        `packflow.metrics.compare`, flag (the sampler's, empty for a valid proposal), what `options` adds, problem, digest (of what the
        row depends on) and packing (group of proposals of the template that are the same crystal, missing for a failed one).

    Raises:
        InputError: the store is damaged or lacks proposals of a case, or proposals could not be judged.
    """
    files, found = ScoreFiles(folder / SCORES), dict[int, pa.Table]()
    units = units_to_judge(folder, cases, options, n_samples, files, found, warn or (lambda _: None))
    results = collected(carried_on(ScoreWork(options), units, files, executor), found)
    total = len(cases) * (n_samples or 1)
    given_up = with_progress(results, f"judging {label}", total, lambda: total * len(found) // len(cases), progress)
    check_none_given_up(given_up, "judged")
    lacking = len(cases) - len(found)
    if lacking:
        raise InputError(f"{folder / PROPOSALS} lacks proposals of {lacking} templates: give the same command again")
    return pa.concat_tables([found[number] for number in range(len(cases))], promote_options="default")


def units_to_judge(
    folder: Path,
    cases: Sequence[Case],
    options: ScoreOptions,
    n_samples: int | None,
    files: ScoreFiles,
    found: dict[int, pa.Table],
    warn: Callable[[str], None],
) -> Iterator[ScoreUnit]:
    """Templates that are not judged yet; the scores of the others go into `found`."""
    place = {case.name: k for k, case in enumerate(cases)}
    for case, rows in proposals_by_case(folder, cases, n_samples):
        if n_samples is not None and len(rows) < n_samples:
            continue
        number, known = place[case.name], files.read(case, warn)
        wanted = [digest for _, digest in pairs_of(rows, case, options)]
        if known is not None and digests_in(known) == wanted:
            found[number] = known
        else:
            yield ScoreUnit(number, case, rows, known)


def collected(results: Iterator[Done], found: dict[int, pa.Table]) -> Iterator[Done]:
    """The results, whose scores go into `found`."""
    for done in results:
        if not done.problem:
            found[done.unit.number] = pq.read_table(pa.BufferReader(done.data))
        yield done

"""All figures that an evaluation gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from packflow.errors import InputError
from packflow.evaluate.engines import EngineName
from packflow.evaluate.figures.attention import atom_figure, distance_figure
from packflow.evaluate.figures.comparison import aligned_figure, efficiency_figure, known_energy, tradeoff_figure
from packflow.evaluate.figures.geometry import geometry_figure
from packflow.evaluate.figures.spec import Figure
from packflow.evaluate.run import ENGINES, Evaluation
from packflow.evaluate.sampled import proposals_by_case
from packflow.evaluate.test_set import Case, TestSet
from packflow.proposal_table import crystal_of
from packflow.structure import Crystal

# crystals over which attention is averaged, and atoms of one of them, at most
N_ATTENDED, MOST_ATTENDED = 12, 300
# atoms of a cell whose picture is neither empty nor crowded
EASY = 48


def paper_figures(
    evaluation: Evaluation, out: str | Path, warn: Callable[[str], None], crystal: str | None = None, atom: int | None = None
) -> list[Figure]:
    """Geometry, sample efficiency, attention, and, of several engines, each against the first, energies against forces.

    Args:
        evaluation: From `evaluate_engines`.
        out: Its folder.
        warn: Told of each figure that cannot be drawn, and why; the others are.
        crystal: Name of the known crystal whose attention is shown; None for one of several copies that is easy to see.
        atom: The one whose attention is shown, see `atom_figure`.
    """
    results = evaluation.results
    makers: list[tuple[str, Callable[[], Figure]]] = [
        ("geometry", partial(geometry_of, evaluation, Path(out))),
        ("sample efficiency", partial(efficiency_figure, results)),
    ]
    makers += [(one.engine.label, partial(aligned_figure, results[0], one, k)) for k, one in enumerate(results[1:], 1)]
    if any(known_energy(result) for result in results):
        makers.append(("energy and force", partial(tradeoff_figure, results)))
    network = next((result.engine for result in results if not result.engine.is_baseline), None)
    if network is not None:
        makers.append(("attention by distance", partial(attention_by_distance, network, evaluation.test_set)))
        makers.append(("attention of an atom", partial(attention_of_atom, network, evaluation.test_set, crystal, atom)))
    figures = []
    for what, make in makers:
        try:
            figures.append(make())
        except InputError as error:
            warn(f"no figure of {what}: {error}")
    return figures


def geometry_of(evaluation: Evaluation, out: Path) -> Figure:
    """`geometry_figure` of all engines."""
    cases = evaluation.test_set.cases
    folders = {one.engine.label: out / ENGINES / one.engine.label for one in evaluation.results}
    generated = {label: crystals_by_case(folder, cases, evaluation.n_samples) for label, folder in folders.items()}
    return geometry_figure([case.crystals for case in cases], generated)


def crystals_by_case(folder: Path, cases: Sequence[Case], n_samples: int | None) -> list[list[Crystal]]:
    """Proposals of an engine that are crystals, by template, of the first n_samples of each."""
    return [[crystal_of(row) for row in rows if not row["problem"]] for _, rows in proposals_by_case(folder, cases, n_samples)]


def attention_by_distance(engine: EngineName, test_set: TestSet) -> Figure:
    """`distance_figure` over the first known crystals of a size that can be shown."""
    crystals = [case.crystals[0] for case in test_set.cases if case.template.n_atoms <= MOST_ATTENDED][:N_ATTENDED]
    return distance_figure(engine.model(), crystals, label=engine.label)


def attention_of_atom(engine: EngineName, test_set: TestSet, crystal: str | None, atom: int | None) -> Figure:
    """`atom_figure` of a known crystal."""
    named = {name: one for case in test_set.cases for name, one in zip(case.references, case.crystals, strict=True)}
    if crystal is None:
        several = [name for name, one in named.items() if one.template.n_copies > 1] or list(named)
        crystal = min(several, key=lambda name: (abs(named[name].template.n_atoms - EASY), name))
    if crystal not in named:
        raise InputError(f"attention-crystal must be one of the test set, such as {next(iter(named))}, got {crystal}")
    return atom_figure(engine.model(), named[crystal], atom, name=Path(crystal).stem)

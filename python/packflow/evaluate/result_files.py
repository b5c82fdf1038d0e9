"""Results of an evaluation as files: Markdown to read, CSV and JSON to compute with."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from packflow.campaign.disk import write_atomically
from packflow.evaluate.means import CONFIDENCE, METRICS, OF_RELEASED, Mean
from packflow.evaluate.run import EngineResult, Evaluation

MARKDOWN, CSV, JSON, CRYSTALS = "evaluation.md", "evaluation.csv", "evaluation.json", "crystals.csv"
# the paper's Table 2: metric, heading, decimals
PAPER = (
    ("density_error_percent", "density error, %", 2),
    ("clash_percent", "clash, %", 2),
    ("amd_distance", "AMD, Å", 3),
    ("rdf_distance", "RDF, Å", 3),
    ("rdf_distance_short", "RDF short, Å", 3),
    ("seconds", "wall time, s", 3),
)
RELEASED = tuple((name, PAPER[k][1], PAPER[k][2]) for k, name in enumerate(OF_RELEASED))
SECONDS = ("s", "wall time of a worker per proposal")


def write_results(evaluation: Evaluation, out: str | Path, settings: Mapping[str, object]) -> list[Path]:
    """Write evaluation.md, evaluation.csv (a row per engine and metric), evaluation.json and crystals.csv (a row per engine and crystal).

    Args:
        evaluation: From `evaluate_engines`.
        out: Folder; files of an earlier call are replaced.
        settings: How it was made, for the JSON and the last lines of the Markdown.

    Raises:
        InputError: a file cannot be written.
    """
    texts = {
        MARKDOWN: markdown(evaluation, settings),
        CSV: means_csv(evaluation),
        JSON: json.dumps(as_json(evaluation, settings), indent=2, ensure_ascii=False) + "\n",
        CRYSTALS: crystals_csv(evaluation),
    }
    paths = [Path(out) / name for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_atomically(path, text.encode())
    return paths


def markdown(evaluation: Evaluation, settings: Mapping[str, object]) -> str:
    """The page for readers: warnings first, the paper's table, then all numbers with their intervals."""
    found, results = evaluation.test_set, evaluation.results
    lines = ["# Evaluation", "", f"{found.n_references} crystals of {len(found.molecules)} molecules, {len(found.cases)} templates.", ""]
    lines += warnings(evaluation)
    lines += ["## Table 2 of the paper", "", "Means over proposals, then crystals, then molecules.", "", *paper_table(results, PAPER), ""]
    lines += [*times_text(results), ""]
    if any(result.mean(name) for name in OF_RELEASED for result in results):
        lines += ["## The same as the released code averages", "", "Its metrics; samples that fail drop out; means over crystals.", ""]
        lines += [*paper_table(results, RELEASED), ""]
    lines += [
        "## All numbers",
        "",
        f"In brackets: {100 * CONFIDENCE:.0f} % intervals by resampling molecules.",
        "",
        *full_table(results),
        "",
    ]
    if found.left_out:
        lines += ["## Left out of the test set", "", *(f"- {text}" for text in found.left_out), ""]
    return "\n".join([*lines, "## Settings", "", *(f"- {key}: {value}" for key, value in settings.items()), ""])


def warnings(evaluation: Evaluation) -> list[str]:
    """What must be known before the numbers, as a quotation; no lines if there is nothing."""
    found = [f"{result.engine.label}: {sentence}" for result in evaluation.results for sentence in result.overlap.warnings()]
    found += [f"{label} could not be evaluated: {problem}" for label, problem in evaluation.problems.items()]
    return ["> **Warning**", *(f"> - {sentence}" for sentence in found), ""] if found else []


def paper_table(results: tuple[EngineResult, ...], columns: tuple[tuple[str, str, int], ...]) -> list[str]:
    """A row per engine; the best of each column bold."""
    shown = [column for column in columns if any(result.mean(column[0]) for result in results)]
    lines = ["| engine | " + " | ".join(heading for _, heading, _ in shown) + " |", "| --- |" + " ---: |" * len(shown)]
    best = {name: least(results, name) for name, _, _ in shown}
    for result in results:
        cells = [cell(result.mean(name), decimals, best[name]) for name, _, decimals in shown]
        lines.append(f"| {result.engine.label} | " + " | ".join(cells) + " |")
    return lines


def times_text(results: tuple[EngineResult, ...]) -> list[str]:
    """What the wall times in the table are."""
    lines = ["Wall time: seconds in which one worker makes a proposal, its start, waiting and writing not counted. Sampled were:", ""]
    lines += [f"- {result.engine.label}: {result.times.text()}" for result in results]
    if not times_compare(results):
        lines += ["", "Wall times of different numbers of workers or threads do not compare; none is marked as the best."]
    return lines


def times_compare(results: tuple[EngineResult, ...]) -> bool:
    """Whether all was sampled by equally many workers, with equally many threads, on one kind of device."""
    return len({setting for result in results for setting in result.times.settings}) <= 1


def least(results: tuple[EngineResult, ...], metric: str) -> float | None:
    """The smallest mean of several engines; None of a single one, which is not the best of anything, and of times that do not compare."""
    if metric == "seconds" and not times_compare(results):
        return None
    means = [mean.mean for result in results if (mean := result.mean(metric)) and mean.mean is not None]
    return min(means) if len(means) > 1 else None


def cell(mean: Mean | None, decimals: int, best: float | None) -> str:
    """A number of the paper's table."""
    if mean is None or mean.mean is None:
        return "–"
    text = f"{mean.mean:.{decimals}f}"
    return f"**{text}**" if mean.mean == best else text


def full_table(results: tuple[EngineResult, ...]) -> list[str]:
    """A row per metric, a column per engine."""
    names = [name for name in (*METRICS, "seconds") if any(result.mean(name) for result in results)]
    lines = ["| | " + " | ".join(result.engine.label for result in results) + " |", "| --- |" + " ---: |" * len(results)]
    for name in names:
        unit, meaning = METRICS.get(name, SECONDS)
        lines.append(f"| {meaning}{f', {unit}' if unit else ''} | " + " | ".join(with_interval(r.mean(name)) for r in results) + " |")
    return lines


def with_interval(mean: Mean | None) -> str:
    """A number with its interval."""
    if mean is None or mean.mean is None:
        return "–"
    text = f"{mean.mean:.3g}"
    if mean.low is not None and mean.high is not None:
        text += f" ({mean.low:.3g} to {mean.high:.3g})"
    return text + (f", {mean.n_missing} molecules without" if mean.n_missing else "")


def means_csv(evaluation: Evaluation) -> str:
    """A row per engine and metric."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["engine", *Mean.__dataclass_fields__])
    for result in evaluation.results:
        writer.writerows([result.engine.label, *asdict(mean).values()] for mean in result.means)
    return sink.getvalue()


def crystals_csv(evaluation: Evaluation) -> str:
    """A row per engine and crystal."""
    tables = [r.crystals.add_column(0, "engine", pa.array([r.engine.label] * len(r.crystals))) for r in evaluation.results]
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(pa.concat_tables(tables, promote_options="permissive"), sink)
    return str(sink.getvalue().to_pybytes().decode())


def as_json(evaluation: Evaluation, settings: Mapping[str, object]) -> dict[str, object]:
    """Everything but the rows of proposals."""
    found = evaluation.test_set
    cases = [{"name": c.name, "smiles": c.molecule, "n_copies": c.template.n_copies, "references": c.references} for c in found.cases]
    return {
        "settings": dict(settings),
        "test_set": {"cases": cases, "left_out": found.left_out},
        "engines": [
            {
                "label": result.engine.label,
                "engine": result.engine.word,
                "overlap": asdict(result.overlap),
                "times": asdict(result.times) | {"per_proposal": result.times.per_proposal},
                "means": [asdict(mean) for mean in result.means],
            }
            for result in evaluation.results
        ],
        "problems": evaluation.problems,
    }

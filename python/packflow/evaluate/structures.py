"""Metrics of a set of structures, alone or against references."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
import torch

from packflow.data.structures import StructureSet
from packflow.evaluate.references import Match, canonical, find_references
from packflow.metrics.table import compare, describe, summary

By = Literal["molecule", "none"]


def evaluate(predictions: StructureSet, references: StructureSet | None = None, match: Match = "auto", pdd: bool = False) -> pa.Table:
    """A row of metrics for each structure, in their order.

    Args:
        predictions: From `read_structures`.
        references: What they are compared with.
        match: Which reference is whose, see `packflow.evaluate.references.find_references`.
        pdd: Compute the PDD distance too, milliseconds a pair.

    Returns:
        name, molecule (canonical SMILES), reference (name) if there are any, the columns of `packflow.metrics.table.describe` or
        `compare`, bonds ("stated", "recognized" or why they are unknown), problem (why there are no metrics; empty for a good
        row), and what else was read of each structure.

    Raises:
        InputError: as `find_references`.
    """
    seconds = _seconds(predictions)
    if references is None:
        metrics, whose = describe(predictions.atoms, seconds=seconds), {}
    else:
        rows = find_references(predictions, references, match)
        # a structure without atoms has no distance to any reference
        metrics = compare(predictions.atoms, references.atoms, rows.clamp(min=0), pdd=pdd, seconds=seconds)
        whose = {"reference": [references.names[row] if row >= 0 else "" for row in rows.tolist()]}
    problem = [own or found for own, found in zip(predictions.problem, metrics["problem"].to_pylist(), strict=True)]
    columns = {
        "name": predictions.names,
        "molecule": [canonical(smiles) if smiles else "" for smiles in predictions.molecule],
        **whose,
        **{name: metrics[name] for name in metrics.column_names if name not in ("reference", "problem")},
        "bonds": predictions.bonds,
        "problem": problem,
    }
    others = {name: _column(values) for name, values in predictions.columns.items() if name not in columns}
    return pa.table({**columns, **others})


def summarize(rows: pa.Table, by: By = "none") -> pa.Table:
    """Means over the rows without a problem, or over molecules of their means; see `packflow.metrics.table.summary`."""
    return summary(rows, by=None if by == "none" else by)


def _seconds(predictions: StructureSet) -> list[float] | None:
    """Wall time of each structure where the source states it, NaN for the others; None if it states none."""
    stated = predictions.columns.get("seconds", [])
    numbers = [float(x) if isinstance(x, int | float) else torch.nan for x in stated]
    return numbers if any(x == x for x in numbers) else None


def _column(values: list[object]) -> pa.Array:
    """Numbers as they are; a mixture as text."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if x is None else str(x) for x in values])

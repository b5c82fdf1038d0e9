"""A row of numbers per structure, and their means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from packflow.metrics.amd import amd, largest_difference
from packflow.metrics.bonds import bonds_valid_percent
from packflow.metrics.clash import clash_percent
from packflow.metrics.contact import contact_f1
from packflow.metrics.density import density, density_error_percent
from packflow.metrics.pdd import pdd_distance
from packflow.metrics.rdf import BIN, rdf, short, wasserstein
from packflow.metrics.references import reference_rows
from packflow.metrics.validity import problems, valid_cell, volume
from packflow.structure import AtomsBatch
from packflow.structure.lattice import lattice_from_cell

LATTICE = ("a", "b", "c", "alpha", "beta", "gamma")
# columns that have a mean, and their unit
METRICS = {
    "density": "g/cm3",
    "density_error_percent": "%",
    "clash_percent": "%",
    "clash_nonbonded_percent": "%",
    "bonds_valid_percent": "%",
    "bonds_valid": "",
    "valid_cell": "",
    "amd_distance": "Å",
    "pdd_distance": "Å",
    "rdf_distance": "Å",
    "rdf_distance_short": "Å",
    "contact_f1": "",
    "seconds": "s",
}


def describe(atoms: AtomsBatch, seconds: float | Sequence[float] | None = None) -> pa.Table:
    """The metrics that need no reference.

    Args:
        atoms: Any values.
        seconds: Wall time that each took to generate, or that all took on average (paper, section 4.3.5).

    Returns:
        A row per structure: n_atoms, a, b, c (Å), alpha, beta, gamma (degrees), volume (Å3), density (g/cm3, with hydrogens),
        clash_percent, clash_nonbonded_percent, bonds_valid_percent, bonds_valid, valid_cell, seconds if given, and problem: why the
        structure has no metrics, empty for a good one. What has no value is missing (null), never zero.

    Raises:
        ValueError: as many `seconds` as structures are wanted.
    """
    lattice = lattice_from_cell(atoms.cell.double())
    valid_percent = bonds_valid_percent(atoms)
    columns = {
        "n_atoms": pa.array(atoms.sizes.tolist(), pa.int64()),
        **{name: _numbers(lattice[:, k]) for k, name in enumerate(LATTICE)},
        "volume": _numbers(volume(atoms)),
        "density": _numbers(density(atoms)),
        "clash_percent": _numbers(clash_percent(atoms)),
        "clash_nonbonded_percent": _numbers(clash_percent(atoms, bonded=False)),
        "bonds_valid_percent": _numbers(valid_percent),
        "bonds_valid": _flags(torch.where(valid_percent.isnan(), torch.nan, valid_percent == 100)),
        "valid_cell": _flags(valid_cell(atoms)),
    }
    if seconds is not None:
        columns["seconds"] = _seconds(seconds, len(atoms))
    return pa.table({**columns, "problem": pa.array(problems(atoms), pa.string())})


def compare(
    predictions: AtomsBatch,
    references: AtomsBatch,
    reference_of: Tensor | None = None,
    pdd: bool = False,
    seconds: float | Sequence[float] | None = None,
) -> pa.Table:
    """All metrics of predictions with a reference each. What is needed of a reference is computed once.

    Args:
        predictions: Any values.
        references: Any values; one may serve many predictions.
        reference_of: The reference of each prediction; the one in its place if not given. [n_predictions] int64
        pdd: Compute pdd_distance too, milliseconds a pair.
        seconds: Wall time that each prediction took to generate, or that all took on average.

    Returns:
        The columns of `describe`, and reference, density_error_percent, amd_distance (Å), pdd_distance (Å, if asked for), rdf_distance,
        rdf_distance_short (Å), contact_f1. If only the reference has a problem, `problem` says so and the distances are missing.

    Raises:
        ValueError: `reference_of` or `seconds` does not fit.
    """
    rows = reference_rows(predictions, references, reference_of).to(predictions.cell.device)
    table = describe(predictions, seconds)
    p, q = rdf(predictions), rdf(references)[rows]
    distances = {
        "density_error_percent": density_error_percent(predictions, references, rows),
        "amd_distance": largest_difference(amd(predictions), amd(references)[rows]),
        "rdf_distance": wasserstein(p, q, BIN),
        "rdf_distance_short": wasserstein(short(p), short(q), BIN),
        "contact_f1": contact_f1(predictions, references, rows),
    }
    if pdd:
        distances["pdd_distance"] = pdd_distance(predictions, references, rows)
    theirs = problems(references)
    found = [
        own or (theirs[r] and f"reference {r}: {theirs[r]}") for own, r in zip(table["problem"].to_pylist(), rows.tolist(), strict=True)
    ]
    columns = {name: table[name] for name in table.column_names if name != "problem"}
    columns["reference"] = pa.array(rows.tolist(), pa.int64())
    columns |= {name: _numbers(x) for name, x in distances.items()}
    return pa.table({**columns, "problem": pa.array(found, pa.string())})


def summary(table: pa.Table, by: str | None = None) -> pa.Table:
    """Means of the metrics over the rows without a problem, and what is not in them.

    Args:
        table: From `describe` or `compare`; columns may have been added.
        by: A column, such as reference, whose equal values make a group: the mean is then that of the groups' means, as the paper
            averages over a molecule's proposals and then over molecules.

    Returns:
        A row per metric: metric, unit, mean, n_values (in the mean), n_missing (rows without a problem that lack this value), n_failed
        (rows with a problem) and, with `by`, n_groups (in the mean) and n_groups_missing (without any value). A mean of nothing is
        missing. The mean of seconds is over all rows: failed ones took time as well.

    Raises:
        ValueError: `by` is no column or misses values.
    """
    failed = np.array([bool(problem) for problem in table["problem"].to_pylist()], dtype=bool)
    groups, n_groups = _groups(table, by)
    rows = []
    for metric in (name for name in METRICS if name in table.column_names):
        values = table[metric].cast(pa.float64()).to_numpy()
        counted = np.ones_like(failed) if metric == "seconds" else ~failed
        present = counted & ~np.isnan(values)
        n_in_group = np.bincount(groups[present], minlength=n_groups)
        means = np.bincount(groups[present], values[present], minlength=n_groups)[n_in_group > 0] / n_in_group[n_in_group > 0]
        row = {"metric": metric, "unit": METRICS[metric], "mean": float(means.mean()) if len(means) else None}
        row |= {"n_values": int(present.sum()), "n_missing": int((counted & ~present).sum()), "n_failed": int(failed.sum())}
        rows.append(row | ({"n_groups": len(means), "n_groups_missing": n_groups - len(means)} if by else {}))
    return pa.Table.from_pylist(rows)


def _groups(table: pa.Table, by: str | None) -> tuple[np.ndarray, int]:
    """The group of each row and how many there are."""
    if by is None:
        return np.zeros(len(table), dtype=np.int64), 1
    if by not in table.column_names:
        raise ValueError(f"by must be one of the columns {', '.join(table.column_names)}, got {by}")
    if table[by].null_count:
        raise ValueError(f"by must be a column without missing values, got {by} with {table[by].null_count}")
    encoded = table[by].combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)


def _numbers(x: Tensor) -> pa.Array:
    """NaN becomes missing."""
    return pa.array(x.cpu().numpy(), pa.float64(), from_pandas=True)


def _flags(x: Tensor) -> pa.Array:
    """1 and 0 become true and false, NaN missing."""
    return pa.array([None if value != value else bool(value) for value in x.tolist()], pa.bool_())


def _seconds(seconds: float | Sequence[float], n: int) -> pa.Array:
    values = np.asarray(seconds, dtype=np.float64)
    if values.shape not in ((), (n,)):
        raise ValueError(f"seconds must be one number or {n}, got shape {values.shape}")
    return pa.array(np.broadcast_to(values, n).copy())

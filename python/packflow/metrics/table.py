"""A row of numbers per structure, and their means."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from packflow.metrics.amd import amd_of_good, largest_difference
from packflow.metrics.bonds import bonds_valid_percent_of_good
from packflow.metrics.clash import clash_percent_of_good
from packflow.metrics.contact import contacts_of_good, f1, n_contacts
from packflow.metrics.density import density_of_good
from packflow.metrics.pdd import pdd_distance
from packflow.metrics.rdf import BIN, rdf_of_good, short, wasserstein
from packflow.metrics.references import reference_rows
from packflow.metrics.validity import N_NEIGHBORS, over, problems, valid_cell_of_good, volume
from packflow.structure import AtomsBatch
from packflow.structure.lattice import lattice_from_cell

LATTICE = ("a", "b", "c", "alpha", "beta", "gamma")
# numbers per structure: of its own metrics, and of what is compared besides contacts: density, AMD, RDF
N_OWN, N_COMPARED = 5, 1 + N_NEIGHBORS + 100
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
    found = problems(atoms)
    return _describe(atoms, _over(atoms, found, _own, N_OWN), found, seconds)


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
    found, theirs = problems(predictions), problems(references)
    elements = torch.cat([predictions.atomic_numbers, references.atomic_numbers]).unique()
    width = N_COMPARED + n_contacts(elements)
    # one look at each structure
    ours = _over(predictions, found, lambda good: torch.cat([_own(good), _compared(good, elements)], 1), N_OWN + width)
    known = _over(references, theirs, lambda good: _compared(good, elements), width)[rows]
    distances = _distances(ours[:, N_OWN:], known)
    if pdd:
        distances["pdd_distance"] = pdd_distance(predictions, references, rows)
    found_here = [own or (theirs[r] and f"reference {r}: {theirs[r]}") for own, r in zip(found, rows.tolist(), strict=True)]
    table = _describe(predictions, ours[:, :N_OWN], found_here, seconds)
    columns = {name: table[name] for name in table.column_names if name != "problem"}
    columns["reference"] = pa.array(rows.tolist(), pa.int64())
    columns |= {name: _numbers(x) for name, x in distances.items()}
    return pa.table({**columns, "problem": table["problem"]})


def _over(atoms: AtomsBatch, found: list[str], compute: Callable[[AtomsBatch], Tensor], width: int) -> Tensor:
    """Numbers of the structures without a problem; NaN for the others. [n_structures, width]"""
    fine = torch.tensor([not problem for problem in found], dtype=torch.bool, device=atoms.cell.device)
    return over(atoms, fine, compute, width)


def _own(atoms: AtomsBatch) -> Tensor:
    """density, clash_percent, clash_nonbonded_percent, bonds_valid_percent, valid_cell. [n_structures, 5]"""
    clash, nonbonded = (clash_percent_of_good(atoms, bonded=bonded) for bonded in (True, False))
    return torch.stack([density_of_good(atoms), clash, nonbonded, bonds_valid_percent_of_good(atoms), valid_cell_of_good(atoms)], 1)


def _compared(atoms: AtomsBatch, elements: Tensor) -> Tensor:
    """Density of heavy atoms, AMD, RDF and contacts. [n_structures, 201 + n_contacts]"""
    heavy = density_of_good(atoms, hydrogens=False)[:, None]
    return torch.cat([heavy, amd_of_good(atoms), rdf_of_good(atoms), contacts_of_good(atoms, elements)], 1)


def _distances(ours: Tensor, theirs: Tensor) -> dict[str, Tensor]:
    """Columns of what `_compared` gives for predictions and the reference of each. [n, width], [n, width]"""
    (density, amd, rdf, contacts), (wanted, amd_known, rdf_known, contacts_known) = (
        x.split([1, N_NEIGHBORS, 100, x.shape[1] - N_COMPARED], 1) for x in (ours, theirs)
    )
    return {
        "density_error_percent": (100 * (density - wanted).abs() / wanted)[:, 0],
        "amd_distance": largest_difference(amd, amd_known),
        "rdf_distance": wasserstein(rdf, rdf_known, BIN),
        "rdf_distance_short": wasserstein(short(rdf), short(rdf_known), BIN),
        "contact_f1": f1(contacts, contacts_known),
    }


def _describe(atoms: AtomsBatch, own: Tensor, found: list[str], seconds: float | Sequence[float] | None) -> pa.Table:
    """The table of `describe` from what `_own` gives."""
    lattice = lattice_from_cell(atoms.cell.double())
    density, clash, nonbonded, valid_percent, valid_cell = own.unbind(1)
    columns = {
        "n_atoms": pa.array(atoms.sizes.tolist(), pa.int64()),
        **{name: _numbers(lattice[:, k]) for k, name in enumerate(LATTICE)},
        "volume": _numbers(volume(atoms)),
        "density": _numbers(density),
        "clash_percent": _numbers(clash),
        "clash_nonbonded_percent": _numbers(nonbonded),
        "bonds_valid_percent": _numbers(valid_percent),
        "bonds_valid": _flags(torch.where(valid_percent.isnan(), torch.nan, valid_percent == 100)),
        "valid_cell": _flags(valid_cell),
    }
    if seconds is not None:
        columns["seconds"] = _seconds(seconds, len(atoms))
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

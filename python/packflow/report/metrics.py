"""Tables of metrics on screen and in files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from packflow.errors import InputError

# structures that are listed one by one, at most
FEW = 20
# columns shown of each structure, where there: name, heading, decimals
SHOWN = (
    ("density", "density", 3),
    ("density_error_percent", "error %", 1),
    ("clash_percent", "clash %", 1),
    ("bonds_valid_percent", "bonds %", 1),
    ("amd_distance", "AMD", 3),
    ("pdd_distance", "PDD", 3),
    ("rdf_distance", "RDF", 3),
)


def check_output(path: str | Path) -> Path:
    """A file that can be written, before work is done for it.

    Raises:
        InputError: neither .csv nor .parquet, its folder does not exist, or it exists itself.
    """
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise InputError(f"out must end in .csv or .parquet, got {path}")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder: make it first")
    if path.exists():
        raise InputError(f"{path} exists already; choose another name or remove it")
    return path


def write_rows(rows: pa.Table, path: str | Path) -> None:
    """Write all rows as CSV or Parquet, by the ending; in CSV what is missing is empty.

    Raises:
        InputError: as `check_output`, or the file cannot be written.
    """
    path = check_output(path)
    try:
        if path.suffix.lower() == ".csv":
            pyarrow.csv.write_csv(rows, path)
        else:
            pq.write_table(rows, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error}") from error


def summary_table(rows: pa.Table, summary: pa.Table) -> Table:
    """Means of the metrics, and how many structures failed for which reason.

    Args:
        rows: From `packflow.evaluate.structures.evaluate`.
        summary: From `summarize`.
    """
    reasons = Counter(problem.split(":")[0] for problem in rows["problem"].to_pylist() if problem)
    grouped = "n_groups" in summary.column_names
    title = f"{len(rows)} structures, {sum(reasons.values())} failed" + ("; mean over molecules" if grouped else "")
    table = Table(title=title, caption="means are over the structures that did not fail" if reasons else None)
    for heading in ("", "mean", "values", "missing"):
        table.add_column(heading, justify="left" if not heading else "right")
    for row in summary.to_pylist():
        mean = "-" if row["mean"] is None else f"{row['mean']:.4g}"
        unit = f" ({row['unit']})" if row["unit"] and row["unit"] != "%" else ""
        table.add_row(f"{row['metric']}{unit}", mean, str(row["n_values"]), str(row["n_missing"]))
    for reason, count in reasons.most_common():
        table.add_row(f"failed: {escape(reason)}", "", str(count), "")
    return table


def rows_table(rows: pa.Table) -> Table:
    """The main columns of each structure, on a line; below its name why it failed."""
    shown = [entry for entry in SHOWN if entry[0] in rows.column_names]
    table = Table(box=SIMPLE)
    table.add_column("structure", overflow="fold")
    for _, heading, _ in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows.to_pylist():
        numbers = ["-" if row[name] is None or row["problem"] else f"{row[name]:.{decimals}f}" for name, _, decimals in shown]
        table.add_row(escape(row["name"] + (f"\n  {row['problem']}" if row["problem"] else "")), *numbers)
    return table

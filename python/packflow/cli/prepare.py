"""`packflow prepare`: a dataset from CIF files."""

from __future__ import annotations

from pathlib import Path

import jsonargparse
from rich.console import Console
from rich.table import Table

from packflow.data.prepare import REJECTED, PrepareConfig, Report, prepare


def prepare_parser() -> jsonargparse.ArgumentParser:
    """Arguments of `packflow prepare`."""
    default = PrepareConfig()
    parser = jsonargparse.ArgumentParser(description="Make a training dataset from a folder or zip archive of CIF files.")
    parser.add_argument("source", type=str, help="folder, zip archive or CIF file")
    parser.add_argument("out", type=str, help="dataset folder to write; must not exist")
    parser.add_argument("--table", type=str, default=None, help="CSV with columns file and smiles (optional: kind, licence)")
    parser.add_argument("--max-atoms", type=int, default=default.max_atoms, help="heavy atoms per cell, at most")
    parser.add_argument("--niggli", type=bool, default=default.niggli, help="take the Niggli-reduced cell")
    parser.add_argument("--seed", type=int, default=default.seed, help="of the split by molecule family")
    parser.add_argument("--jobs", type=int, default=0, help="processes; 0 takes one per core")
    return parser


def run_prepare(args: jsonargparse.Namespace) -> None:
    """`packflow prepare`."""
    config = PrepareConfig(max_atoms=args.max_atoms, niggli=args.niggli, seed=args.seed)
    report = prepare(args.source, args.out, config, args.table, args.jobs or None)
    Console().print(report_table(report, Path(args.out)))


def report_table(report: Report, out: Path) -> Table:
    """What became of the files."""
    table = Table(title=f"{out}: {report.n_files} files", caption=f"each rejected file and its reason: {out / REJECTED}")
    for column in ("", "crystals", "molecules"):
        table.add_column(column, justify="left" if not column else "right")
    for split, n_crystals in sorted(report.n_crystals.items(), key=lambda item: -item[1]):
        table.add_row(split, str(n_crystals), str(report.n_molecules[split]))
    for reason, count in report.rejected.most_common():
        table.add_row(f"rejected: {reason}", str(count), "")
    return table

"""`packflow metrics`: numbers of structures, alone or against references."""

from __future__ import annotations

import jsonargparse
from rich.console import Console

from packflow.data.structures import read_structures
from packflow.report.metrics import FEW, check_output, rows_table, summary_table, write_rows


def metrics_parser() -> jsonargparse.ArgumentParser:
    """Arguments of `packflow metrics`."""
    kinds = "folder, zip archive, CIF, Parquet or extended-XYZ file"
    parser = jsonargparse.ArgumentParser(description="Judge crystal structures, alone or against references; hydrogens do not count.")
    parser.add_argument("predictions", type=str, help=f"{kinds}, or the folder of `packflow sample`")
    parser.add_argument("--reference", type=str, default=None, help=f"{kinds} of what the predictions should be")
    parser.add_argument(
        "--match",
        choices=["auto", "name", "molecule", "order"],
        default="auto",
        help="whose reference is which; auto: a single one is for all, else by equal names, else by molecule (nearest AMD of several)",
    )
    parser.add_argument("--out", type=str, default=None, help=".csv or .parquet file to write, a row per structure; must not exist")
    parser.add_argument("--pdd", action="store_true", help="compute the PDD distance too (slower)")
    parser.add_argument("--by", choices=["none", "molecule"], default="none", help="mean of the structures, or of the molecules' means")
    parser.add_argument("--table", type=str, default=None, help="CSV with columns file and smiles: molecules of CIF and XYZ files")
    parser.add_argument("--jobs", type=int, default=0, help="processes that read files; 0 takes one per core")
    return parser


def run_metrics(args: jsonargparse.Namespace) -> None:
    """`packflow metrics`."""
    # the other commands start without the metrics
    from packflow.evaluate.structures import evaluate, summarize

    if args.out:
        check_output(args.out)
    predictions = read_structures(args.predictions, args.table, args.jobs, progress=True)
    references = read_structures(args.reference, args.table, args.jobs, progress=True) if args.reference else None
    rows = evaluate(predictions, references, args.match, args.pdd)
    console = Console()
    if len(rows) <= FEW:
        console.print(rows_table(rows))
    console.print(summary_table(rows, summarize(rows, args.by)))
    if args.out:
        write_rows(rows, args.out)
        console.print(f"written: {args.out}", highlight=False)

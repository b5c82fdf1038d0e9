"""`packflow report`: a store as one HTML page."""

from __future__ import annotations

import jsonargparse
from rich.console import Console

from packflow.report.html_page import MAX_LISTED


def report_parser() -> jsonargparse.ArgumentParser:
    """Arguments of `packflow report`."""
    parser = jsonargparse.ArgumentParser(
        description="Write one HTML file that shows the structures of a store: landscape, table, 3-D view, distributions; works offline."
    )
    parser.add_argument("store", type=str, help="folder of `packflow predict` or `packflow sample`, relaxed and ranked or not")
    parser.add_argument("-o", "--out", type=str, default="report.html", help="file to write, its name ends in .html; replaced if there")
    known = "CIF files of known crystals, to lay structures on; if not given, those of predict --reference or rank --reference"
    parser.add_argument("--reference", type=str, nargs="+", default=[], help=known)
    parser.add_argument("--ranking", type=str, default=None, help="folder of `packflow rank --out`; `ranked` in the store if not given")
    parser.add_argument("--title", type=str, default=None, help="of the page; the name of the molecule if not given")
    parser.add_argument("--max-structures", type=int, default=MAX_LISTED, help="proposals that are listed, the best first; all are counted")
    return parser


def run_report(args: jsonargparse.Namespace) -> None:
    """`packflow report`."""
    # the other commands start without what ranks
    from packflow.pipeline.report import report_store

    with Console(stderr=True).status("reading"):
        report = report_store(args.store, args.out, args.reference, args.ranking, args.title, args.max_structures)
    console = Console()
    for problem in report.problems:
        console.print(f"not shown: {problem}", highlight=False, markup=False, soft_wrap=True)
    listed = (
        f"{report.n_listed} of {report.n_proposals} proposals"
        if report.n_listed < report.n_proposals
        else f"{report.n_proposals} proposals"
    )
    console.print(f"written: {report.path}, {listed}, {report.n_bytes / 1e6:.1f} MB", highlight=False, markup=False, soft_wrap=True)

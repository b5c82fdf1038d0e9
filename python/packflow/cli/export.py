"""`packflow export`: the proposals of a store as files of other programs."""

from __future__ import annotations

import jsonargparse
from rich.console import Console

from packflow.campaign.export import FORMATS, export


def export_parser() -> jsonargparse.ArgumentParser:
    """Arguments of `packflow export`."""
    parser = jsonargparse.ArgumentParser(description="Write the proposals of a store as CIF files, extended XYZ or an ASE database.")
    parser.add_argument("store", type=str, help="folder that `packflow sample --input` wrote, finished or not")
    parser.add_argument("out", type=str, help="folder (cif) or file to write; must not exist")
    parser.add_argument("--format", choices=list(FORMATS), default="cif", help="kind of the result; db is an ASE database")
    parser.add_argument("--all", action="store_true", help="proposals with a problem too")
    parser.add_argument("--valid-only", action="store_true", help="only proposals without a flag")
    return parser


def run_export(args: jsonargparse.Namespace) -> None:
    """`packflow export`."""
    n_written = export(args.store, args.out, args.format, args.all, args.valid_only)
    Console().print(f"written: {args.out}, {n_written} structures", highlight=False)

"""`packflow rank`: the relaxed crystals of a store by energy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import jsonargparse
from rich.console import Console

from packflow.cli.sample import device_of, set_threads

if TYPE_CHECKING:
    from packflow.rank import Ranking


def rank_parser() -> jsonargparse.ArgumentParser:
    """Arguments of `packflow rank`."""
    parser = jsonargparse.ArgumentParser(
        description="Rank the relaxed crystals of a store by energy: a table (Parquet and CSV) and CIF files named by rank."
    )
    parser.add_argument("store", type=str, help="folder whose proposals `packflow relax` relaxed, finished or not")
    out = "folder for the results, must not hold files; if not given, ranked in the store, which is replaced"
    parser.add_argument("--out", type=str, default=None, help=out)
    add_rank_arguments(parser)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 takes all cores")
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda, for references and conformers")
    return parser


def add_rank_arguments(parser: jsonargparse.ArgumentParser) -> None:
    """Arguments of whatever ranks."""
    parser.add_argument("--top", type=int, default=None, help="ranks of each molecule that are written; all if not given")
    references = "CIF files of known crystals: they are relaxed likewise, the ranking says which was found and how much higher in energy"
    parser.add_argument("--reference", type=str, nargs="+", default=[], help=references)
    parser.add_argument("--no-gas", action="store_true", help="no lattice energies: conformers in vacuum are not relaxed")


def run_rank(args: jsonargparse.Namespace) -> None:
    """`packflow rank`."""
    # the other commands start without what ranks
    from packflow.pipeline.ranking import FOLDER, rank_store

    set_threads(args.threads)
    device = str(device_of(args.device))
    with Console(stderr=True).status("ranking"):
        ranking = rank_store(args.store, args.out, args.top, args.reference, not args.no_gas, device=device)
    print_ranking(ranking, Path(args.out) if args.out else Path(args.store) / FOLDER, args.top)


def print_ranking(ranking: Ranking, folder: Path, top: int | None) -> None:
    """The best structures of each molecule, and where they all are."""
    from packflow.report.ranking import SHOWN, ranking_tables, reasons_text

    console = Console()
    for table in ranking_tables(ranking, min(top or SHOWN, SHOWN)):
        console.print(table)
    for smiles, gas in ranking.gas.items():
        if gas.problem and gas.n_conformers:
            console.print(f"no lattice energies of {smiles}: {gas.problem}", highlight=False, markup=False, soft_wrap=True)
    if text := reasons_text(ranking.rows):
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    console.print(f"written: {folder}/ranking.csv, {folder}/ranking.parquet, {folder}/cifs/", highlight=False, markup=False, soft_wrap=True)

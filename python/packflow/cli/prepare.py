"""`packflow prepare`: a dataset from files of structures."""

from __future__ import annotations

from pathlib import Path

import jsonargparse
from rich.console import Console
from rich.table import Table

from packflow.data.filters import PAPER_SPACE_GROUPS, PAPER_Z_PRIMES
from packflow.data.prepare import REJECTED, SUMMARY, PrepareConfig, Report, prepare
from packflow.data.source import STRUCTURE_FILES
from packflow.data.split import SPLITS
from packflow.errors import InputError


def prepare_parser() -> jsonargparse.ArgumentParser:
    """Arguments of `packflow prepare`."""
    default = PrepareConfig()
    parser = jsonargparse.ArgumentParser(
        description="Make a training dataset from a folder or zip archive of CIF, mmCIF and extended-XYZ files, ASE databases and "
        "records of the released code, or from the Cambridge Structural Database where its Python API is installed."
    )
    source = f"folder, zip archive or one {', '.join(STRUCTURE_FILES)} file; csd for the whole CSD; file of its refcodes (.gcd, .txt)"
    parser.add_argument("source", type=str, help=source)
    parser.add_argument("out", type=str, help="dataset folder to write; must not exist")
    parser.add_argument("--table", type=str, default=None, help="CSV with columns file (or refcode) and smiles (optional: kind, licence)")
    parser.add_argument("--max-atoms", type=int, default=default.max_atoms, help="heavy atoms per cell, at most; 0 for no limit")
    parser.add_argument("--elements", type=str, default="any", help="symbols that may occur, as C,H,N,O; any: all 14 of the paper")
    parser.add_argument("--space-groups", type=str, default="any", help="numbers, as 2,14,19, or paper; of the group that spglib finds")
    parser.add_argument("--z-primes", type=str, default="any", help="molecules per asymmetric unit, as 1,2, or paper (1 to 5)")
    parser.add_argument("--niggli", type=bool, default=default.niggli, help="take the Niggli-reduced cell")
    tolerance = default.duplicate_tolerance
    parser.add_argument("--duplicate-tolerance", type=float, default=tolerance, help="AMD distance of equal crystals, Å; 0 keeps all")
    parser.add_argument("--seed", type=int, default=default.seed, help="of the split by molecule family")
    shares = ",".join(map(str, default.fractions))
    parser.add_argument("--fractions", type=str, default=shares, help="of the molecules in train, validation and test")
    for split in SPLITS:
        parser.add_argument(f"--{split}-list", type=str, default=None, help=f"file of names (refcodes), one a line, that are {split}")
    parser.add_argument("--jobs", type=int, default=0, help="processes; 0 takes one per core")
    return parser


def run_prepare(args: jsonargparse.Namespace) -> None:
    """`packflow prepare`."""
    config = PrepareConfig(
        max_atoms=args.max_atoms,
        niggli=args.niggli,
        fractions=shares(args.fractions),
        seed=args.seed,
        duplicate_tolerance=args.duplicate_tolerance,
        elements=None if args.elements == "any" else tuple(args.elements.split(",")),
        space_groups=numbers("--space-groups", args.space_groups, PAPER_SPACE_GROUPS),
        z_primes=numbers("--z-primes", args.z_primes, PAPER_Z_PRIMES),
    )
    lists = {split: path for split in SPLITS if (path := getattr(args, f"{split}_list")) is not None}
    report = prepare(args.source, args.out, config, args.table, args.jobs or None, split_lists=lists)
    Console().print(report_table(report, Path(args.out)))


def numbers(option: str, text: str, paper: tuple[int, ...]) -> tuple[int, ...] | None:
    """Numbers of an option that also takes `any` (None) and `paper`."""
    if text in ("any", "paper"):
        return None if text == "any" else paper
    if not all(word.isdecimal() for word in text.split(",")):
        raise InputError(f"{option} must be any, paper or numbers such as 1,2,14, got {text!r}")
    return tuple(int(word) for word in text.split(","))


def shares(text: str) -> tuple[float, float, float]:
    """The three numbers of --fractions."""
    try:
        train, validation, test = map(float, text.split(","))
    except ValueError as error:
        raise InputError(f"--fractions must be three numbers such as 0.9,0.05,0.05, got {text!r}") from error
    return train, validation, test


def report_table(report: Report, out: Path) -> Table:
    """What became of the files."""
    table = Table(
        title=f"{out}: {report.n_files} files",
        caption=f"distributions: {out / SUMMARY}; each rejected file and its reason: {out / REJECTED}",
    )
    for column in ("", "crystals", "molecules"):
        table.add_column(column, justify="left" if not column else "right")
    for split, n_crystals in sorted(report.n_crystals.items(), key=lambda item: -item[1]):
        table.add_row(split, str(n_crystals), str(report.n_molecules[split]))
    for split, count in report.missing.items():
        table.add_row(f"listed for {split}, not found", str(count), "")
    for reason, count in report.rejected.most_common():
        table.add_row(f"rejected: {reason}", str(count), "")
    return table

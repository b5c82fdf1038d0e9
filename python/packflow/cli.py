"""The `packflow` command: prepare a dataset, train, sample proposals."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import jsonargparse
import torch
from rich.console import Console
from rich.table import Table

from packflow.data.prepare import REJECTED, PrepareConfig, Report, prepare
from packflow.errors import InputError
from packflow.model.pretrained import load
from packflow.pipeline import sample_to_folder
from packflow.structure import Molecule, Template
from packflow.train.__main__ import main as train

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 2 for input that cannot be used, 130 after Ctrl-C.

    `packflow train` is `python -m packflow.train`, whose options come from the recipe's configuration.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["train"]:
        return train(words[1:])
    parser, commands = make_parser()
    args = parser.parse_args(words)
    try:
        commands[args.command](args[args.command])
    except InputError as error:
        print(f"packflow {args.command}: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print(f"packflow {args.command}: interrupted; what was written is complete as far as it goes", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def make_parser() -> tuple[jsonargparse.ArgumentParser, dict]:
    """The parser, and the function that runs each command."""
    parser = jsonargparse.ArgumentParser(prog="packflow", description="Molecular crystal structure prediction by flow matching.")
    parser.add_argument("--version", action="version", version=f"packflow {version('packflow-csp')}")
    commands = parser.add_subcommands(dest="command")
    commands.add_subcommand("sample", sample_parser(), help="sample crystal proposals of a molecule")
    commands.add_subcommand("prepare", prepare_parser(), help="make a training dataset from CIF files")
    commands.add_subcommand("train", jsonargparse.ArgumentParser(), help="train a model on a dataset")
    return parser, {"sample": run_sample, "prepare": run_prepare}


def sample_parser() -> jsonargparse.ArgumentParser:
    """Arguments of `packflow sample`."""
    parser = jsonargparse.ArgumentParser(description="Sample crystal proposals: a table and CIF files of heavy atoms and unit cells.")
    parser.add_argument("smiles", type=str, help="the molecule")
    parser.add_argument("--n-copies", type=int, default=4, help="molecules per unit cell")
    parser.add_argument("--n-samples", type=int, default=32, help="number of proposals")
    parser.add_argument("--out", type=str, required=True, help="folder for the results; must not hold files")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same proposals")
    parser.add_argument("--n-steps", type=int, default=50, help="Euler steps")
    parser.add_argument("--model", type=str, default="open-2m", help="name of installed weights or a path")
    parser.add_argument("--max-atoms", type=int, default=4096, help="atoms sampled at once")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 takes all cores")
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda")
    return parser


def run_sample(args: jsonargparse.Namespace) -> None:
    """`packflow sample`."""
    template = Template(Molecule.from_smiles(args.smiles), args.n_copies)
    set_threads(args.threads)
    model = load(args.model).to(device_of(args.device))
    settings = {"model": args.model, "max_atoms": args.max_atoms}
    folder = sample_to_folder(model, template, args.out, args.n_samples, args.seed, args.n_steps, args.max_atoms, settings=settings)
    console = Console()
    console.print(folder.summary())
    console.print(f"written: {folder.path}/proposals.parquet, {folder.path}/cifs/", highlight=False)


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


def set_threads(n_threads: int) -> None:
    """Threads of torch and of the native kernels; 0 leaves all cores."""
    if n_threads < 0:
        raise InputError(f"threads must be 0 or more, got {n_threads}")
    if n_threads:
        torch.set_num_threads(n_threads)


def device_of(name: str) -> torch.device:
    """A device that is there."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device must be cpu or cuda, got {name!r}") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda is not available on this machine (no GPU, no driver, or a CPU-only torch): use --device cpu")
    return device


if __name__ == "__main__":
    raise SystemExit(main())

"""The `packflow` command: datasets, training, weights; proposals sampled, relaxed, ranked, judged; the machine measured."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version

import jsonargparse

from packflow.errors import InputError

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
# in the order of the help; each but train and align is a file of this folder, which is read when the command is given
COMMANDS = {
    "sample": "sample crystal proposals of a molecule, or of many",
    "relax": "add hydrogens to sampled proposals and relax them",
    "rank": "rank relaxed crystals by energy",
    "predict": "all of this for one molecule: sample, relax, rank",
    "export": "write a store of proposals as CIF, extended XYZ or ASE database",
    "report": "show a store as one HTML page that works offline",
    "metrics": "judge crystal structures, alone or against references",
    "evaluate": "compare engines on known crystals: tables and figures",
    "prepare": "make a training dataset from structure files or the CSD",
    "train": "train a model on a dataset",
    "align": "align a model by energies and forces of its proposals",
    "convert": "write released or own weights as one safetensors file",
    "bench-machine": "measure how fast this machine samples",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 2 for input that cannot be used, 130 after Ctrl-C.

    `packflow train` is `python -m packflow.train` and `packflow align` is `python -m packflow.train.grpo`: their options come from a
    recipe's configuration.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["train"]:
        from packflow.train.__main__ import main as train

        return train(words[1:])
    if words[:1] == ["align"] and words[1:2] != ["proxy-check"]:
        from packflow.train.grpo import main as align

        return align(words[1:])
    parser, run = make_parser(words[0] if words else "")
    args = parser.parse_args(words)
    try:
        run(args[args.command])
    except InputError as error:
        print(f"packflow {args.command}: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print(f"packflow {args.command}: interrupted; what was written is complete as far as it goes", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def make_parser(command: str) -> tuple[jsonargparse.ArgumentParser, Callable[[jsonargparse.Namespace], None]]:
    """The parser, with the arguments of one command, and the function that runs it; of the others it knows the names."""
    parser = jsonargparse.ArgumentParser(prog="packflow", description="Molecular crystal structure prediction by flow matching.")
    parser.add_argument("--version", action="version", version=f"packflow {version('packflow-csp')}")
    commands = parser.add_subcommands(dest="command")
    own, run = jsonargparse.ArgumentParser(), run_align
    if command == "align":
        own = jsonargparse.ArgumentParser(description="Options of aligning itself: packflow align --recipe align-2m --help.")
    elif command in COMMANDS and command != "train":
        # torch, Lightning and the metrics are slow to import: no command waits for those of another
        name = command.replace("-", "_")
        module = import_module(f"packflow.cli.{name}")
        own, run = getattr(module, f"{name}_parser")(), getattr(module, f"run_{name}")
    for name, meaning in COMMANDS.items():
        commands.add_subcommand(name, own if name == command else jsonargparse.ArgumentParser(), help=meaning)
        if name == "align" == command:
            add_tools(own)
    return parser, run


def add_tools(parser: jsonargparse.ArgumentParser) -> None:
    """`packflow align proxy-check`."""
    from packflow.cli.proxy_check import proxy_check_parser

    tools = parser.add_subcommands(dest="tool")
    tools.add_subcommand("proxy-check", proxy_check_parser(), help="whether cheap rewards order proposals as costly ones")


def run_align(args: jsonargparse.Namespace) -> None:
    """`packflow align proxy-check`."""
    from packflow.cli.proxy_check import run_proxy_check

    run_proxy_check(args[args.tool])

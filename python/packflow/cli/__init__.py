"""The `packflow` command: datasets, training, weights; proposals sampled, relaxed, ranked, judged; the machine measured."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version

import jsonargparse

from packflow.cli.bench_machine import bench_machine_parser, run_bench_machine
from packflow.cli.convert import convert_parser, run_convert
from packflow.cli.evaluate import evaluate_parser, run_evaluate
from packflow.cli.export import export_parser, run_export
from packflow.cli.metrics import metrics_parser, run_metrics
from packflow.cli.predict import predict_parser, run_predict
from packflow.cli.prepare import prepare_parser, run_prepare
from packflow.cli.proxy_check import proxy_check_parser, run_proxy_check
from packflow.cli.rank import rank_parser, run_rank
from packflow.cli.relax import relax_parser, run_relax
from packflow.cli.report import report_parser, run_report
from packflow.cli.sample import run_sample, sample_parser
from packflow.errors import InputError
from packflow.train.__main__ import main as train
from packflow.train.grpo import main as align

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 2 for input that cannot be used, 130 after Ctrl-C.

    `packflow train` is `python -m packflow.train` and `packflow align` is `python -m packflow.train.grpo`: their options come from a
    recipe's configuration.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["train"]:
        return train(words[1:])
    if words[:1] == ["align"] and words[1:2] != ["proxy-check"]:
        return align(words[1:])
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
    commands.add_subcommand("sample", sample_parser(), help="sample crystal proposals of a molecule, or of many")
    commands.add_subcommand("relax", relax_parser(), help="add hydrogens to sampled proposals and relax them")
    commands.add_subcommand("rank", rank_parser(), help="rank relaxed crystals by energy")
    commands.add_subcommand("predict", predict_parser(), help="all of this for one molecule: sample, relax, rank")
    commands.add_subcommand("export", export_parser(), help="write a store of proposals as CIF, extended XYZ or ASE database")
    commands.add_subcommand("report", report_parser(), help="show a store as one HTML page that works offline")
    commands.add_subcommand("metrics", metrics_parser(), help="judge crystal structures, alone or against references")
    commands.add_subcommand("evaluate", evaluate_parser(), help="compare engines on known crystals: tables and figures")
    commands.add_subcommand("prepare", prepare_parser(), help="make a training dataset from structure files or the CSD")
    commands.add_subcommand("train", jsonargparse.ArgumentParser(), help="train a model on a dataset")
    align_parser = jsonargparse.ArgumentParser(description="Options of aligning itself: packflow align --recipe align-2m --help.")
    commands.add_subcommand("align", align_parser, help="align a model by energies and forces of its proposals")
    commands.add_subcommand("convert", convert_parser(), help="write released or own weights as one safetensors file")
    commands.add_subcommand("bench-machine", bench_machine_parser(), help="measure how fast this machine samples")
    tools = align_parser.add_subcommands(dest="tool")
    tools.add_subcommand("proxy-check", proxy_check_parser(), help="whether cheap rewards order proposals as costly ones")
    work = {"align": run_align, "sample": run_sample, "relax": run_relax, "rank": run_rank, "predict": run_predict, "export": run_export}
    work |= {"report": run_report, "metrics": run_metrics, "evaluate": run_evaluate}
    return parser, work | {"prepare": run_prepare, "convert": run_convert, "bench-machine": run_bench_machine}


def run_align(args: jsonargparse.Namespace) -> None:
    """`packflow align proxy-check`."""
    run_proxy_check(args[args.tool])

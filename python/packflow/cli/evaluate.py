"""`packflow evaluate`: engines side by side on crystals that are known."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jsonargparse
from rich.console import Console

from packflow.baseline import BASELINES
from packflow.cli.engines import add_engine_arguments, genarris_of, pyxtal_of
from packflow.cli.executors import add_executor_arguments, check_executor_arguments, executor_of, workers_of_a_device
from packflow.cli.sample import add_solver_arguments, add_validity_arguments, checks_of, config_of, device_of, set_threads
from packflow.errors import InputError

if TYPE_CHECKING:
    from packflow.evaluate.landscape import Landscape
    from packflow.evaluate.run import Evaluation

FIGURES = "figures"


def evaluate_parser() -> jsonargparse.ArgumentParser:
    """Arguments of `packflow evaluate`."""
    parser = jsonargparse.ArgumentParser(
        description="Sample engines on known crystals and compare them: the paper's tables and figures. The same command continues."
    )
    parser.add_argument("test_set", type=str, help="folder of `packflow prepare`, or folder, zip archive or file of crystal structures")
    parser.add_argument("--out", type=str, required=True, help="folder for stores, tables and figures")
    parser.add_argument(
        "--engine",
        action="append",
        type=str,
        default=None,
        help=f"name of weights, path of a checkpoint, {', '.join(BASELINES)}; as LABEL=ENGINE if wanted; give it again for more (open-2m)",
    )
    add_engine_arguments(parser)
    parser.add_argument("--split", type=str, default="test", help="of a prepared dataset")
    parser.add_argument(
        "--kind", choices=["experimental", "any"], default="experimental", help="any: computed crystals where none is measured"
    )
    parser.add_argument("--table", type=str, default=None, help="CSV with columns file and smiles: molecules of structure files")
    parser.add_argument("--max-molecules", type=int, default=None, help="only the first so many")
    more = "a larger number adds to those that are there, a smaller one judges the first"
    parser.add_argument("--n-samples", type=int, default=20, help=f"proposals of each template; {more}")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same proposals")
    parser.add_argument("--max-atoms", type=int, default=None, help="atoms sampled at once; as many as suit the device if not given")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 takes all cores")
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda")
    add_executor_arguments(parser, "proposals are sampled and judged")
    add_score_arguments(parser)
    add_figure_arguments(parser)
    add_solver_arguments(parser)
    add_validity_arguments(parser)
    return parser


def add_score_arguments(parser: jsonargparse.ArgumentParser) -> None:
    """What is computed of proposals."""
    parser.add_argument("--pdd", action="store_true", help="compute PDD distances too")
    parser.add_argument("--no-rmsd", action="store_true", help="leave out RMSD_15 and solved crystals, the slowest numbers")
    parser.add_argument("--compat", action="store_true", help="add the released code's metrics and averages")


def add_figure_arguments(parser: jsonargparse.ArgumentParser) -> None:
    """What is drawn."""
    parser.add_argument("--figures", action="store_true", help="draw the paper's figures, PNG and HTML (needs the extra figures)")
    parser.add_argument("--potential", type=str, default=None, help="also energies and forces of proposals, for figures: mmff, uma, ...")
    parser.add_argument("--attention-crystal", type=str, default=None, help="name of the known crystal whose attention is drawn")
    parser.add_argument("--attention-atom", type=int, default=None, help="its atom that looks, from 0")
    predicted = "folder of `packflow predict`, for its landscape; as LABEL=FOLDER, and again for others of that molecule, if wanted"
    parser.add_argument("--predicted", action="append", type=str, default=None, help=predicted)
    parser.add_argument("--reference", action="append", type=str, default=None, help="CIF of a measured form, to mark it there")


def run_evaluate(args: jsonargparse.Namespace) -> None:
    """`packflow evaluate`."""
    # the other commands start without the metrics
    from packflow.evaluate.result_files import PAPER, paper_table, times_text, write_results
    from packflow.evaluate.run import evaluate_engines
    from packflow.evaluate.sampled import SamplingOptions, Workers
    from packflow.evaluate.scores import ScoreOptions
    from packflow.evaluate.test_set import read_test_set

    check_figure_arguments(args)
    check_executor_arguments(args)
    out, console = Path(args.out), Console()
    set_threads(args.threads)
    config, checks, device = config_of(args), checks_of(args), str(device_of(args.device))
    workers = Workers(executor_of(args), {"here": 1, "ray": 0}.get(args.executor, args.workers), workers_of_a_device(args))
    adapters = pyxtal_of(args), genarris_of(args)
    sampling = SamplingOptions(args.n_samples, args.seed, config, checks, args.max_atoms, device, *adapters, workers)
    scoring = ScoreOptions(args.pdd, not args.no_rmsd, args.compat, args.potential or "")
    test_set = read_test_set(args.test_set, args.split, args.kind, args.table, args.max_molecules)
    if test_set.left_out:
        say(f"{len(test_set.left_out)} structures cannot be references: {'; '.join(test_set.left_out[:3])}")
    found = evaluate_engines(test_set, args.engine or ["open-2m"], out, sampling, scoring, say)
    paths = write_results(found, out, settings_of(args))
    if args.figures:
        paths += draw_figures(found, out, args)
    table = [*paper_table(found.results, PAPER), "", *times_text(found.results)]
    console.print("\n".join(table), highlight=False, soft_wrap=True, markup=False)
    console.print(f"written: {', '.join(str(path) for path in paths)}", highlight=False, soft_wrap=True)
    if found.problems:
        raise InputError(f"{', '.join(found.problems)} could not be evaluated, see above; the other engines are written")


def check_figure_arguments(args: jsonargparse.Namespace) -> None:
    """Refuse what cannot be drawn before anything is sampled.

    Raises:
        InputError: an option of a figure without --figures, or the packages that draw are not installed.
    """
    for name in ("attention_crystal", "attention_atom", "predicted", "reference"):
        if args[name] is not None and not args.figures:
            raise InputError(f"--{name.replace('_', '-')} is for --figures, got it without")
    if args.reference and not args.predicted:
        raise InputError("--reference is for --predicted, got it without")
    if args.figures:
        from packflow.evaluate.figures.write import check_packages

        check_packages()


def draw_figures(found: Evaluation, out: Path, args: jsonargparse.Namespace) -> list[Path]:
    """Draw all figures that can be drawn; returns their files."""
    from packflow.evaluate.figures.landscape import landscape_figure
    from packflow.evaluate.figures.paper import paper_figures
    from packflow.evaluate.figures.write import write_figures

    figures = paper_figures(found, out, say, args.attention_crystal, args.attention_atom)
    if args.predicted:
        try:
            figures.append(landscape_figure(landscapes(args.predicted, args.reference or (), args.device)))
        except InputError as error:
            say(f"no figure of the landscape: {error}")
    return write_figures(figures, out / FIGURES)


def landscapes(words: Sequence[str], references: Sequence[str], device: str) -> list[Landscape]:
    """Landscapes of folders, given as FOLDER or LABEL=FOLDER, with measured forms relaxed as their crystals were."""
    from packflow.campaign.relax_stage import read_relaxed
    from packflow.evaluate.engines import engine_name
    from packflow.evaluate.landscape import landscape_of
    from packflow.pipeline.known import read_known, relax_known
    from packflow.pipeline.ranking import potential_and_settings

    found = []
    for folder in map(engine_name, words):
        settings, potential = potential_and_settings(folder.word, None, device)
        smiles = [row["smiles"] for row in read_relaxed(folder.word)]
        known = relax_known(read_known(references, smiles), potential, settings, device)
        found.append(landscape_of(folder.word, folder.label, potential, known))
    return found


def say(sentence: str) -> None:
    """A warning, at once and where it is seen."""
    print(f"packflow evaluate: WARNING: {sentence}", file=sys.stderr, flush=True)


def settings_of(args: jsonargparse.Namespace) -> dict[str, object]:
    """How an evaluation was made, for its files."""
    solver = ("n_steps", "solver", "grid_positions", "grid_lattice", "tempering", "width", "eta", "precision")
    programs = ("pyxtal_factor", "genarris_command")
    names = ("test_set", "split", "kind", "n_samples", "seed", "device", *solver, "valid_only", "budget", "clean", *programs)
    return {name: args[name] for name in names}

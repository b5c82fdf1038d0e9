"""`packflow sample`: proposals of a molecule, or of those in a file."""

from __future__ import annotations

import jsonargparse
import torch
from rich.console import Console

from packflow.baseline import BASELINES, Baseline
from packflow.baseline.engine import GENARRIS
from packflow.cli.campaign import add_campaign_arguments, check_campaign_arguments, run_campaign
from packflow.cli.engines import GENARRIS_COMMAND, PYXTAL_FACTOR, add_engine_arguments, genarris_of, pyxtal_of
from packflow.errors import InputError
from packflow.flow.acceptance import BUDGET, Checks
from packflow.flow.sampler import SampleConfig
from packflow.flow.time_grid import TUNED_LATTICE, TUNED_POSITIONS, TimeGrid
from packflow.flow.validity import Limits
from packflow.model import PackFlow
from packflow.model.pretrained import load
from packflow.pipeline.proposals import sample_to_folder
from packflow.structure import Molecule, Template

# the first samples with a model
ENGINES = ("packflow", *BASELINES)
# options that say nothing to a baseline
OF_MODELS = ("model", "device", "n_steps", "solver", "grid_positions", "grid_lattice", "tempering", "width", "eta", "precision")


def sample_parser() -> jsonargparse.ArgumentParser:
    """Arguments of `packflow sample`."""
    parser = jsonargparse.ArgumentParser(description="Sample crystal proposals: a table and CIF files of heavy atoms and unit cells.")
    parser.add_argument("smiles", type=str, nargs="?", default=None, help="the molecule")
    parser.add_argument("--n-copies", type=int, default=4, help="molecules per unit cell")
    parser.add_argument("--n-samples", type=int, default=32, help="number of proposals")
    parser.add_argument(
        "--out", type=str, required=True, help="folder for the results; must not hold files, but for an --input to continue"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same proposals")
    engines = "what samples: a model, or a baseline of docs/baselines.md; pyxtal and genarris where they are installed"
    parser.add_argument("--engine", choices=list(ENGINES), default=ENGINES[0], help=engines)
    add_engine_arguments(parser)
    parser.add_argument("--model", type=str, default="open-2m", help="name of installed or released weights, or a path")
    parser.add_argument("--max-atoms", type=int, default=None, help="atoms sampled at once; as many as suit the device if not given")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 takes all cores")
    add_solver_arguments(parser)
    add_validity_arguments(parser)
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda")
    add_campaign_arguments(parser)
    return parser


def add_solver_arguments(parser: jsonargparse.ArgumentParser) -> None:
    """The fields of SampleConfig."""
    defaults = SampleConfig()
    grid = "tuned, linear, quadratic, exponential or power:P for (1 - k/n)^P"
    parser.add_argument("--n-steps", type=int, default=defaults.n_steps, help="steps from noise to data")
    parser.add_argument("--solver", type=str, default=defaults.solver, help="euler, heun (two evaluations a step), ab2 or multistep")
    parser.add_argument("--grid-positions", type=str, default="tuned", help=f"times of the positions: {grid}")
    parser.add_argument("--grid-lattice", type=str, default="tuned", help="times of the lattice, likewise")
    parser.add_argument("--tempering", type=float, default=defaults.tempering, help="above 1: nearer to the likeliest, less varied")
    parser.add_argument("--width", type=float, default=defaults.width, help="of the tempering, see docs/sampling.md")
    parser.add_argument("--eta", type=float, default=defaults.eta, help="noise added in each step, 1 as in ancestral sampling; euler only")
    parser.add_argument("--precision", type=str, default=defaults.precision, help="float32 or bf16, of the network's matrix products")


def add_validity_arguments(parser: jsonargparse.ArgumentParser) -> None:
    """The fields of Checks and Limits."""
    limits = Limits()
    parser.add_argument("--valid-only", action="store_true", help="replace proposals that are flagged by fresh samples")
    parser.add_argument("--budget", type=int, default=BUDGET, help="samples of a proposal, at most, with --valid-only")
    parser.add_argument("--clean", action="store_true", help="mend bonds, clashes and cell of each sample; says how far")
    parser.add_argument("--max-clash", type=float, default=limits.max_clash, help="flagged above: percent of the atoms in clash")
    parser.add_argument("--min-bonds-valid", type=float, default=limits.min_bonds_valid, help="flagged below: percent of valid bonds")
    parser.add_argument("--min-density", type=float, default=limits.min_density, help="flagged below: g/cm3, with hydrogens")
    parser.add_argument("--max-density", type=float, default=limits.max_density, help="flagged above: g/cm3, with hydrogens")


def checks_of(args: jsonargparse.Namespace) -> Checks:
    """What proposals must pass.

    Raises:
        InputError: a limit or budget has no meaning, or a budget is given and nothing is replaced.
    """
    limits = Limits(args.max_clash, args.min_bonds_valid, args.min_density, args.max_density)
    if not args.valid_only and args.budget != BUDGET:
        raise InputError(f"--budget is for --valid-only, got --budget {args.budget} without it")
    return Checks(limits, args.budget if args.valid_only else 1, args.clean)


def config_of(args: jsonargparse.Namespace) -> SampleConfig:
    """The solver that the arguments describe."""
    positions = grid_of("grid-positions", args.grid_positions, TUNED_POSITIONS)
    lattice = grid_of("grid-lattice", args.grid_lattice, TUNED_LATTICE)
    return SampleConfig(args.n_steps, args.solver, positions, lattice, args.tempering, args.width, args.eta, args.precision)


def grid_of(name: str, text: str, tuned: TimeGrid) -> TimeGrid:
    """A time grid from its name, as "tuned", "linear" or "power:2.5"."""
    if text == "tuned":
        return tuned
    kind, _, power = text.partition(":")
    if not power:
        return TimeGrid(kind)  # type: ignore[arg-type]
    try:
        return TimeGrid(kind, power=float(power))  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(f"{name} must be a name such as linear, or power:2.5, got {text!r}") from error


def run_sample(args: jsonargparse.Namespace) -> None:
    """`packflow sample`."""
    check_campaign_arguments(args)
    checks = checks_of(args)
    template = None if args.smiles is None else Template(Molecule.from_smiles(args.smiles), args.n_copies)
    set_threads(args.threads)
    check_engine_arguments(args)
    config = config_of(args)
    if args.engine == ENGINES[0]:
        model: PackFlow | Baseline = load(args.model).to(device_of(args.device))
    else:
        model = Baseline(args.engine, pyxtal=pyxtal_of(args), genarris=genarris_of(args))
    if template is None:
        run_campaign(args, model, config, checks)
        return
    source = {"model": args.model} if args.engine == ENGINES[0] else {"engine": args.engine}
    settings = {**source, "max_atoms": args.max_atoms}
    asked = (args.n_samples, args.seed, config, args.max_atoms)
    folder = sample_to_folder(model, template, args.out, *asked, settings=settings, checks=checks)
    console = Console()
    console.print(folder.summary())
    console.print(folder.tally.text(checks.budget), highlight=False)
    console.print(f"written: {folder.path}/proposals.parquet, {folder.path}/cifs/", highlight=False)


def check_engine_arguments(args: jsonargparse.Namespace) -> None:
    """Refuse options of one engine with another.

    Raises:
        InputError: so.
    """
    defaults = sample_parser().get_defaults()
    given = [name for name in OF_MODELS if args[name] != defaults[name]] if args.engine != ENGINES[0] else []
    if given:
        raise InputError(f"--{given[0].replace('_', '-')} is for --engine {ENGINES[0]}, got --engine {args.engine}")
    if args.pyxtal_factor != PYXTAL_FACTOR and args.engine != "pyxtal":
        raise InputError(f"--pyxtal-factor is for --engine pyxtal, got --engine {args.engine}")
    if args.genarris_command != GENARRIS_COMMAND and args.engine not in GENARRIS:
        raise InputError(f"--genarris-command is for --engine {' or '.join(GENARRIS)}, got --engine {args.engine}")


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

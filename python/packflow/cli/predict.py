"""`packflow predict`: from a SMILES to ranked crystals, in a store that the same command continues."""

from __future__ import annotations

import jsonargparse
from rich.console import Console

from packflow.cli.executors import add_executor_arguments, check_executor_arguments, executor_of, workers_of_a_device
from packflow.cli.rank import add_rank_arguments, print_ranking
from packflow.cli.relax import add_relax_arguments, relaxation_of
from packflow.cli.sample import add_solver_arguments, add_validity_arguments, checks_of, config_of, device_of, set_threads
from packflow.errors import InputError
from packflow.model.pretrained import load


def predict_parser() -> jsonargparse.ArgumentParser:
    """Arguments of `packflow predict`."""
    parser = jsonargparse.ArgumentParser(
        description="Predict the crystals of a molecule: sample proposals, add hydrogens, relax, rank. The same command continues."
    )
    parser.add_argument("smiles", type=str, help="the molecule")
    parser.add_argument("--out", type=str, required=True, help="folder for all results: a store as of `packflow sample --input`")
    parser.add_argument("--n-copies", type=str, default="4", help="molecules per unit cell; or several numbers, as 2;4")
    parser.add_argument("--n-samples", type=int, default=32, help="number of proposals, of each number of copies")
    parser.add_argument("--name", type=str, default="molecule", help="of the molecule: crystals are called name#n_copies-index")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same proposals")
    parser.add_argument("--model", type=str, default="open-2m", help="name of installed or released weights, or a path")
    parser.add_argument("--max-atoms", type=int, default=None, help="atoms sampled at once; as many as suit the device if not given")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 takes all cores")
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda")
    add_solver_arguments(parser)
    add_validity_arguments(parser)
    add_relax_arguments(parser)
    add_rank_arguments(parser)
    add_executor_arguments(parser, "proposals are sampled and relaxed")
    return parser


def run_predict(args: jsonargparse.Namespace) -> None:
    """`packflow predict`."""
    from packflow.pipeline.prediction import predict
    from packflow.pipeline.ranking import FOLDER

    check_executor_arguments(args)
    checks, config, relaxation = checks_of(args), config_of(args), relaxation_of(args)
    n_copies = numbers_of(args.n_copies)
    set_threads(args.threads)
    model = load(args.model).to(device_of(args.device))
    found = predict(
        model,
        args.smiles,
        args.out,
        n_copies,
        args.n_samples,
        args.seed,
        config,
        checks,
        args.potential,
        relaxation,
        references=args.reference,
        gas=not args.no_gas,
        top=args.top,
        name=args.name,
        max_atoms=args.max_atoms,
        n_workers=workers_of_a_device(args),
        executor=executor_of(args),
    )
    console = Console()
    console.print(found.tally.text(checks.budget), highlight=False, soft_wrap=True)
    console.print(found.counts.text(), highlight=False, soft_wrap=True)
    print_ranking(found.ranking, found.path / FOLDER, args.top)


def numbers_of(text: str) -> tuple[int, ...]:
    """Numbers of copies from a text such as 4 or 2;4."""
    try:
        return tuple(int(part) for part in text.split(";"))
    except ValueError as error:
        raise InputError(f"n_copies must be a whole number or several such as 2;4, got {text!r}") from error

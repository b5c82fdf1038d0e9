"""Command lines whose options are the fields of a run's configuration: those of the recipe, changed one by one."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, TypeVar

import torch
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from packflow.errors import InputError
from packflow.model.weights import from_dict
from packflow.train.checkpoint import RunConfig, checkpoints_in
from packflow.train.parallel import is_first
from packflow.train.run_folder import TrainResult

C = TypeVar("C", bound=RunConfig)


def guarded(program: str, words: Sequence[str], run: Callable[[Sequence[str]], int]) -> int:
    """Do what a command line says; what the user can mend is said in one line.

    Args:
        program: Name of the command.
        words: Of the command line.
        run: Returns the exit status.

    Returns:
        Exit status: 2 for input that cannot be used, 130 after a second Ctrl-C.
    """
    try:
        return run([underscored(word) for word in words])
    except InputError as error:
        process = "" if is_first() else f" (process {os.environ['RANK']})"
        print(f"{program}{process}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: aborted; the last checkpoint is complete", file=sys.stderr)
        return 130


def underscored(word: str) -> str:
    """The option names of dataclass fields: --n-steps=5 as --n_steps=5."""
    name, equals, value = word.partition("=")
    return name.replace("-", "_").replace("__", "--", 1) + equals + value if word.startswith("--") else word


def first_look(words: Sequence[str]) -> argparse.Namespace:
    """The options that decide the defaults of all others."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("--recipe", "--out", "--resume", "--init"):
        parser.add_argument(name, nargs="?")
    return parser.parse_known_args(words)[0]


def checkpoint_to_resume(resume: str | None, out: str | None) -> Path | None:
    """The checkpoint folder that --resume means; None to start afresh."""
    if resume is None:
        return None
    if resume == "auto":
        found = checkpoints_in(Path(out)) if out else []
        return found[-1] if found else None
    if not Path(resume).is_dir():
        raise InputError(f"--resume {resume} is no folder: give a checkpoint folder step_..., or auto for the last one in --out")
    return Path(resume)


def recipe_of(recipes: Mapping[str, Callable[[], C]], name: str) -> C:
    """The configuration of a recipe.

    Raises:
        InputError: the name is unknown; with a suggestion.
    """
    if name in recipes:
        return recipes[name]()
    close = get_close_matches(name.lower().replace("_", "-"), recipes, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}? " if close else ""
    raise InputError(f"recipe {name!r} is unknown: {hint}there are {', '.join(recipes)}")


def check_recipe(recipe: str | None, known: str, resume: Path) -> None:
    """Refuse to resume a run by another recipe than its own."""
    if recipe is not None and recipe != known:
        raise InputError(f"{resume} is of recipe {known}, not {recipe}: leave --recipe out, or choose another --out")


def parse(words: Sequence[str], defaults: C, program: str, what: str, recipes: Sequence[str]) -> tuple[Namespace, C]:
    """What is done where, and the configuration of the run.

    Args:
        words: Of the command line, see `underscored`.
        defaults: What the options change.
        program: Name of the command.
        what: It does, for the help.
        recipes: Their names, for the help.

    Raises:
        InputError: an option is unknown, with the nearest known one, its value is not of its type, or --data or --out is missing.
    """
    parser = parser_of(defaults, program, what, recipes)
    try:
        values = parser.parse_args(list(words))
    except (ArgumentError, argparse.ArgumentError) as error:
        raise InputError(one_line(str(error), words, parser)) from error
    names = asdict(defaults).keys()
    config = {name: value for name, value in values.as_dict().items() if name in names}
    return values, from_dict(type(defaults), {**config, "recipe": asdict(defaults)["recipe"]}, Path("the command line"))


def parser_of(defaults: RunConfig, program: str, what: str, recipes: Sequence[str]) -> ArgumentParser:
    """One option for each field of the configuration, beside those that say what is done where."""
    parser = ArgumentParser(prog=program, description=what, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--recipe", type=str | None, help=f"where the options below start from: {', '.join(recipes)}")
    parser.add_argument("--data", type=str | None, help="dataset folder of packflow prepare")
    parser.add_argument("--out", type=str | None, help="folder for checkpoints and logs")
    parser.add_argument("--resume", type=str | None, help="a checkpoint folder, or auto: the last one in --out, if there is one")
    parser.add_argument("--device", type=Literal["auto", "cpu", "cuda"], default="auto", help="where to train")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves the choice to torch")
    parser.add_argument("--max_minutes", type=float, default=math.inf, help="end after so many minutes, with a checkpoint")
    parser.add_argument("--wandb", type=str | None, help="project at Weights & Biases to report to as well; needs the package wandb")
    parser.add_class_arguments(type(defaults), skip={"recipe"})
    parser.set_defaults({name: value for name, value in asdict(defaults).items() if name != "recipe"})
    return parser


def one_line(message: str, words: Sequence[str], parser: ArgumentParser) -> str:
    """A parser's complaint on one line, with the nearest option for one that does not exist."""
    known = [option for action in parser._actions for option in action.option_strings]
    unknown = [name for name in (word.partition("=")[0] for word in words) if name.startswith("--") and name not in known]
    if not unknown:
        return " ".join(message.split())
    close = get_close_matches(unknown[0], known, n=1, cutoff=0.4)
    return f"option {unknown[0]} is unknown: " + (f"did you mean {close[0]}?" if close else "see --help")


def check_place(task: Namespace) -> None:
    """Refuse a run without data or without a folder, and set the number of threads."""
    if task.out is None or task.data is None:
        raise InputError("a run needs --data, a folder of packflow prepare, and --out, a folder for its checkpoints")
    if task.threads:
        torch.set_num_threads(task.threads)


def told(program: str, result: TrainResult, out: str, n_steps: int) -> int:
    """Say how a run ended; returns the exit status."""
    status = 0 if result.stopped_by is None else 128 + result.stopped_by
    if is_first() and result.stopped_by is not None:
        mend = f"continue with --out {out} --resume auto" if result.checkpoint else "no step was done"
        print(f"{program}: stopped by {result.stopped_by.name} after step {result.step}; {mend}", file=sys.stderr)
    elif is_first():
        print(f"{result.step} of {n_steps} steps done; weights in {result.checkpoint}")
    return status

"""Command line: python -m packflow.train --recipe open-2m --data DIR --out DIR [--resume auto] [--optim.learning_rate 1e-4 ...].

In several processes: torchrun --standalone --nproc-per-node 4 -m packflow.train ..., with the same options.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import torch
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from packflow.data.dataset import CrystalDataset
from packflow.errors import InputError
from packflow.model.weights import from_dict
from packflow.train.checkpoint import checkpoints_in, read_config
from packflow.train.config import TrainConfig
from packflow.train.initial import adapted
from packflow.train.parallel import is_first
from packflow.train.pretrain import train
from packflow.train.recipes import RECIPES, recipe_named

PROGRAM = "packflow train"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; returns the exit status."""
    words = [underscored(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    try:
        return run(words)
    except InputError as error:
        process = "" if is_first() else f" (process {os.environ['RANK']})"
        print(f"{PROGRAM}{process}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{PROGRAM}: aborted; the last checkpoint is complete", file=sys.stderr)
        return 130


def run(words: Sequence[str]) -> int:
    """Parse, train, report."""
    first = first_look(words)
    resume = checkpoint_to_resume(first.resume, first.out)
    base = starting_point(first.recipe, first.init, resume)
    task, config = parse(words, base)
    if resume is not None and config.model != base.model:
        raise InputError(f"{resume} holds another model: the model of a resumed run cannot change")
    if task.out is None or task.data is None:
        raise InputError("a run needs --data, a folder of packflow prepare, and --out, a folder for its checkpoints")
    if task.threads:
        torch.set_num_threads(task.threads)
    result = train(config, CrystalDataset.open(task.data), Path(task.out), resume, task.max_minutes, task.device, task.wandb)
    if not is_first():
        return 0 if result.stopped_by is None else 128 + result.stopped_by
    if result.stopped_by is not None:
        mend = f"continue with --out {task.out} --resume auto" if result.checkpoint else "no step was done"
        print(f"{PROGRAM}: stopped by {result.stopped_by.name} after step {result.step}; {mend}", file=sys.stderr)
        return 128 + result.stopped_by
    print(f"{result.step} of {config.n_steps} steps done; weights in {result.checkpoint}")
    return 0


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


def starting_point(recipe: str | None, init: str | None, resume: Path | None) -> TrainConfig:
    """The configuration that the command line's options change: of the checkpoint, else of the recipe, for the network of init."""
    if resume is None:
        config = recipe_named(recipe) if recipe else TrainConfig()
        return adapted(config if init is None else replace(config, init=init))
    config = read_config(resume)
    if recipe is not None and recipe != config.recipe:
        raise InputError(f"{resume} is of recipe {config.recipe}, not {recipe}: leave --recipe out, or choose another --out")
    return config


def parse(words: Sequence[str], defaults: TrainConfig) -> tuple[Namespace, TrainConfig]:
    """What is done where, and the configuration of the run.

    Raises:
        InputError: an option is unknown, with the nearest known one, or its value is not of its type.
    """
    parser = parser_of(defaults)
    try:
        values = parser.parse_args(list(words))
    except (ArgumentError, argparse.ArgumentError) as error:
        raise InputError(one_line(str(error), words, parser)) from error
    names = asdict(defaults).keys()
    config = {name: value for name, value in values.as_dict().items() if name in names}
    return values, from_dict(TrainConfig, {**config, "recipe": defaults.recipe}, Path("the command line"))


def parser_of(defaults: TrainConfig) -> ArgumentParser:
    """One option for each field of the configuration, beside those that say what is done where."""
    parser = ArgumentParser(prog=PROGRAM, description="Train a PackFlow by flow matching.", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--recipe", type=str | None, help=f"where the options below start from: {', '.join(RECIPES)}")
    parser.add_argument("--data", type=str | None, help="dataset folder of packflow prepare")
    parser.add_argument("--out", type=str | None, help="folder for checkpoints and logs")
    parser.add_argument("--resume", type=str | None, help="a checkpoint folder, or auto: the last one in --out, if there is one")
    parser.add_argument("--device", type=Literal["auto", "cpu", "cuda"], default="auto", help="where to train")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves the choice to torch")
    parser.add_argument("--max_minutes", type=float, default=math.inf, help="end after so many minutes, with a checkpoint")
    parser.add_argument("--wandb", type=str | None, help="project at Weights & Biases to report to as well; needs the package wandb")
    parser.add_class_arguments(TrainConfig, skip={"recipe"})
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


if __name__ == "__main__":
    sys.exit(main())

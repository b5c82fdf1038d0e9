"""Command line: python -m packflow.train --recipe open-2m --data DIR --out DIR [--resume auto] [--optim.learning_rate 1e-4 ...].

In several processes: torchrun --standalone --nproc-per-node 4 -m packflow.train ..., with the same options.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from packflow.data.dataset import CrystalDataset
from packflow.errors import InputError
from packflow.train.checkpoint import read_config
from packflow.train.config import TrainConfig
from packflow.train.initial import adapted
from packflow.train.options import check_place, check_recipe, checkpoint_to_resume, first_look, guarded, parse, told
from packflow.train.pretrain import train
from packflow.train.recipes import RECIPES, recipe_named

PROGRAM, WHAT = "packflow train", "Train a PackFlow by flow matching."


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; returns the exit status."""
    return guarded(PROGRAM, sys.argv[1:] if arguments is None else arguments, run)


def run(words: Sequence[str]) -> int:
    """Parse, train, report."""
    first = first_look(words)
    resume = checkpoint_to_resume(first.resume, first.out)
    base = starting_point(first.recipe, first.init, resume)
    task, config = parse(words, base, PROGRAM, WHAT, list(RECIPES))
    if resume is not None and config.model != base.model:
        raise InputError(f"{resume} holds another model: the model of a resumed run cannot change")
    check_place(task)
    result = train(config, CrystalDataset.open(task.data), Path(task.out), resume, task.max_minutes, task.device, task.wandb)
    return told(PROGRAM, result, task.out, config.n_steps)


def starting_point(recipe: str | None, init: str | None, resume: Path | None) -> TrainConfig:
    """The configuration that the command line's options change: of the checkpoint, else of the recipe, for the network of init."""
    if resume is None:
        config = recipe_named(recipe) if recipe else TrainConfig()
        return adapted(config if init is None else replace(config, init=init))
    config = read_config(resume)
    check_recipe(recipe, config.recipe, resume)
    return config


if __name__ == "__main__":
    sys.exit(main())

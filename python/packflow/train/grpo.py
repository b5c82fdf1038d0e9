"""Command line: python -m packflow.train.grpo --recipe align-2m --data DIR --out DIR [--resume auto] [--beta 0.5 ...].

`packflow align` is the same. In several processes: torchrun --standalone --nproc-per-node 4 -m packflow.train.grpo ....
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from packflow.data.dataset import CrystalDataset
from packflow.errors import InputError
from packflow.train.align_config import AlignConfig
from packflow.train.align_recipes import ALIGN_RECIPES, align_recipe_named
from packflow.train.alignment import align
from packflow.train.checkpoint import read_config_of
from packflow.train.options import check_place, check_recipe, checkpoint_to_resume, first_look, guarded, parse, told

PROGRAM, WHAT = "packflow align", "Align a PackFlow by energies and forces of its proposals (GRPO)."
# what a resumed run cannot change: its weights are not read again
FIXED = ("init", "reference", "freeze_refinements")


def main(arguments: Sequence[str] | None = None) -> int:
    """Align as the command line says; returns the exit status."""
    return guarded(PROGRAM, sys.argv[1:] if arguments is None else arguments, run)


def run(words: Sequence[str]) -> int:
    """Parse, align, report."""
    first = first_look(words)
    resume = checkpoint_to_resume(first.resume, first.out)
    base = starting_point(first.recipe, resume)
    task, config = parse(words, base, PROGRAM, WHAT, list(ALIGN_RECIPES))
    for name in FIXED:
        if resume is not None and getattr(config, name) != getattr(base, name):
            raise InputError(f"{resume} has {name} {getattr(base, name)}: that of a resumed run cannot change, got {getattr(config, name)}")
    check_place(task)
    result = align(config, CrystalDataset.open(task.data), Path(task.out), resume, task.max_minutes, task.device, task.wandb)
    return told(PROGRAM, result, task.out, config.n_steps)


def starting_point(recipe: str | None, resume: Path | None) -> AlignConfig:
    """The configuration that the command line's options change: of the checkpoint, else of the recipe."""
    if resume is None:
        return align_recipe_named(recipe) if recipe else AlignConfig()
    config = read_config_of(resume, AlignConfig)
    check_recipe(recipe, config.recipe, resume)
    return config


if __name__ == "__main__":
    sys.exit(main())

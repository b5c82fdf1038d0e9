"""Alignment runs by name. Each is a function that returns the whole configuration; change one with dataclasses.replace."""

from __future__ import annotations

from collections.abc import Callable

from packflow.flow.loss import LossConfig
from packflow.flow.sampler import SampleConfig
from packflow.flow.time_grid import LINEAR
from packflow.train.align_config import AlignConfig, AlignValidationConfig, RewardConfig
from packflow.train.config import OptimConfig
from packflow.train.options import recipe_of


def align_60m() -> AlignConfig:
    """PackFlow-PA of the paper, Table 4: 100 passes over 8,000 templates, energies and forces of UMA on heavy atoms alone."""
    return AlignConfig(
        recipe="align-60m",
        init="packflow-60m",
        n_templates=16,
        group_size=8,
        max_templates=8000,
        sample=SampleConfig(200, "euler", LINEAR, LINEAR),
        rewards=RewardConfig("uma", "none", energy_share=0.5),
        advantage_clip=5.0,
        advantage_epsilon=1e-8,
        n_epochs=4,
        ratio_clip=0.2,
        beta=1.0,
        optim=OptimConfig(learning_rate=3e-7, weight_decay=0.0, clip_norm=1.0, warmup_steps=0),
        n_steps=50_000,
        max_atoms=32_000,
    )


def align_2m() -> AlignConfig:
    """The installed model aligned on one CPU core, as `packflow-open-pa` was; what differs from the paper and why: docs/alignment.md."""
    return AlignConfig(
        recipe="align-2m",
        init="open-2m",
        max_template_atoms=120,
        rewards=RewardConfig("mmff", "united", energy_share=0.5, ranks=True, volume_gain=2.0),
        n_epochs=2,
        beta=10.0,
        loss=LossConfig("endpoint_l1", lattice_weight=0.5),
        n_draws=2,
        assign_copies=True,
        freeze_refinements=True,
        optim=OptimConfig(learning_rate=3e-5, weight_decay=0.0, final_share=0.1, ema_decay=0.98),
        validation=AlignValidationConfig(every=10),
        n_steps=120,
    )


def align_tiny() -> AlignConfig:
    """Seconds on a CPU: for tests and a first look."""
    return AlignConfig(
        recipe="align-tiny",
        init="open-2m",
        n_templates=2,
        group_size=3,
        sample=SampleConfig(3, "euler", LINEAR, LINEAR),
        n_epochs=2,
        validation=AlignValidationConfig(every=2, n_templates=2, n_samples=2),
        n_steps=2,
        save_every=1,
    )


ALIGN_RECIPES: dict[str, Callable[[], AlignConfig]] = {"align-60m": align_60m, "align-2m": align_2m, "align-tiny": align_tiny}


def align_recipe_named(name: str) -> AlignConfig:
    """The configuration of a recipe; raises InputError with a suggestion for an unknown name."""
    return recipe_of(ALIGN_RECIPES, name)

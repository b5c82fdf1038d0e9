"""Training runs by name. Each is a function that returns the whole configuration; change one with dataclasses.replace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from packflow.data.batching import BatchConfig
from packflow.flow.loss import LossConfig, TimeConfig
from packflow.model import ModelConfig
from packflow.structure import FlowSpace
from packflow.train.config import OptimConfig, TrainConfig, ValidationConfig
from packflow.train.options import recipe_of

# 128 crystals a batch (paper, Table 3), whatever their size up to its 250 atoms.
PAPER_BATCH = BatchConfig(max_atoms=32_000, max_crystals=128)


def base_2m() -> TrainConfig:
    """PackFlow-Base-2M of the paper."""
    return TrainConfig(recipe="base-2m", model=ModelConfig(256, 8, 512, 4), batch=PAPER_BATCH)


def base_20m() -> TrainConfig:
    """PackFlow-Base-20M of the paper."""
    return TrainConfig(recipe="base-20m", model=ModelConfig(320, 8, 1280, 12), batch=PAPER_BATCH)


def base_60m() -> TrainConfig:
    """PackFlow-Base-60M, Table 3 of the paper."""
    return TrainConfig(recipe="base-60m", model=ModelConfig(640, 10, 2560, 12), batch=PAPER_BATCH)


def no_bonds() -> TrainConfig:
    """Ablation of Table 1: the 60M model without a bias for bonds; only the atom features hint at them."""
    base = base_60m()
    return replace(base, recipe="no-bonds", model=replace(base.model, bonds="none"))


def bond_gnn() -> TrainConfig:
    """Ablation of Table 1: the 60M model with GATv2 layers over the bonds before the transformer instead of the bias."""
    base = base_60m()
    return replace(base, recipe="bond-gnn", model=replace(base.model, bonds="gnn"))


def shared_time() -> TrainConfig:
    """Ablation of Table 1: the 60M model trained with one flow time for coordinates and lattice."""
    base = base_60m()
    return replace(base, recipe="shared-time", time=TimeConfig(shared=True))


def open_2m() -> TrainConfig:
    """First part of the installed model, 2.6 M parameters: packing, learned from open crystals on one CPU core.

    Against base_2m: lengths in units of the packed cell, a lattice that cannot saturate, one-hot atom features, noise assigned
    to the copies, and the error of the end point as loss.
    """
    return TrainConfig(
        recipe="open-2m",
        model=ModelConfig(256, 8, 512, 4, FlowSpace("packed"), time_scale=30.0, atom_encoding="one_hot", center_noise=True),
        fit_lattice=True,
        assign_copies=True,
        invert=True,
        time=TimeConfig(power_positions=0.7),
        loss=LossConfig("endpoint_l1", lattice_weight=0.5),
        optim=OptimConfig("muon", learning_rate=1e-3, warmup_steps=200, final_share=0.03, ema_decay=0.999),
        n_steps=10_000,
    )


def open_2m_refined() -> TrainConfig:
    """Second part of the installed model, 2.7 M parameters: begun with weights of the first (`--init`), it learns bond lengths.

    End points are refined by distances within molecules, and those distances are compared. Begun with random weights it would rely
    on the refinements before molecules have their shape, and crumple them (docs/open_model.md). Without `--init` it
    begins with the installed weights.
    """
    base = open_2m()
    return replace(
        base,
        recipe="open-2m-refined",
        model=replace(base.model, n_refinements=2),
        loss=replace(base.loss, pair_weight=1.0),
        optim=replace(base.optim, name="adamw"),
        n_steps=3_000,
        seed=1,
        init="open-2m",
        freeze=True,
    )


def tiny() -> TrainConfig:
    """Seconds on a CPU: for tests and a first look."""
    return TrainConfig(
        recipe="tiny",
        model=ModelConfig(32, 4, 64, 2, FlowSpace("packed"), time_scale=30.0, atom_encoding="one_hot", center_noise=True),
        fit_lattice=True,
        assign_copies=True,
        time=TimeConfig(),
        loss=LossConfig("endpoint_l1"),
        optim=OptimConfig("adamw", learning_rate=3e-3, warmup_steps=10, final_share=0.1, ema_decay=0.9),
        batch=BatchConfig(max_atoms=300),
        validation=ValidationConfig(every=20, n_crystals=8),
        n_steps=60,
    )


RECIPES: dict[str, Callable[[], TrainConfig]] = {
    "base-2m": base_2m,
    "base-20m": base_20m,
    "base-60m": base_60m,
    "no-bonds": no_bonds,
    "bond-gnn": bond_gnn,
    "shared-time": shared_time,
    "open-2m": open_2m,
    "open-2m-refined": open_2m_refined,
    "tiny": tiny,
}


def recipe_named(name: str) -> TrainConfig:
    """The configuration of a recipe; raises InputError with a suggestion for an unknown name."""
    return recipe_of(RECIPES, name)

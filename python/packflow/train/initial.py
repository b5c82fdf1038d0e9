"""Beginning a run from trained weights instead of random ones: fine-tuning."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import torch

from packflow.errors import InputError
from packflow.model import ModelConfig, PackFlow
from packflow.model.pretrained import load, origin_of
from packflow.model.weights import Origin
from packflow.train.config import TrainConfig


def adapted(config: TrainConfig) -> TrainConfig:
    """The configuration for the network of its `init`: that network's sizes and flow space, and the more refinements of both.

    A run with `init` needs it; changes to the model, if any, come before.

    Raises:
        InputError: there are no such weights.
    """
    if config.init is None:
        return config
    known = load(config.init).config
    n_refinements = max(known.n_refinements, config.model.n_refinements)
    return replace(config, model=replace(known, n_refinements=n_refinements), fit_lattice=False)


def random_model(config: TrainConfig) -> PackFlow:
    """The run's network with random weights of the run's seed; torch's global generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return PackFlow(config.model)


def initial_model(config: TrainConfig) -> PackFlow:
    """The network that a run begins with: random, or `init`, whose missing refinements begin by changing nothing.

    Raises:
        InputError: there are no such weights, or their network is another one than the run's.
    """
    model = random_model(config)
    if config.init is None:
        return model
    if config.fit_lattice:
        raise InputError(f"fit_lattice must be false with init: the weights {config.init} know their own lattice_mean and lattice_std")
    source = load(config.init)
    check_same_network(source.config, config)
    model.load_state_dict({**model.state_dict(), **source.state_dict()})
    return model


def origin_of_run(init: str | None, resume: Path | None = None) -> Origin | None:
    """Whose weights a run goes on from, if not packflow's own or the user's: their licence binds what is trained from them.

    Args:
        init: Weights that it begins with.
        resume: Checkpoint that it goes on from, which states its origin.

    Raises:
        InputError: there are no such weights.
    """
    if resume is not None:
        return origin_of(resume)
    origin = None if init is None else origin_of(init)
    return origin and replace(origin, source=f"trained from {origin.source}")


def check_same_network(known: ModelConfig, config: TrainConfig) -> None:
    """Refuse a run whose network differs from that of its initial weights, but for added refinements."""
    differ = [f.name for f in fields(known) if f.name != "n_refinements" and getattr(known, f.name) != getattr(config.model, f.name)]
    if known.n_refinements > config.model.n_refinements:
        differ.append("n_refinements")
    if differ:
        name = differ[0]
        wanted, got = getattr(known, name), getattr(config.model, name)
        raise InputError(f"model.{name} must be {wanted} as in the weights {config.init}, got {got}")

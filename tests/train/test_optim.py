"""Optimizers, learning rates and the average of the weights."""

import copy
from dataclasses import replace

import pytest
import torch

from packflow.errors import InputError
from packflow.flow.loss import TimeConfig
from packflow.model import ModelConfig, PackFlow
from packflow.train.config import OptimConfig, TrainConfig
from packflow.train.muon import Muon, orthogonalized
from packflow.train.optim import learning_rate_share, optimizers_of, set_learning_rates, update_average
from packflow.train.recipes import RECIPES, recipe_named, tiny


@pytest.fixture
def model():
    return PackFlow(tiny().model)


def test_every_parameter_has_one_optimizer(model):
    for name in ("adamw", "muon"):
        chosen = [p for o in optimizers_of(model, OptimConfig(name)) for g in o.param_groups for p in g["params"]]
        assert len(chosen) == len({id(p) for p in chosen}) == len(list(model.parameters()))


def test_muon_has_the_matrices_of_the_layers(model):
    muon, adamw = optimizers_of(model, OptimConfig("muon"))
    names = {id(p): n for n, p in model.named_parameters()}
    matrices = [names[id(p)] for p in muon.param_groups[0]["params"]]
    assert len(matrices) == 4 * model.config.n_layers
    assert all(n.startswith("encoder.layers.") and n.endswith("weight") for n in matrices)
    assert "head_positions.2.weight" in [names[id(p)] for p in adamw.param_groups[0]["params"]]


@pytest.mark.parametrize("shape", [(24, 8), (8, 24), (8, 8)])
def test_muon_is_torchs_muon(shape, generator):
    """Torch's works in bfloat16, whose rounding is 0.4 %; its update differs by a few times that."""
    start = torch.randn(shape, generator=generator)
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    optimizers = [
        Muon([ours], lr=1e-2, weight_decay=0.1),
        torch.optim.Muon([theirs], lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    ]
    for _ in range(5):
        gradient = torch.randn(shape, generator=generator)
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = gradient.clone()
            optimizer.step()
    difference = (ours - theirs).norm() / (theirs - start).norm()
    assert difference < 0.03


def test_orthogonalized_brings_singular_values_near_one(generator):
    values = torch.linalg.svdvals(orthogonalized(torch.randn(12, 30, generator=generator)))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_learning_rate_rises_then_falls_to_its_final_share():
    config = OptimConfig(warmup_steps=10, final_share=0.1)
    shares = [learning_rate_share(step, 1000, config) for step in range(1001)]
    assert shares[0] == pytest.approx(0.1, rel=1e-3)
    assert shares[9] == pytest.approx(1.0, abs=1e-3)
    assert shares[500] == pytest.approx(0.55)
    assert shares[1000] == pytest.approx(0.1)
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert learning_rate_share(2000, 1000, config) == pytest.approx(0.1)


def test_the_papers_learning_rate_is_constant():
    assert {learning_rate_share(step, 100, OptimConfig()) for step in (0, 50, 99)} == {1.0}


def test_learning_rates_are_set_in_all_optimizers(model):
    config = OptimConfig("muon", learning_rate=1e-3, muon_learning_rate=2e-3, warmup_steps=4)
    muon, adamw = optimizers_of(model, config)
    assert set_learning_rates([muon, adamw], 0, 100, config) == pytest.approx(2.5e-4)
    assert (muon.param_groups[0]["lr"], adamw.param_groups[0]["lr"]) == pytest.approx((5e-4, 2.5e-4))


def test_average_follows_its_formula(model):
    average, expected = copy.deepcopy(model), copy.deepcopy(model).double()
    with torch.no_grad():
        for n_updates in range(1, 60):
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
            update_average(average, model, n_updates, 0.7)
            decay = min(0.7, n_updates / (n_updates + 20))
            for mean, parameter in zip(expected.parameters(), model.parameters(), strict=True):
                mean.mul_(decay).add_(parameter.double(), alpha=1 - decay)
    for mean, parameter in zip(expected.parameters(), average.parameters(), strict=True):
        torch.testing.assert_close(parameter, mean.float(), rtol=1e-4, atol=1e-6)


def test_without_decay_the_average_is_the_weights(model):
    average = PackFlow(model.config)
    update_average(average, model, 1000, 0.0)
    for one, other in zip(average.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_paper_recipes_are_table_3():
    sizes = {"base-2m": (256, 8, 512, 4), "base-20m": (320, 8, 1280, 12), "base-60m": (640, 10, 2560, 12)}
    for name, size in sizes.items():
        config = recipe_named(name)
        model = config.model
        assert (model.d_model, model.n_heads, model.d_feedforward, model.n_layers) == size
        assert (model.space.kind, model.time_scale, model.atom_encoding, model.center_noise) == ("paper", 1.0, "index", False)
        assert config.optim == OptimConfig("adamw", learning_rate=3e-5, clip_norm=1.0, weight_decay=0.01)
        assert (config.loss.kind, config.loss.lattice_weight, config.batch.max_crystals) == ("velocity", 1.0, 128)
        assert (config.path.center_noise, config.path.assign_copies, config.invert) == (False, False, False)


@pytest.mark.parametrize(
    ("name", "differs"),
    [
        ("no-bonds", {"model": ModelConfig(640, 10, 2560, 12, bonds="none")}),
        ("bond-gnn", {"model": ModelConfig(640, 10, 2560, 12, bonds="gnn", n_bond_layers=3)}),
        ("shared-time", {"time": TimeConfig(shared=True)}),
    ],
)
def test_ablations_differ_from_the_60m_recipe_in_one_thing(name, differs):
    assert recipe_named(name) == replace(recipe_named("base-60m"), recipe=name, **differs)
    assert recipe_named(name) != recipe_named("base-60m")


def test_recipes_know_their_names():
    assert [recipe_named(name).recipe for name in RECIPES] == list(RECIPES)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("open_2m", "mean open-2m"), ("base60m", "mean base-60m"), ("shared_times", "mean shared-time"), ("xyz", "there are base-2m")],
)
def test_unknown_recipes_are_refused_with_a_suggestion(name, hint):
    with pytest.raises(InputError, match=hint):
        recipe_named(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: OptimConfig("sgd"), r"optim\.name must be 'adamw' or 'muon'"),
        (lambda: OptimConfig(learning_rate=0), r"optim\.learning_rate must be above 0"),
        (lambda: OptimConfig(ema_decay=1.0), r"optim\.ema_decay must be at least 0 and below 1"),
        (lambda: OptimConfig(final_share=2.0), r"optim\.final_share must be from 0 to 1"),
        (lambda: TrainConfig(n_steps=0), "n_steps must be at least 1"),
        (lambda: TrainConfig(seed=-1), "seed must be 0 or above"),
        (lambda: TrainConfig(fit_lattice=True), r"fit_lattice needs model\.space\.kind 'packed'"),
        (lambda: replace(tiny().validation, every=0), r"validation\.every must be at least 1"),
    ],
)
def test_impossible_options_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        change()

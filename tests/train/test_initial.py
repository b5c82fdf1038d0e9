"""Runs that begin with trained weights."""

from dataclasses import replace

import pytest
import torch

from packflow.errors import InputError
from packflow.model import PackFlow
from packflow.model.weights import Origin, load_model, read_origin, save_model
from packflow.structure import FlowSpace, TemplateBatch
from packflow.train.__main__ import main
from packflow.train.checkpoint import read_config
from packflow.train.initial import adapted, initial_model, origin_of_run
from packflow.train.pretrain import train
from packflow.train.recipes import recipe_named


@pytest.fixture
def weights(config, tmp_path):
    """A trained network of another space than the recipe's, and its file."""
    space = FlowSpace("packed", lattice_mean=(0.1,) * 6, lattice_std=(0.7,) * 6)
    torch.manual_seed(3)
    model = PackFlow(replace(config.model, space=space, n_refinements=0))
    save_model(tmp_path / "trained.safetensors", model)
    return model, str(tmp_path / "trained.safetensors")


@pytest.fixture
def state(source, generator):
    template = TemplateBatch.pack([source[k].template for k in range(4)])
    positions, lattice = torch.randn(template.n_atoms, 3, generator=generator), torch.randn(4, 6, generator=generator)
    return [positions, lattice, *torch.rand(2, 4, generator=generator), template]


def test_a_run_takes_network_and_space_of_its_initial_weights(config, weights):
    model, file = weights
    begun = adapted(replace(config, init=file, model=replace(config.model, d_model=64, n_refinements=0)))
    assert begun.model == model.config
    assert not begun.fit_lattice


def test_without_init_nothing_is_adapted(config):
    assert adapted(config) is config


def test_added_refinements_begin_by_changing_nothing(config, weights, state):
    model, file = weights
    begun = initial_model(adapted(replace(config, init=file, model=replace(config.model, n_refinements=2))))
    assert len(begun.refinements) == 2
    for ours, expected in zip(begun(*state), model(*state), strict=True):
        assert torch.equal(ours, expected)


def test_a_run_begins_there_and_says_so(config, weights, source, tmp_path):
    """At a learning rate of almost nothing the weights stay where they began."""
    model, file = weights
    slow = replace(adapted(replace(config, init=file)), n_steps=1, optim=replace(config.optim, name="adamw", learning_rate=1e-12))
    result = train(slow, source, tmp_path / "run", device="cpu")
    assert read_config(result.checkpoint).init == file
    got = load_model(result.checkpoint / "model.safetensors")
    for name, value in model.state_dict().items():
        torch.testing.assert_close(got.state_dict()[name], value, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"d_model": 64}}, "model.d_model must be 32 as in the weights .*, got 64"),
        ({"fit_lattice": True}, "fit_lattice must be false with init"),
        ({"init": "no-such-weights"}, "model 'no-such-weights' is neither installed or released"),
    ],
    ids=["size", "lattice", "name"],
)
def test_what_does_not_fit_is_refused(config, weights, change, message):
    begun = adapted(replace(config, init=weights[1]))
    model = replace(begun.model, **change.get("model", {}))
    with pytest.raises(InputError, match=message):
        initial_model(replace(begun, **{**change, "model": model}))


def test_frozen_weights_stay_and_refinements_learn(config, weights, source, tmp_path):
    frozen = replace(adapted(replace(config, init=weights[1], model=replace(config.model, n_refinements=1))), freeze=True, n_steps=3)
    result = train(frozen, source, tmp_path / "run", device="cpu")
    for file in ("model.safetensors", "ema.safetensors"):
        got = load_model(result.checkpoint / file).state_dict()
        assert all(torch.equal(got[name], value) for name, value in weights[0].state_dict().items())
        assert got["refinements.0.step.weight"].any()
    resumed = train(replace(frozen, n_steps=5), source, tmp_path / "run", result.checkpoint, device="cpu")
    straight = train(replace(frozen, n_steps=5), source, tmp_path / "straight", device="cpu")
    assert resumed.step == straight.step == 5
    got = load_model(resumed.checkpoint / "model.safetensors").state_dict()
    assert all(torch.equal(got[name], value) for name, value in weights[0].state_dict().items())


def test_the_licence_of_initial_weights_stays_with_what_is_trained_from_them(config, weights, source, tmp_path):
    model, _ = weights
    theirs = Origin("weights of others", "not for sale")
    save_model(tmp_path / "theirs.safetensors", model, origin=theirs)
    begun = replace(adapted(replace(config, init=str(tmp_path / "theirs.safetensors"))), n_steps=1)
    result = train(begun, source, tmp_path / "run", device="cpu")
    wanted = Origin("trained from weights of others", "not for sale")
    assert [read_origin(result.checkpoint / name) for name in ("model.safetensors", "ema.safetensors")] == [wanted, wanted]
    assert origin_of_run(begun.init, resume=result.checkpoint) == wanted
    assert origin_of_run(None) is None
    assert origin_of_run("open-2m") is None


@pytest.mark.parametrize("change", [{"init": None}, {"model": {"n_refinements": 0}}], ids=["no weights", "nothing to train"])
def test_freezing_everything_is_refused(config, weights, change):
    begun = adapted(replace(config, init=weights[1], model=replace(config.model, n_refinements=1)))
    model = replace(begun.model, **change.get("model", {}))
    with pytest.raises(InputError, match="freeze needs init and refinements"):
        replace(begun, freeze=True, **{**change, "model": model})


def test_dropped_refinements_are_refused(config, weights, tmp_path):
    model = PackFlow(replace(weights[0].config, n_refinements=2))
    save_model(tmp_path / "refined.safetensors", model)
    begun = adapted(replace(config, init=str(tmp_path / "refined.safetensors")))
    assert begun.model.n_refinements == 2
    with pytest.raises(InputError, match=r"model\.n_refinements must be 2 as in the weights"):
        initial_model(replace(begun, model=replace(begun.model, n_refinements=1)))


def test_the_refined_recipe_begins_with_the_installed_weights():
    begun = adapted(recipe_named("open-2m-refined"))
    assert begun.model.n_refinements == 2
    assert begun.model.space.lattice_std != (1.0,) * 6
    assert sum(p.numel() for p in initial_model(begun).parameters()) < 4_000_000


def test_from_the_command_line(config, weights, dataset_folder, tmp_path, capsys):
    options = ["--recipe", "tiny", "--data", str(dataset_folder), "--out", str(tmp_path / "run"), "--n-steps", "1"]
    options += ["--batch.max-atoms=200", "--validation.n_crystals", "2", "--init", weights[1]]
    assert main([*options, "--model.d_model", "64"]) == 2
    assert "model.d_model must be 32 as in the weights" in capsys.readouterr().err
    assert main(options) == 0
    assert read_config(tmp_path / "run" / "step_00000001").model.space == weights[0].config.space

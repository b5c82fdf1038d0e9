"""Checkpoints: complete or not there, kept as told, and refused when they do not fit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from packflow.errors import InputError
from packflow.model import PackFlow
from packflow.train.checkpoint import Progress, RunState, checkpoints_in, load_checkpoint, read_config, save_checkpoint
from packflow.train.optim import optimizers_of
from packflow.train.pretrain import train


def fresh_state(config, step=0, **progress):
    model = PackFlow(config.model)
    return RunState(model, PackFlow(config.model), optimizers_of(model, config.optim), Progress(step, **progress))


def stepped_state(config, step, **progress):
    state = fresh_state(config, step, **progress)
    for parameter in state.model.parameters():
        parameter.grad = torch.randn_like(parameter)
    for optimizer in state.optimizers:
        optimizer.step()
    return state


@pytest.fixture
def checkpoint(config, tmp_path):
    return save_checkpoint(tmp_path, stepped_state(config, 7, best_step=7, best_loss=0.5, validation_loss=0.5, seconds=3.0), config)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_round_trip(config, tmp_path, name):
    config = replace(config, optim=replace(config.optim, name=name))
    saved = stepped_state(config, 7, best_step=5, best_loss=0.5, seconds=3.0)
    path = save_checkpoint(tmp_path, saved, config)
    loaded = fresh_state(config)
    assert load_checkpoint(path, loaded) == saved.progress
    assert read_config(path) == config
    for one, other in ((saved.model, loaded.model), (saved.ema, loaded.ema)):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    for one, other in zip(saved.optimizers, loaded.optimizers, strict=True):
        for first, second in zip(one.param_groups[0]["params"], other.param_groups[0]["params"], strict=True):
            assert one.state[first].keys() == other.state[second].keys()
            assert all(torch.equal(value, other.state[second][key]) for key, value in one.state[first].items())


def test_the_last_ones_and_the_best_are_kept(config, tmp_path):
    for step in range(1, 7):
        save_checkpoint(tmp_path, stepped_state(config, step, best_step=2 if step > 1 else 1), replace(config, keep_last=2))
    assert [path.name for path in checkpoints_in(tmp_path)] == ["step_00000002", "step_00000005", "step_00000006"]


def test_an_interrupted_write_leaves_no_checkpoint(config, tmp_path, monkeypatch):
    def interrupted(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupted)
        with pytest.raises(InputError, match=r"step_00000003 cannot be written \(no space left\)"):
            save_checkpoint(tmp_path, stepped_state(config, 3), config)
    assert checkpoints_in(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000003.partial"]
    save_checkpoint(tmp_path, stepped_state(config, 4), config)
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000004"]


@pytest.mark.parametrize("name", ["model.safetensors", "ema.safetensors", "optimizer.safetensors", "progress.json"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_damaged_files_are_named(config, checkpoint, name, damage):
    file = checkpoint / name
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InputError, match=name.replace(".", r"\.")) as error:
        load_checkpoint(checkpoint, fresh_state(config))
    assert "\n" not in str(error.value)


def test_tensors_of_another_optimizer_are_refused(config, checkpoint):
    other = replace(config, optim=replace(config.optim, name="muon"))
    with pytest.raises(InputError, match=r"optimizer\.safetensors misses encoder\.layers\..*:momentum_buffer"):
        load_checkpoint(checkpoint, fresh_state(other))


def test_tensors_of_another_model_are_refused(config, checkpoint):
    other = replace(config, model=replace(config.model, d_feedforward=128))
    with pytest.raises(InputError, match=r"model\.safetensors has .* of shape .* instead of .* does not belong to this model"):
        load_checkpoint(checkpoint, fresh_state(other))


def test_a_missing_moment_is_refused(config, checkpoint):
    file = checkpoint / "optimizer.safetensors"
    tensors = load_file(file)
    del tensors["head_lattice.0.bias:exp_avg"]
    save_file(tensors, file)
    with pytest.raises(InputError, match=r"misses head_lattice\.0\.bias:exp_avg"):
        load_checkpoint(checkpoint, fresh_state(config))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda r: r.update(format_version=2), "format version 2, this packflow reads 1: update packflow"),
        (lambda r: r.pop("format_version"), "format version None"),
        (lambda r: r["config"].update(n_epochs=3), "unknown field n_epochs in its TrainConfig"),
        (lambda r: r["config"]["optim"].pop("ema_decay"), "no field ema_decay in its OptimConfig"),
        (lambda r: r["config"]["optim"].update(learning_rate=-1), r"optim\.learning_rate must be above 0, got -1"),
        (lambda r: r.pop("config"), "has no config"),
    ],
    ids=["newer", "no version", "unknown field", "missing field", "bad value", "no config"],
)
def test_wrong_configurations_are_refused(checkpoint, edit, message):
    file = checkpoint / "progress.json"
    record = json.loads(file.read_text())
    edit(record)
    file.write_text(json.dumps(record))
    with pytest.raises(InputError, match=message):
        read_config(checkpoint)


def test_resuming_does_not_write_before_the_first_step(config, source, tmp_path):
    done = train(config, source, tmp_path / "run")
    names = sorted(path.name for path in checkpoints_in(tmp_path / "run"))
    again = train(read_config(done.checkpoint), source, tmp_path / "run", done.checkpoint)
    assert (again.step, again.checkpoint) == (10, done.checkpoint)
    assert sorted(path.name for path in checkpoints_in(tmp_path / "run")) == names

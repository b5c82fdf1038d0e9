"""The training loop: it learns, it resumes to the last bit, and it ends well whatever ends it."""

import csv
import errno
import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from packflow.errors import InputError
from packflow.model.weights import load_model
from packflow.structure import FlowSpace
from packflow.train import checkpoint, pretrain
from packflow.train.checkpoint import checkpoints_in, read_config, read_tensors
from packflow.train.config import OptimConfig, ValidationConfig
from packflow.train.log import RunLog
from packflow.train.pretrain import train
from packflow.train.recipes import recipe_named
from packflow.train.step import invert
from packflow.train.validation import Validation

FILES = ("model.safetensors", "ema.safetensors", "optimizer.safetensors")


def tensors_of(checkpoint):
    return {f"{file}:{name}": value for file in FILES for name, value in read_tensors(checkpoint / file)[0].items()}


def assert_same_checkpoint(one, other):
    first, second = tensors_of(one), tensors_of(other)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def rows_of(out):
    with (out / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(params=["adamw", "muon"])
def either(request, config):
    return replace(config, invert=True, optim=replace(config.optim, name=request.param))


@pytest.fixture
def signal_at_step(monkeypatch):
    """Send this process a signal when the bar comes to a step."""

    def install(step, number):
        advance = RunLog.advance

        def with_signal(self, done, *args):
            advance(self, done, *args)
            if done == step:
                os.kill(os.getpid(), number)

        monkeypatch.setattr(RunLog, "advance", with_signal)

    return install


def test_resumed_run_is_the_straight_run_to_the_last_bit(either, source, tmp_path, signal_at_step):
    straight = train(either, source, tmp_path / "straight")
    signal_at_step(6, signal.SIGINT)
    interrupted = train(either, source, tmp_path / "resumed")
    assert (interrupted.step, interrupted.stopped_by) == (6, signal.SIGINT)
    resumed = train(read_config(interrupted.checkpoint), source, tmp_path / "resumed", interrupted.checkpoint)
    assert (straight.step, resumed.step, resumed.stopped_by) == (10, 10, None)
    assert_same_checkpoint(straight.checkpoint, resumed.checkpoint)
    progress = [json.loads((r.checkpoint / "progress.json").read_text())["progress"] for r in (straight, resumed)]
    assert [p.pop("seconds") > 0 for p in progress] == [True, True]
    assert progress[0] == progress[1]
    assert [r["step"] for r in rows_of(tmp_path / "straight")] == [r["step"] for r in rows_of(tmp_path / "resumed")]


def test_batches_are_read_ahead_and_change_nothing(config, source, tmp_path, monkeypatch):
    config, readers = replace(config, accumulate=2), []
    read = pretrain.Batches._read

    def watched(self, rows):
        readers.append(threading.current_thread())
        return read(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(pretrain.Batches, "prepare", lambda *_: None)
        plain = train(config, source, tmp_path / "plain")
    monkeypatch.setattr(pretrain.Batches, "_read", watched)
    ahead = train(config, source, tmp_path / "ahead")
    assert_same_checkpoint(plain.checkpoint, ahead.checkpoint)
    steps = readers[pretrain.N_LATTICE_BATCHES :]
    assert len(steps) == 2 * config.n_steps
    assert threading.main_thread() not in steps


@pytest.mark.parametrize("name", ["no-bonds", "bond-gnn", "shared-time"])
def test_ablations_train_and_say_so_in_their_weights(config, source, tmp_path, name):
    ablation = recipe_named(name)
    model = replace(config.model, bonds=ablation.model.bonds, n_bond_layers=ablation.model.n_bond_layers)
    result = train(replace(config, recipe=name, model=model, time=ablation.time), source, tmp_path / "run")
    saved = read_config(result.checkpoint)
    assert (saved.recipe, saved.time) == (name, ablation.time)
    assert load_model(result.checkpoint).config == saved.model
    assert saved.model.bonds == {"no-bonds": "none", "bond-gnn": "gnn"}.get(name, "bias")
    plain = train(config, source, tmp_path / "plain")
    assert rows_of(tmp_path / "run")[-1]["validation/loss"] != rows_of(tmp_path / "plain")[-1]["validation/loss"]
    assert plain.step == result.step == 10


def test_the_seed_decides_the_run(config, source, tmp_path):
    results = [train(replace(config, seed=seed), source, tmp_path / name) for seed, name in ((1, "a"), (1, "b"), (2, "c"))]
    assert_same_checkpoint(results[0].checkpoint, results[1].checkpoint)
    with pytest.raises(AssertionError):
        assert_same_checkpoint(results[0].checkpoint, results[2].checkpoint)


def test_it_learns_the_validation_crystals_when_trained_on_them(config, source, tmp_path):
    everything = replace(source, split=source.split.copy())
    everything.split[:] = "train"
    optim = replace(config.optim, learning_rate=1e-2)
    config = replace(config, n_steps=150, optim=optim, validation=ValidationConfig(every=150, n_crystals=8))
    result = train(config, SplitView(everything, source), tmp_path / "run")
    config = read_config(result.checkpoint)
    validation = Validation.of(source, config, torch.device("cpu"))
    torch.manual_seed(0)
    untrained = validation.score(type(load_model(result.checkpoint))(config.model))
    trained = validation.score(load_model(result.checkpoint))
    assert trained.total < 0.8 * untrained.total
    recorded = float(rows_of(tmp_path / "run")[-1]["validation/loss"])
    assert trained.total == pytest.approx(recorded, rel=1e-5)


class SplitView:
    """The crystals of one source with each crystal in both splits: twice as long, first all for training."""

    def __init__(self, training, validation):
        self.training, self.n = training, len(training)
        self.split = [*training.split, *validation.split]
        self.molecule_index = [*training.molecule_index] * 2
        self.n_atoms = [*training.n_atoms] * 2

    def __len__(self):
        return 2 * self.n

    def __getitem__(self, index):
        return self.training[index % self.n]


def test_lattice_is_standardised_from_the_training_crystals(config, source, tmp_path):
    result = train(config, source, tmp_path / "run")
    space = load_model(result.checkpoint).space
    assert space.kind == "packed"
    assert space.lattice_mean != FlowSpace("packed").lattice_mean
    batches = [pretrain.Batches(source, config.batch).batch(pretrain.generator_of(7, step)) for step in range(100)]
    encoded = torch.cat([space.encode(b.positions, b.lattice, b.template)[1] for b in batches])
    torch.testing.assert_close(encoded.mean(0), torch.zeros(6), atol=0.15, rtol=0)
    torch.testing.assert_close(encoded.std(0), torch.ones(6), atol=0.15, rtol=0)


def test_gradients_are_clipped_before_the_step(config, source, tmp_path, monkeypatch):
    norms = []
    adamw = pretrain.optimizers_of

    def watched(model, optim):
        optimizers = adamw(model, optim)
        for optimizer in optimizers:
            optimizer.register_step_pre_hook(
                lambda *_: norms.append(torch.stack([p.grad.norm() for p in model.parameters()]).norm().item())
            )
        return optimizers

    monkeypatch.setattr(pretrain, "optimizers_of", watched)
    train(replace(config, optim=replace(config.optim, clip_norm=0.01)), source, tmp_path / "run")
    assert len(norms) == 10
    assert max(norms) <= 0.0101
    recorded = [float(r["gradient_norm"]) for r in rows_of(tmp_path / "run") if r["gradient_norm"]]
    assert min(recorded) > 0.02


def test_a_loss_that_is_no_number_ends_the_run_and_spares_the_last_checkpoint(config, source, tmp_path):
    good = train(config, source, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in good.checkpoint.iterdir()}
    wild = replace(read_config(good.checkpoint), n_steps=40, optim=OptimConfig(learning_rate=1e30))
    message = r"the loss became .* at step 1\d, at crystals \d+, .* of the dataset: resume from the last checkpoint with a lower"
    with pytest.raises(InputError, match=message):
        train(wild, source, tmp_path / "run", good.checkpoint)
    assert checkpoints_in(tmp_path / "run")[-1] == good.checkpoint
    assert {path.name: path.read_bytes() for path in good.checkpoint.iterdir()} == before


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["first file", "last file", "flush", "rename"])
def test_a_full_disk_ends_the_run_and_the_last_checkpoint_is_good(config, source, tmp_path, monkeypatch, where):
    straight = train(config, source, tmp_path / "straight")
    write, done = checkpoint.write_checkpoint, []

    def full_at_the_second(*args):
        if done:
            target = {"first file": (checkpoint, "save_model"), "last file": (Path, "write_text"), "flush": (os, "fsync")}
            monkeypatch.setattr(*target.get(where, (Path, "rename")), full)
        done.append(True)
        write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_checkpoint", full_at_the_second)
        with pytest.raises(
            InputError, match=r"step_00000010 cannot be written \(\[Errno 28\] No space left on device\): mend that and resume"
        ):
            train(config, source, tmp_path / "run")
    monkeypatch.undo()
    (last,) = checkpoints_in(tmp_path / "run")
    assert last.name == "step_00000005"
    resumed = train(read_config(last), source, tmp_path / "run", last)
    assert_same_checkpoint(straight.checkpoint, resumed.checkpoint)
    assert not list((tmp_path / "run").glob("*.partial"))


def test_a_full_disk_of_the_log_is_one_line(config, source, tmp_path):
    with (
        pytest.raises(InputError, match=r"metrics\.csv cannot be written \(\[Errno 28\] No space left on device\): mend that and resume"),
        RunLog(tmp_path, ("step", "loss"), 10) as log,
    ):
        log._file.close()
        log._file = Path("/dev/full").open("w")  # noqa: SIM115 - the log closes it
        log._writer = csv.DictWriter(log._file, ["step", "loss"])
        log.write(1, {"loss": 2.0})


def test_a_folder_with_another_run_is_refused(config, source, tmp_path):
    train(config, source, tmp_path / "run")
    with pytest.raises(InputError, match="holds another run: continue it with --resume auto, or choose another --out"):
        train(config, source, tmp_path / "run")
    first, last = checkpoints_in(tmp_path / "run")
    with pytest.raises(InputError, match="holds step_00000010, which is not the checkpoint to resume"):
        train(read_config(first), source, tmp_path / "run", first)
    branch = train(read_config(first), source, tmp_path / "branch", first)
    assert_same_checkpoint(branch.checkpoint, last)


def test_a_folder_with_other_files_is_refused(config, source, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"holds thesis\.tex, which is not of a run"):
        train(config, source, tmp_path)


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(config, source, tmp_path):
    done = train(config, source, tmp_path / "run")
    for path in checkpoints_in(tmp_path / "run"):
        path.rename(path.with_name(f"{path.name}.partial"))
    again = train(config, source, tmp_path / "run")
    assert again.checkpoint == done.checkpoint
    assert [row["step"] for row in rows_of(tmp_path / "run")] == ["5", "10", "10"]
    assert not list((tmp_path / "run").glob("*.partial"))


def test_mixed_precision_trains(config, source, tmp_path):
    result = train(replace(config, precision="bf16-mixed"), source, tmp_path / "run")
    assert result.step == 10
    assert {value.dtype for value in tensors_of(result.checkpoint).values()} == {torch.float32}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_named(config, source, tmp_path):
    with pytest.raises(InputError, match="has no GPU that torch can use; take --device cpu"):
        train(config, source, tmp_path / "run", device="cuda")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_the_step_with_a_checkpoint(config, source, tmp_path, signal_at_step, number):
    signal_at_step(3, number)
    handler = signal.getsignal(number)
    result = train(config, source, tmp_path / "run")
    assert (result.step, result.stopped_by, result.checkpoint.name) == (3, number, "step_00000003")
    assert load_model(result.checkpoint).config.space.kind == "packed"
    assert signal.getsignal(number) is handler


def test_second_interrupt_aborts_at_once(config, source, tmp_path, monkeypatch):
    def interrupt_twice(*_):
        noting = signal.getsignal(signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        while signal.getsignal(signal.SIGINT) == noting:  # two signals at once could arrive as one
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

    monkeypatch.setattr(RunLog, "advance", interrupt_twice)
    with pytest.raises(KeyboardInterrupt):
        train(config, source, tmp_path / "run")


def test_time_budget_ends_the_run_with_a_checkpoint(config, source, tmp_path, monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr(pretrain.time, "monotonic", lambda: 10.0 * next(clock))
    result = train(config, source, tmp_path / "run", max_minutes=2)
    assert 1 < result.step < 10
    assert result.checkpoint.name == f"step_{result.step:08d}"


def test_log_has_losses_validation_and_baseline(config, source, tmp_path):
    train(config, source, tmp_path / "run")
    rows = rows_of(tmp_path / "run")
    validated = [r for r in rows if r["validation/loss"]]
    assert [r["step"] for r in validated] == ["5", "10"]
    assert all(float(r["validation/baseline"]) > 0 for r in validated)
    trained = [r for r in rows if r["loss"]]
    assert [r["step"] for r in trained] == ["10"]
    assert float(trained[0]["atoms_per_second"]) > 0
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_validation_does_not_depend_on_the_seed_of_the_run(config, source):
    first, second = (Validation.of(source, replace(config, seed=seed), torch.device("cpu")) for seed in (0, 1))
    for one, other in zip(first.paths, second.paths, strict=True):
        assert torch.equal(one.positions.state, other.positions.state)
        assert torch.equal(one.lattice.state, other.lattice.state)


def test_baseline_is_the_score_of_the_mean_crystal(config, source):
    validation = Validation.of(source, config, torch.device("cpu"))
    lattices = torch.cat([p.lattice.data for p in validation.paths])
    noises = iter([(p.positions.noise, p.lattice.noise - lattices.mean(0)) for p in validation.paths])
    score = validation.score(lambda *_: next(noises))
    assert score == validation.baseline()
    assert score.positions > 0


def test_a_mirror_image_flips_about_half_of_the_crystals(source, generator):
    batch = pretrain.Batches(source, pretrain.TrainConfig().batch).batch(pretrain.generator_of(0, 0))
    flipped = invert(batch, generator)
    ratio = (flipped.positions / batch.positions).round().clamp(-1, 1)
    per_crystal = [part.unique().tolist() for part in ratio.split(batch.template.sizes)]
    assert all(signs in ([1.0], [-1.0]) for signs in per_crystal)
    assert 0.3 < per_crystal.count([-1.0]) / len(per_crystal) < 0.7


def test_a_dataset_without_validation_crystals_is_refused(config, source, tmp_path):
    with pytest.raises(InputError, match="no crystal in its validation split"):
        train(config, replace(source, split=source.split[:0].tolist() + ["train"] * len(source)), tmp_path / "run")

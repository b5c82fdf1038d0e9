"""Two gloo processes of torchrun: the run of one process on the same batches, and mistakes that end both."""

import csv
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from packflow.errors import InputError
from packflow.train import parallel
from packflow.train.__main__ import main
from packflow.train.checkpoint import checkpoints_in, read_tensors

FILES = ("model.safetensors", "ema.safetensors", "optimizer.safetensors")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "packflow.train"]
N_STEPS = 10


def torchrun(words):
    """Start two processes with the options of a run."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    return subprocess.Popen([*TORCHRUN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.fixture
def options(dataset_folder):
    small = ["--batch.max_atoms", "200", "--validation.n_crystals", "2", "--validation.every", "5", "--device", "cpu", "--threads", "1"]
    return ["--recipe", "tiny", "--data", str(dataset_folder), "--n_steps", str(N_STEPS), *small]


@pytest.fixture(autouse=True)
def keep_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def rows_of(out):
    with (out / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: value for name, value in row.items() if name != "atoms_per_second"} for row in rows]


def same_tensors(one, other):
    """Whether two checkpoints agree to the bit."""
    sides = [{f"{file}:{key}": value for file in FILES for key, value in read_tensors(c / file)[0].items()} for c in (one, other)]
    return sides[0].keys() == sides[1].keys() and all(torch.equal(value, sides[1][key]) for key, value in sides[0].items())


def test_two_processes_are_one_process_on_the_same_batches(options, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([*options, "--out", str(one), "--accumulate", "2"]) == 0
    process = torchrun([*options, "--out", str(two)])
    said, complained = process.communicate(timeout=120)
    assert process.returncode == 0, complained
    assert said.count("in 2 processes") == 1
    assert said.count(f"{N_STEPS} of {N_STEPS} steps done") == 1
    assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in one.iterdir())
    assert len(list((two / "tensorboard").iterdir())) == 1
    # two numbers have one sum, whichever comes first, so even the bits agree
    assert rows_of(one) == rows_of(two)
    assert same_tensors(checkpoints_in(one)[-1], checkpoints_in(two)[-1])
    half, out = checkpoints_in(two)[0], tmp_path / "continued"
    assert main([*options, "--out", str(out), "--resume", str(half), "--accumulate", "2"]) == 0
    assert same_tensors(checkpoints_in(out)[-1], checkpoints_in(two)[-1])


def test_two_processes_do_other_batches_than_one(options, tmp_path):
    assert main([*options, "--out", str(tmp_path / "one")]) == 0
    assert main([*options, "--out", str(tmp_path / "two"), "--accumulate", "2"]) == 0
    assert rows_of(tmp_path / "one")[-1] != rows_of(tmp_path / "two")[-1]


def test_sigterm_ends_both_after_the_same_step_with_a_checkpoint(options, tmp_path):
    out = tmp_path / "run"
    process = torchrun([*options, "--out", str(out), "--n_steps", "100000"])
    deadline = time.monotonic() + 90
    while not checkpoints_in(out) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    complained = process.communicate(timeout=60)[1]
    last = checkpoints_in(out)[-1]
    step = int(last.name.removeprefix("step_"))
    assert f"packflow train: stopped by SIGTERM after step {step}; continue with --out {out} --resume auto" in complained
    assert main([*options, "--out", str(out), "--resume", "auto", "--accumulate", "2", "--n_steps", str(step + 1)]) == 0


def test_a_mistake_of_the_first_process_ends_both(options, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "step_00000005.partial").touch()  # a file where the checkpoint's folder has to be made
    process = torchrun([*options, "--out", str(out)])
    complained = process.communicate(timeout=120)[1]
    assert process.returncode != 0
    assert "packflow train: " in complained
    assert "packflow train (process 1): " in complained
    assert complained.count("step_00000005 cannot be written") == 2
    assert "InputError" not in complained.split("torch.distributed.elastic")[0]


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(InputError, match="--nproc-per-node 4 needs as many GPUs, this machine has 1: start fewer, or take --device cpu"):
        parallel.launched("auto", "32-true")

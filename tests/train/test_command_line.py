"""python -m packflow.train: options, exit status, one-line messages, and a process that is told to end."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from packflow.train.__main__ import main
from packflow.train.checkpoint import checkpoints_in
from packflow.train.options import parse
from packflow.train.recipes import open_2m


@pytest.fixture(autouse=True)
def keep_threads():
    """The command sets the number of threads for the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def arguments(dataset_folder, tmp_path):
    small = ["--batch.max-atoms=200", "--validation.n_crystals", "2", "--validation.every", "2"]
    return ["--recipe", "tiny", "--data", str(dataset_folder), "--out", str(tmp_path / "run"), "--n-steps", "4", *small]


def config_in(out):
    return json.loads((checkpoints_in(out)[-1] / "progress.json").read_text())["config"]


def test_a_run_from_the_command_line_and_its_continuation(arguments, tmp_path, capsys):
    assert main([*arguments, "--optim.learning_rate", "1e-4", "--threads", "1"]) == 0
    config = config_in(tmp_path / "run")
    assert (config["recipe"], config["n_steps"], config["optim"]["learning_rate"], config["batch"]["max_atoms"]) == ("tiny", 4, 1e-4, 200)
    assert "4 of 4 steps done" in capsys.readouterr().out
    data, out = arguments[2:4], arguments[4:6]
    assert main([*data, *out, "--resume", "auto", "--n-steps", "6"]) == 0
    resumed = config_in(tmp_path / "run")
    assert resumed == {**config, "n_steps": 6}


def test_resume_auto_without_a_checkpoint_starts_a_run(arguments):
    assert main([*arguments, "--resume", "auto"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--recipe", "open2m"], "did you mean open-2m?"),
        (["--recipe", "tiny", "--optim.learnin_rate", "1"], "option --optim.learnin_rate is unknown: did you mean --optim.learning_rate?"),
        (["--recipe", "tiny", "--optim.learning_rate", "fast"], "optim.learning_rate"),
        (["--recipe", "tiny", "--loss.kind", "l7"], "loss.kind"),
        (["--recipe", "tiny", "--model.n_heads", "7"], "n_heads must divide d_model"),
        (["--recipe", "tiny"], "a run needs --data"),
        (["--recipe", "tiny", "--data", "nowhere", "--out", "OUT"], "nowhere is not a PackFlow dataset"),
        (["--data", "x", "--out", "OUT", "--resume", "nowhere"], "--resume nowhere is no folder"),
        (["--data", "x", "--out", "OUT", "--resume", "."], ". is no checkpoint"),
    ],
)
def test_mistakes_are_one_line_and_status_2(words, message, tmp_path, capsys):
    assert main([str(tmp_path / "run") if word == "OUT" else word for word in words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("packflow train: ")
    assert message in error
    assert error.count("\n") == 1


def test_what_cannot_change_on_resume(arguments, capsys):
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert "holds another run" in capsys.readouterr().err
    assert main([*arguments, "--resume", "auto", "--model.d_model", "64"]) == 2
    assert "the model of a resumed run cannot change" in capsys.readouterr().err
    assert main(["--recipe", "open-2m", *arguments[2:], "--resume", "auto"]) == 2
    assert "is of recipe tiny, not open-2m" in capsys.readouterr().err


def test_options_change_the_recipe_and_nothing_else():
    assert parse([], open_2m(), "packflow train", "train", ["open-2m"])[1] == open_2m()


def test_sigterm_ends_the_process_with_a_checkpoint(arguments, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "packflow.train", *arguments, "--n-steps", "100000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        deadline = time.monotonic() + 60
        while not checkpoints_in(run) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        error = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM
    last = checkpoints_in(run)[-1]
    step = int(last.name.removeprefix("step_"))
    assert error.strip() == f"packflow train: stopped by SIGTERM after step {step}; continue with --out {run} --resume auto"
    assert main([*arguments[2:6], "--resume", "auto", "--n-steps", str(step + 2)]) == 0
    assert checkpoints_in(run)[-1].name == f"step_{step + 2:08d}"

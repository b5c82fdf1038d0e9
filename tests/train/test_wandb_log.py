"""Reports to Weights & Biases: those of the CSV file, one run however often it resumes, and never the end of a training."""

import csv
import importlib.util
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch

from packflow.errors import InputError
from packflow.train.__main__ import main
from packflow.train.checkpoint import checkpoints_in, read_config, read_tensors
from packflow.train.pretrain import COLUMNS, train

INSTALLED = importlib.util.find_spec("wandb") is not None


class StandIn:
    """The part of the package wandb that is used, keeping what it is told."""

    class Error(Exception):
        pass

    def __init__(self, mode="offline", logged_in=False, fails=()):
        self.mode, self.logged_in, self.fails = mode, logged_in, fails
        self.begun, self.metrics, self.rows, self.ended = [], [], [], []

    def Settings(self, **settings):
        return settings

    def setup(self):
        return SimpleNamespace(settings=SimpleNamespace(mode=self.mode))

    def login(self, prompt, verify):
        assert (prompt, verify) == (False, False)
        self._may_fail("login", "WANDB_API_KEY invalid:\nit has 3 characters")
        return self.logged_in

    def init(self, **arguments):
        self._may_fail("init", "entity\nnobody not found")
        self.begun.append(arguments)
        return self

    def define_metric(self, name, step_metric=None):
        self.metrics.append((name, step_metric))

    def log(self, values):
        self.rows.append(values)
        self._may_fail("log", "the service\nis gone")

    def finish(self, exit_code):
        self._may_fail("finish", "")
        self.ended.append(exit_code)

    def _may_fail(self, where, message):
        if where in self.fails:
            raise self.Error(message)


@pytest.fixture
def stand_in(monkeypatch):
    def install(**options):
        module = StandIn(**options)
        monkeypatch.setitem(sys.modules, "wandb", module)
        return module

    return install


def rows_of(out):
    with (out / "metrics.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def test_the_same_numbers_as_the_csv_file(stand_in, config, source, tmp_path):
    wandb = stand_in()
    result = train(config, source, tmp_path / "first", wandb_project="crystals")
    assert [row.keys() for row in wandb.rows] == [row.keys() for row in rows_of(tmp_path / "first")]
    for told, written in zip(wandb.rows, rows_of(tmp_path / "first"), strict=True):
        assert told == pytest.approx(written, rel=1e-6)
    assert {name for row in wandb.rows for name in row} == set(COLUMNS)
    (begun,) = wandb.begun
    assert (begun["project"], begun["name"], begun["dir"]) == ("crystals", "first", str(tmp_path / "first"))
    assert begun["config"] == asdict(read_config(result.checkpoint))
    assert (wandb.metrics, wandb.ended) == ([("step", None), ("*", "step")], [0])


def test_a_resumed_run_is_the_same_run_and_another_folder_another(stand_in, config, source, tmp_path):
    wandb = stand_in(mode="online", logged_in=True)
    train(config, source, tmp_path / "one", wandb_project="crystals")
    first, last = checkpoints_in(tmp_path / "one")
    train(read_config(last), source, tmp_path / "one", last, wandb_project="crystals")
    train(read_config(first), source, tmp_path / "two", first, wandb_project="crystals")
    identities = [begun["id"] for begun in wandb.begun]
    assert identities[0] == identities[1] != identities[2]
    assert {begun["resume"] for begun in wandb.begun} == {"allow"}


def test_checkpoints_do_not_know_of_it(stand_in, config, source, tmp_path):
    stand_in()
    told = train(config, source, tmp_path / "told", wandb_project="crystals")
    plain = train(config, source, tmp_path / "plain")
    for name in ("model.safetensors", "ema.safetensors", "optimizer.safetensors"):
        one, other = (read_tensors(result.checkpoint / name)[0] for result in (told, plain))
        assert all(torch.equal(one[key], other[key]) for key in one.keys() | other.keys())
    assert read_config(told.checkpoint) == read_config(plain.checkpoint)


def test_a_failure_in_the_middle_is_said_once_and_the_training_goes_on(stand_in, config, source, tmp_path, capsys):
    wandb = stand_in(fails=("log",))
    assert train(config, source, tmp_path / "run", wandb_project="crystals").step == 10
    assert capsys.readouterr().out.count("--wandb: the service is gone: nothing more is reported") == 1
    assert (len(wandb.rows), wandb.ended) == (1, [])
    assert len(rows_of(tmp_path / "run")) == 3


def test_a_failure_at_the_end(stand_in, config, source, tmp_path, capsys):
    stand_in(fails=("finish",))
    assert train(config, source, tmp_path / "run", wandb_project="crystals").step == 10
    assert "--wandb: Error: nothing more is reported" in capsys.readouterr().out


def test_a_run_that_ends_with_an_error_says_so(stand_in, config, source, tmp_path, monkeypatch):
    wandb = stand_in()
    monkeypatch.setattr("packflow.train.pretrain.save_checkpoint", lambda *_: (_ for _ in ()).throw(InputError("the disk is full")))
    with pytest.raises(InputError, match="the disk is full"):
        train(config, source, tmp_path / "run", wandb_project="crystals")
    assert wandb.ended == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mode": "online"},
            "--wandb: not logged in to Weights & Biases: call `wandb login`, set WANDB_MODE=offline, or leave --wandb out",
        ),
        ({"mode": "online", "fails": ("login",)}, "--wandb: WANDB_API_KEY invalid: it has 3 characters: mend that, or leave --wandb out"),
        ({"fails": ("init",)}, "--wandb crystals: entity nobody not found: mend that, or leave --wandb out"),
        (None, "--wandb needs the package wandb"),
    ],
)
def test_what_is_refused_before_the_first_step(stand_in, options, message, dataset_folder, tmp_path, capsys, monkeypatch):
    if options is None:
        monkeypatch.setitem(sys.modules, "wandb", None)
    else:
        stand_in(**options)
    words = ["--recipe", "tiny", "--data", str(dataset_folder), "--out", str(tmp_path / "run"), "--wandb", "crystals"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"packflow train: {message}")
    assert error.count("\n") == 1
    assert checkpoints_in(tmp_path / "run") == []


@pytest.mark.skipif(not INSTALLED, reason="the package wandb is not installed")
def test_the_real_package_offline(dataset_folder, tmp_path):
    """In processes of its own, because wandb starts a service and warns of what it uses itself."""
    run = tmp_path / "run"
    small = ["--batch.max_atoms", "200", "--validation.n_crystals", "2", "--validation.every", "10", "--threads", "1"]
    command = [sys.executable, "-m", "packflow.train", "--data", str(dataset_folder), "--out", str(run), "--wandb", "crystals", *small]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "HOME": str(tmp_path)}
    options = {"env": environment, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--recipe", "tiny", "--n_steps", "100000"], **options) as process:
        deadline = time.monotonic() + 120
        while not checkpoints_in(run) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        error = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM, error
    step = int(checkpoints_in(run)[-1].name.removeprefix("step_"))
    resumed = subprocess.run([*command, "--resume", "auto", "--n_steps", str(step + 20)], check=False, timeout=120, **options)
    assert resumed.returncode == 0, resumed.stderr
    identity = (run / "wandb_run_id").read_text().strip()
    records = sorted((run / "wandb").glob(f"offline-run-*-{identity}/run-{identity}.wandb"))
    assert len(records) == 2
    for record in records:
        content = record.read_bytes()
        assert [name for name in (*COLUMNS, "crystals", "accumulate") if name.encode() not in content] == []


@pytest.fixture(autouse=True)
def keep_threads():
    """The command sets the number of threads for the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)

"""The rate of a machine: whole units, counted and timed."""

import pytest

from packflow.campaign.calibration import calibrate
from packflow.campaign.job import Job
from packflow.cli import main
from packflow.cli.bench_machine import duration
from packflow.errors import InputError
from packflow.flow.sampler import SampleConfig


def test_every_molecule_at_every_precision(model):
    jobs = [Job.of("methane", "C", 2, 10**9), Job.of("urea", "NC(N)=O", 2, 5)]
    rates = list(calibrate(model, jobs, SampleConfig(2), seconds=0.5, max_atoms=20))
    assert [(r.job.name, r.precision, r.max_atoms) for r in rates] == [
        (name, precision, 20) for name in ("methane", "urea") for precision in ("float32", "bf16")
    ]
    for rate in rates:
        assert rate.n_proposals == 5 if rate.job.name == "urea" else rate.n_proposals % 10 == 0
        assert rate.per_second == pytest.approx(rate.n_proposals / rate.seconds)
        assert 100 < rate.bytes_per_proposal < 10_000


def test_a_crystal_that_does_not_fit_is_refused(model):
    with pytest.raises(InputError, match="are free"):
        next(calibrate(model, [Job("big", "C", 10**9, 1, 10**12)]))


@pytest.mark.parametrize(("seconds", "text"), [(90, "1.5 min"), (7200, "2 h"), (10 * 86400, "10 days")])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_command(tmp_path, model, weights, capfd):
    words = [
        "bench-machine",
        "C",
        "--n-copies",
        "1",
        "--seconds",
        "0.01",
        "--n-steps",
        "1",
        "--model",
        weights,
        "--max-atoms",
        "4",
        "--threads",
        "1",
    ]
    assert main(words) == 0
    printed = capfd.readouterr().out
    assert "bf16" in printed
    assert "for a million" in printed
    assert main([*words, "--precision", "bf16"]) == 0
    assert "float32" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seconds", "0"], "seconds must be above 0, got 0.0"),
        (["--max-atoms", "0"], "max_atoms must be at least 1, got 0"),
        (["--device", "cuda:99"], "cuda"),
        (["--precision", "half"], "precision must be one of"),
        (["Xx"], "cannot be parsed"),
    ],
)
def test_refused(words, message, weights, capfd):
    smiles = [] if words == ["Xx"] else ["C"]
    assert main(["bench-machine", *smiles, "--model", weights, "--threads", "1", *words]) == 2
    assert message in capfd.readouterr().err

"""Campaigns: the same proposals wherever they were cut off, in whatever batches and by whatever executor, in flat memory."""

import os
import pickle
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import psutil
import pytest

from packflow.campaign import Job, run
from packflow.campaign import processes as executors
from packflow.campaign.processes import TRIES, Worker, processes
from packflow.campaign.store import shard_paths
from packflow.errors import InputError
from packflow.flow.sampler import SampleConfig, sample
from packflow.proposal_table import template_of


@pytest.fixture
def whole(model, jobs, config, tmp_path, rows_in):
    """Rows of an uninterrupted run."""
    list(run(model, jobs, tmp_path / "whole", config))
    return rows_in(tmp_path / "whole")


def test_results_are_those_of_sample(model, jobs, config, tmp_path, rows_in):
    """Proposal k of a job is proposal k of `packflow.sample`; results come as they are written."""
    found = [p for result in run(model, jobs, tmp_path / "store", config, seed=5, max_atoms=30) for p in result.proposals()]
    wanted = [p for job in jobs for p in sample(model, template_of(job.smiles, job.n_copies), job.n_samples, seed=5, config=config)]
    rows = rows_in(tmp_path / "store")
    assert len(found) == len(wanted) == len(rows)
    for p, other, row in zip(found, wanted, rows, strict=True):
        assert (p.index, p.seed, p.problem) == (other.index, other.seed, other.problem)
        assert row["smiles"] == p.crystal.template.molecule.smiles == other.crystal.template.molecule.smiles
        np.testing.assert_allclose(p.crystal.positions, other.crystal.positions, atol=1e-3)
        np.testing.assert_allclose(p.crystal.lattice, other.crystal.lattice, atol=1e-3)


@pytest.mark.parametrize(("unit_atoms", "max_atoms"), [(1, 1), (30, 30), (4096, 12), (20, 4096)])
def test_batch_size_does_not_matter(model, jobs, config, tmp_path, rows_in, check_same, whole, unit_atoms, max_atoms):
    """A store goes on with the units that it was begun with, in batches of another size."""
    first = run(model, jobs, tmp_path / "store", config, max_atoms=unit_atoms)
    next(first)
    first.close()
    list(run(model, jobs, tmp_path / "store", config, max_atoms=max_atoms))
    check_same(rows_in(tmp_path / "store"), whole)


@pytest.mark.parametrize("n_workers", [1, 3])
def test_number_of_workers_does_not_matter(model, jobs, config, tmp_path, rows_in, check_same, whole, n_workers):
    executor = partial(processes, n_workers=n_workers)
    assert all(not result.problem for result in run(model, jobs, tmp_path / "store", config, max_atoms=30, executor=executor))
    check_same(rows_in(tmp_path / "store"), whole)


def test_a_worker_that_dies_is_replaced(model, tmp_path, rows_in, check_same, monkeypatch):
    jobs, config = [Job.of("urea", "NC(N)=O", 2, 12)], SampleConfig(3)
    started = []
    monkeypatch.setattr(executors, "Worker", lambda *about: started.append(Worker(*about)) or started[-1])
    results = run(model, jobs, tmp_path / "store", config, max_atoms=8, executor=partial(processes, n_workers=2))
    assert next(results).problem == ""
    started[0].process.kill()
    assert all(not result.problem for result in results)
    assert len(started) == 3
    list(run(model, jobs, tmp_path / "whole", config))
    check_same(rows_in(tmp_path / "store"), rows_in(tmp_path / "whole"))


class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (7,)


def test_a_unit_that_kills_its_workers_is_given_up(model, jobs, config, tmp_path, monkeypatch, rows_in, check_same, whole):
    monkeypatch.setattr(executors, "work_bytes", lambda work: pickle.dumps(Deadly()))
    executor = partial(processes, n_workers=1)
    results = list(run(model, jobs[:1], tmp_path / "store", config, max_atoms=40, executor=executor))
    assert [result.problem for result in results] == [f"{TRIES} workers died of it, the last with exit code 7"]
    assert results[0].proposals() == []
    assert not list(shard_paths(tmp_path / "store"))
    list(run(model, jobs[:1], tmp_path / "store", config))
    check_same(rows_in(tmp_path / "store"), whole[: jobs[0].n_samples])


def test_no_workers(model, jobs, config, tmp_path):
    with pytest.raises(InputError, match="workers must be at least 1, got 0"):
        run(model, jobs, tmp_path / "store", config, executor=partial(processes, n_workers=0))
    list(run(model, jobs, tmp_path / "store", config))


@pytest.mark.parametrize("executor", ["here", pytest.param("processes", marks=pytest.mark.slow)])
def test_kill_in_the_middle(weights, tmp_path, rows_in, check_same, executor):
    """kill -9 of the command, then the same command: what was written stays, and the whole is that of an uninterrupted run."""
    (tmp_path / "m.csv").write_text("smiles,name,n_samples\nNC(N)=O,urea,40\nF/C=C\\F,alkene,40\n")
    words = ["sample", "--input", "m.csv", "--model", weights, "--n-steps", "60", "--max-atoms", "16", "--threads", "1"]
    command = [sys.executable, "-m", "packflow.cli", *words, "--executor", executor, "--out"]
    with subprocess.Popen([*command, "cut"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while len(list(shard_paths(tmp_path / "cut"))) < 5:
            assert process.poll() is None
            time.sleep(0.02)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    assert psutil.wait_procs(workers, timeout=20)[1] == []
    before = {path: path.stat().st_mtime_ns for path in shard_paths(tmp_path / "cut")}
    assert 5 <= len(before) < 80
    subprocess.run([*command, "cut"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([*command, "whole"], cwd=tmp_path, check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    rows = rows_in(tmp_path / "cut")
    assert len(rows) == 80
    check_same(rows, rows_in(tmp_path / "whole"))
    assert not list((tmp_path / "cut").rglob("*.partial"))


def test_memory_stays_flat(model, tmp_path):
    """Ten times as many proposals need no more memory: what grows is a bit per unit."""
    process = psutil.Process()

    def peak_of(n_samples):
        highest = 0
        for result in run(model, [Job.of("methane", "C", 1, n_samples)], tmp_path / str(n_samples), SampleConfig(1), max_atoms=100):
            highest = max(highest, process.memory_info().rss)
            assert result.unit.n_proposals <= 100
        return highest

    peak_of(500)
    small, large = peak_of(1000), peak_of(10_000)
    assert large - small < 30e6

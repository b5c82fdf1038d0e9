"""Stores: what is refused, and that nothing is lost whatever goes wrong."""

import errno
import json
import os
from dataclasses import replace

import pytest
import torch

from packflow.campaign import Job, run
from packflow.campaign.store import open_store, shard_paths
from packflow.errors import InputError
from packflow.flow.sampler import SampleConfig
from packflow.model import PackFlow


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


@pytest.fixture
def begun(model, jobs, config, tmp_path):
    """A store of which two units are done."""
    results = run(model, jobs, tmp_path / "store", config, max_atoms=20)
    next(results), next(results)
    results.close()
    return tmp_path / "store"


def test_what_is_in_it(begun, jobs):
    manifest = json.loads((begun / "manifest.json").read_text())
    assert manifest["format_version"] == 2
    assert manifest["made_of"]["sample"]["n_steps"] == 3
    assert (manifest["n_jobs"], manifest["n_proposals"]) == (3, 12)
    assert sorted(contents(begun)) == ["jobs.csv", "manifest.json", "shards/00000/00000000.parquet", "shards/00000/00000001.parquet"]


def other_weights(model):
    torch.manual_seed(1)
    return PackFlow(model.config).eval()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": other_weights}, "was begun with weights other ones"),
        ({"jobs": lambda jobs: [*jobs, Job.of("new", "C", 1, 1)]}, "was begun with jobs other ones"),
        ({"config": lambda config: replace(config, n_steps=4)}, "was begun with n_steps 3, got 4"),
        ({"seed": lambda seed: 1}, "was begun with seed 0, got 1"),
        ({"seed": lambda seed: -1}, "seed must be 0 or more"),
    ],
    ids=["weights", "jobs", "steps", "seed", "negative seed"],
)
def test_other_settings(begun, model, jobs, config, change, message):
    before = contents(begun)
    settings = {"model": model, "jobs": jobs, "config": config, "seed": 0}
    settings |= {name: changed(settings[name]) for name, changed in change.items()}
    with pytest.raises(InputError, match=message):
        open_store(begun, **settings)
    assert contents(begun) == before


def with_manifest(change):
    def damage(store):
        file = store / "manifest.json"
        file.write_text(json.dumps(change(json.loads(file.read_text()))))

    return damage


def first_shard(change):
    def damage(store):
        path = next(shard_paths(store))
        path.write_bytes(change(path.read_bytes()))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (with_manifest(lambda m: {**m, "format_version": 3}), "format version 3, this packflow reads 2"),
        (with_manifest(lambda m: {**m, "format": "other"}), "not that of a campaign"),
        (with_manifest(lambda m: []), "not that of a campaign"),
        (with_manifest(lambda m: {k: v for k, v in m.items() if k != "made_of"}), "made_of or unit_atoms is missing"),
        (lambda store: (store / "manifest.json").write_bytes(b'{"form\xff'), "manifest.json is damaged"),
        (lambda store: (store / "manifest.json").unlink(), "holds files already and no campaign"),
        (lambda store: (store / "jobs.csv").write_text("mine"), "jobs.csv was changed"),
        (first_shard(lambda data: data[:-10]), "00000000.parquet is damaged"),
        (first_shard(lambda data: b""), "00000000.parquet is damaged"),
        (lambda store: (store / "shards/00000/00000000.parquet").rename(store / "shards/00000/00000005.parquet"), "not of this campaign"),
    ],
    ids=["version", "format", "list", "incomplete", "bytes", "no manifest", "jobs", "truncated", "empty", "renamed"],
)
def test_damaged(begun, model, jobs, config, damage, message):
    damage(begun)
    before = contents(begun)
    with pytest.raises(InputError, match=message):
        open_store(begun, model, jobs, config)
    assert contents(begun) == before


def test_shard_of_another_campaign(begun, model, jobs, config, tmp_path):
    list(run(model, jobs, tmp_path / "other", config, seed=1, max_atoms=20))
    (begun / "shards/00000/00000003.parquet").write_bytes((tmp_path / "other/shards/00000/00000003.parquet").read_bytes())
    with pytest.raises(InputError, match=r"00000003.parquet is not of this campaign"):
        open_store(begun, model, jobs, config)


def test_a_damaged_shard_that_was_removed_is_sampled_again(begun, model, jobs, config, tmp_path, rows_in, check_same):
    next(shard_paths(begun)).unlink()
    list(run(model, jobs, begun, config, max_atoms=20))
    list(run(model, jobs, tmp_path / "whole", config, max_atoms=20))
    check_same(rows_in(begun), rows_in(tmp_path / "whole"))


@pytest.mark.parametrize("name", ["mine.txt", "proposals.parquet", "jobs.csv"])
def test_folders_of_others_are_left_alone(model, jobs, config, tmp_path, name):
    (tmp_path / name).write_text("kept")
    with pytest.raises(InputError, match="holds files already and no campaign"):
        open_store(tmp_path, model, jobs, config)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_file_is_no_store(model, jobs, config, tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError, match="is no folder"):
        open_store(tmp_path / "file", model, jobs, config)
    with pytest.raises(InputError, match="cannot be written"):
        open_store(tmp_path / "file" / "store", model, jobs, config)


def test_one_writer_at_a_time(model, jobs, config, tmp_path):
    with open_store(tmp_path / "store", model, jobs, config), pytest.raises(InputError, match="is in use by another packflow"):
        open_store(tmp_path / "store", model, jobs, config)
    open_store(tmp_path / "store", model, jobs, config).close()


def test_killed_while_it_was_made(model, jobs, config, tmp_path):
    """Right after the manifest, and in the middle of a shard: what is missing is written, what is half is cleared away."""
    open_store(tmp_path / "store", model, jobs, config).close()
    (tmp_path / "store/jobs.csv").unlink()
    half = tmp_path / "store/shards/00000/.00000000.parquet.partial"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"PAR1")
    with open_store(tmp_path / "store", model, jobs, config) as store:
        assert store.n_done == 0
    assert not half.exists()
    assert (tmp_path / "store/jobs.csv").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES], ids=["full disk", "not writable"])
def test_disk_errors_leave_the_store_intact(model, jobs, config, tmp_path, monkeypatch, rows_in, check_same, code):
    results = run(model, jobs, tmp_path / "store", config, max_atoms=20)
    next(results)
    before = contents(tmp_path / "store")

    def fail(descriptor):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr("packflow.disk.os.fsync", fail)
        with pytest.raises(InputError, match=f"cannot be written .{os.strerror(code)}.*same command again"):
            next(results)
    assert contents(tmp_path / "store") == before
    list(run(model, jobs, tmp_path / "store", config, max_atoms=20))
    list(run(model, jobs, tmp_path / "whole", config, max_atoms=20))
    check_same(rows_in(tmp_path / "store"), rows_in(tmp_path / "whole"))


def test_too_large_for_the_memory(model, jobs, config, tmp_path):
    with pytest.raises(InputError, match="lower n_copies"):
        run(model, [Job("big", "C", 10**9, 1, 10**9)], tmp_path / "store", config)
    assert not (tmp_path / "store").exists()


def test_default_settings_are_those_of_the_sampler(model, jobs, tmp_path):
    with open_store(tmp_path / "store", model, jobs) as store:
        assert store.sampling.config == SampleConfig()

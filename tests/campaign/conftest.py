"""A tiny model with random weights, jobs of two molecules, and what is in a store."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from packflow.campaign import Job, run
from packflow.campaign.store import shard_paths
from packflow.flow.sampler import SampleConfig
from packflow.model import ModelConfig, PackFlow
from packflow.model.pretrained import load
from packflow.model.weights import save_model
from packflow.structure import FlowSpace


@pytest.fixture(scope="session")
def model():
    torch.manual_seed(0)
    return PackFlow(ModelConfig(32, 4, 64, 1, FlowSpace("packed"), center_noise=True)).eval()


@pytest.fixture(scope="session")
def weights(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_model(path, model)
    return str(path)


@pytest.fixture
def jobs():
    return [Job.of("urea", "NC(N)=O", 2, 5), Job.of("urea", "NC(N)=O", 4, 3), Job.of("alkene", "F/C=C\\F", 3, 4)]


@pytest.fixture
def config():
    return SampleConfig(3)


@pytest.fixture(scope="session")
def rows_in():
    """A function that reads all rows of a store, in the order of its plan."""
    return lambda store: [row for path in shard_paths(store) for row in pq.read_table(path).to_pylist()]


@pytest.fixture(scope="session")
def check_same():
    """A function that compares rows of two stores: the same proposals, to 1e-3 Å."""

    def check(rows, others):
        assert [row["name"] for row in rows] == [row["name"] for row in others]
        for row, other in zip(rows, others, strict=True):
            assert row["problem"] == other["problem"]
            np.testing.assert_allclose(row["positions"], other["positions"], atol=1e-3)
            np.testing.assert_allclose([row[k] for k in ("a", "b", "c")], [other[k] for k in ("a", "b", "c")], atol=1e-3)

    return check


@pytest.fixture(scope="session")
def sampled_once(tmp_path_factory):
    """A store of a few plausible proposals of urea and methanol, three units, by the installed weights."""
    path = tmp_path_factory.mktemp("sampled") / "store"
    jobs = [Job.of("urea", "NC(N)=O", 2, 4), Job.of("methanol", "CO", 2, 3)]
    list(run(load("open-2m"), jobs, path, SampleConfig(10), max_atoms=20))
    return path


@pytest.fixture
def sampled(sampled_once, tmp_path):
    """A copy of it that a test may change."""
    return Path(shutil.copytree(sampled_once, tmp_path / "sampled"))


@pytest.fixture(scope="session")
def contents():
    """A function that reads all files of a folder but locks."""
    return lambda path: {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name != ".lock"}

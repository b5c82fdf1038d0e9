"""The executor for a Ray cluster, on two nodes of which one dies."""

import importlib.util
import os
import pickle
import shutil
import sys
from functools import partial

import pytest

from packflow.campaign import Job, run
from packflow.campaign import ray as executor_on_ray
from packflow.campaign.ray import cluster
from packflow.campaign.relax_stage import read_relaxed, relax_store
from packflow.errors import InputError
from packflow.flow.sampler import SampleConfig
from packflow.potential.lennard_jones import LennardJones

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install 'packflow-csp[ray]'")


class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (7,)


def test_without_ray(model, jobs, config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'packflow-csp\[ray\]'"):
        run(model, jobs, tmp_path / "store", config, executor=cluster)


@needs_ray
@pytest.mark.parametrize(("address", "message"), [("127.0.0.1:1", "no Ray cluster at address"), ("nowhere", "must be host:port")])
def test_unreachable(model, jobs, config, tmp_path, address, message):
    with pytest.raises(InputError, match=message):
        run(model, jobs, tmp_path / "store", config, executor=partial(cluster, address=address))


@needs_ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_node_dies(model, tmp_path, rows_in, check_same):
    """Two nodes with a core each; the one that is not ours is killed when the first units are done."""
    from ray.cluster_utils import Cluster

    jobs, config = [Job.of("urea", "NC(N)=O", 4, 60)], SampleConfig(50)
    list(run(model, jobs, tmp_path / "here", config, max_atoms=32))
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100_000_000})
    try:
        other = nodes.add_node(num_cpus=1, object_store_memory=100_000_000)
        nodes.wait_for_nodes()
        executor = partial(cluster, address=nodes.address)
        for number, result in enumerate(run(model, jobs, tmp_path / "ray", config, max_atoms=32, executor=executor)):
            assert result.problem == ""
            if number == 3:
                nodes.remove_node(other, allow_graceful=False)
    finally:
        nodes.shutdown()
    check_same(rows_in(tmp_path / "ray"), rows_in(tmp_path / "here"))


@needs_ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_unit_that_kills_its_workers_is_given_up(model, jobs, config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(executor_on_ray, "work_bytes", lambda work: pickle.dumps(Deadly()))
        results = list(run(model, jobs[:1], tmp_path / "store", config, executor=cluster))
    assert [result.problem.startswith("3 tasks failed: ") for result in results] == [True]


@needs_ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_relaxing(sampled):
    """The other work that executors do."""
    copy = shutil.copytree(sampled, sampled.with_name("copy"))
    assert {done.problem for done in relax_store(sampled, LennardJones(), executor=cluster)} == {""}
    list(relax_store(copy, LennardJones()))
    for row, other in zip(read_relaxed(sampled), read_relaxed(copy), strict=True):
        assert (row["name"], row["problem"], row["n_steps"]) == (other["name"], other["problem"], other["n_steps"])
        assert row["energy_ev"] == pytest.approx(other["energy_ev"], abs=1e-6)

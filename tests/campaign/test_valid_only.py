"""Campaigns whose flagged proposals are replaced: the same as `packflow.sample`, wherever they are cut, and counted in the shards."""

import json
from functools import partial

import numpy as np
import pytest

from packflow.campaign import run
from packflow.campaign.export import export
from packflow.campaign.processes import processes
from packflow.campaign.store import open_store
from packflow.errors import InputError
from packflow.flow.acceptance import Checks, Tally
from packflow.flow.sampler import sample
from packflow.flow.validity import Limits
from packflow.proposal_table import template_of

# what untrained weights pass about every other time
CHECKS = Checks(Limits(100, 0, 0, 100), budget=3)


@pytest.fixture(scope="module")
def wanted(model):
    """Proposals of `packflow.sample` for jobs, config and checks."""

    def proposals(jobs, config, checks):
        return [
            p for job in jobs for p in sample(model, template_of(job.smiles, job.n_copies), job.n_samples, config=config, checks=checks)
        ]

    return proposals


def assert_same(rows, proposals):
    """Rows of a store against proposals: which attempts, why not the others, and the crystals to 1e-3 Å."""
    assert len(rows) == len(proposals)
    for row, p in zip(rows, proposals, strict=True):
        assert (row["index"], row["attempt"], row["problem"]) == (p.index, p.attempt, p.problem)
        # the numbers in the flags are rounded
        assert [f.split(":")[0] for f in (row["flag"], *row["rejected"])] == [f.split(":")[0] for f in (p.flag, *p.rejected)]
        np.testing.assert_allclose(row["positions"], p.crystal.positions.ravel(), atol=1e-3)


@pytest.mark.parametrize(("unit_atoms", "max_atoms"), [(1, 1), (30, 30), (4096, 12), (20, 4096)])
def test_cut_and_continued(model, jobs, config, tmp_path, rows_in, wanted, unit_atoms, max_atoms):
    store = tmp_path / "store"
    first = run(model, jobs, store, config, max_atoms=unit_atoms, checks=CHECKS)
    next(first)
    first.close()
    list(run(model, jobs, store, config, max_atoms=max_atoms, checks=CHECKS))
    proposals = wanted(jobs, config, CHECKS)
    assert {p.attempt for p in proposals} == {0, 1, 2}
    assert any(p.flag for p in proposals)
    assert_same(rows_in(store), proposals)
    with open_store(store, model, jobs, config, checks=CHECKS) as opened:
        assert opened.tally == Tally.of(proposals)


def test_workers(model, jobs, config, tmp_path, rows_in, wanted):
    list(run(model, jobs, tmp_path / "store", config, max_atoms=30, executor=partial(processes, n_workers=2), checks=CHECKS))
    assert_same(rows_in(tmp_path / "store"), wanted(jobs, config, CHECKS))


def test_flags_are_in_every_store(model, jobs, config, tmp_path, rows_in, wanted):
    found = [p for result in run(model, jobs, tmp_path / "store", config) for p in result.proposals()]
    rows, proposals = rows_in(tmp_path / "store"), wanted(jobs, config, Checks())
    assert_same(rows, proposals)
    assert [(p.flag, p.attempt, p.rejected) for p in found] == [(row["flag"], 0, ()) for row in rows]
    assert json.loads((tmp_path / "store/manifest.json").read_text())["made_of"]["checks"]["budget"] == 1
    assert all(row["flag"] for row in rows)


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        (None, "was begun with budget 3, got 1"),
        (Checks(CHECKS.limits, 4), "was begun with budget 3, got 4"),
        (Checks(Limits(100, 0, 0, 99), 3), "was begun with max_density 100, got 99"),
        (Checks(Limits(90, 0, 0, 100), 3), "was begun with max_clash 100, got 90"),
    ],
    ids=["no replacement", "budget", "density", "clash"],
)
def test_other_checks(model, jobs, config, tmp_path, checks, message):
    open_store(tmp_path / "store", model, jobs, config, checks=CHECKS).close()
    with pytest.raises(InputError, match=message):
        open_store(tmp_path / "store", model, jobs, config, checks=checks)
    open_store(tmp_path / "store", model, jobs, config, checks=CHECKS).close()


def test_export_of_valid_ones(model, jobs, config, tmp_path, rows_in):
    list(run(model, jobs, tmp_path / "store", config, checks=Checks(CHECKS.limits)))
    rows = rows_in(tmp_path / "store")
    n_valid, n_usable = (sum(not row[key] for row in rows) for key in ("flag", "problem"))
    assert 0 < n_valid < n_usable < len(rows)
    assert export(tmp_path / "store", tmp_path / "valid.extxyz", "extxyz", valid_only=True) == n_valid
    assert "flag=" not in (tmp_path / "valid.extxyz").read_text()
    assert export(tmp_path / "store", tmp_path / "usable.extxyz", "extxyz") == n_usable
    assert (tmp_path / "usable.extxyz").read_text().count("flag=") == n_usable - n_valid
    with pytest.raises(InputError, match="exclude each other"):
        export(tmp_path / "store", tmp_path / "both", everything=True, valid_only=True)

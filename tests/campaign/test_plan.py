"""Plans: units of bounded size, the same as batches filled one draw after the other, at little cost."""

import time
import tracemalloc
from dataclasses import replace

import pytest

from packflow.campaign.job import Job
from packflow.campaign.plan import Plan
from packflow.errors import InputError
from packflow.flow.draws import Draw, in_batches
from packflow.proposal_table import template_of


@pytest.mark.parametrize("unit_atoms", [1, 8, 20, 31, 32, 100, 10**6])
def test_units_are_the_batches_of_the_draws(jobs, unit_atoms):
    plan = Plan(jobs, unit_atoms)
    draws = [Draw(template_of(job.smiles, job.n_copies), k, 7) for job in jobs for k in range(job.n_samples)]
    batches = list(in_batches(draws, unit_atoms))
    units = [plan.unit(number) for number in range(plan.n_units)]
    assert [list(unit.draws(7)) for unit in units] == batches
    assert [unit.n_proposals for unit in units] == plan.sizes.tolist()
    assert plan.n_proposals == len(draws)
    names = [name for unit in units for name in unit.names()]
    assert names == [f"{job.name}#{job.n_copies}-{k}" for job in jobs for k in range(job.n_samples)]


def test_a_million_proposals_cost_little():
    jobs = [Job(f"molecule_{n}", "C" * (n % 30 + 1), 4, 1000, 4 * (n % 30 + 1)) for n in range(1000)]
    tracemalloc.start()
    began = time.perf_counter()
    plan = Plan(jobs, 4096)
    seconds = time.perf_counter() - began
    last = plan.unit(plan.n_units - 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert plan.n_proposals == 10**6
    assert last.parts[-1].stop == 1000
    assert peak < 2e6
    assert seconds < 2


@pytest.mark.parametrize(("n_jobs", "unit_atoms", "message"), [(0, 1, "at least one job"), (3, 0, "max_atoms must be at least 1")])
def test_refused(jobs, n_jobs, unit_atoms, message):
    with pytest.raises(InputError, match=message):
        Plan(jobs[:n_jobs], unit_atoms)


def test_proposals_are_counted_from_first_index(jobs):
    plan = Plan([replace(job, first_index=10 * k) for k, job in enumerate(jobs)], 20)
    names = [name for number in range(plan.n_units) for name in plan.unit(number).names()]
    assert names == [f"{job.name}#{job.n_copies}-{10 * k + n}" for k, job in enumerate(jobs) for n in range(job.n_samples)]
    draws = [draw.index for number in range(plan.n_units) for draw in plan.unit(number).draws(7)]
    assert draws == [10 * k + n for k, job in enumerate(jobs) for n in range(job.n_samples)]

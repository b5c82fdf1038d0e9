"""Campaigns from jobs to a store, unit by unit."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from packflow.baseline.engine import Baseline
from packflow.campaign.job import Job
from packflow.campaign.plan import Unit
from packflow.campaign.shard import Result, Sampling, sample_unit
from packflow.campaign.store import Store, open_store
from packflow.campaign.work import Done, Executor, carried_on
from packflow.flow.acceptance import Checks
from packflow.flow.memory import device_of
from packflow.flow.sampler import SampleConfig
from packflow.model import PackFlow


@dataclass(frozen=True)
class SampleWork:
    """Sampling as `packflow.campaign.work.Work`."""

    model: PackFlow | Baseline
    sampling: Sampling

    @property
    def campaign(self) -> str:
        """Digest of what the proposals depend on."""
        return self.sampling.campaign

    @property
    def device(self) -> str:
        """That of the model."""
        return str(device_of(self.model))

    def __call__(self, unit: Unit) -> bytes:
        """Sample a unit."""
        return sample_unit(self.model, unit, self.sampling)

    def portable(self) -> SampleWork:
        """With a copy of the model on the CPU."""
        return self if isinstance(self.model, Baseline) else replace(self, model=copy.deepcopy(self.model).cpu())

    def to(self, device: str) -> SampleWork:
        """With the model on a device, in evaluation mode."""
        return self if isinstance(self.model, Baseline) else replace(self, model=self.model.to(device).eval())


def run(
    model: PackFlow | Baseline,
    jobs: Sequence[Job],
    store: str | Path,
    config: SampleConfig | None = None,
    seed: int = 0,
    max_atoms: int | None = None,
    executor: Executor | None = None,
    checks: Checks | None = None,
) -> Iterator[Result]:
    """Sample all jobs into a store and yield what was written, or go on where an earlier call was cut off.

    Proposals do not depend on where it was cut, on max_atoms or on the executor, but for rounding.

    Args:
        model: From `packflow.load`, on the device where the work is to be done; or a baseline.
        jobs: From `Job.of` or `read_jobs`.
        store: Folder, see `open_store`.
        config: How the flow is integrated.
        seed: Of all jobs; proposal k of a job is made from the noise of (seed, k), as by `packflow.sample`.
        max_atoms: Atoms sampled at once; None as for `packflow.sample`.
        executor: `here`, or one of `processes` and `cluster` with `functools.partial`.
        checks: Limits beyond which a proposal is flagged; with a budget above 1 it is then replaced by a fresh sample.

    Returns:
        Results of the units that had no shard, each when its shard is on the disk; those that were given up have a problem.

    Raises:
        InputError: as `open_store`, now; a shard cannot be written, in the iterator.
    """
    opened = open_store(store, model, jobs, config, seed, max_atoms, checks)
    return carry_on(model, opened, executor)


def carry_on(model: PackFlow | Baseline, store: Store, executor: Executor | None = None) -> Iterator[Result]:
    """`run` with a store that is open; closes it at the end.

    Raises:
        InputError: the executor cannot start, now; a shard cannot be written, in the iterator.
    """
    return as_results(carried_on(SampleWork(model, store.sampling), store.missing(), store, executor))


def as_results(done: Iterator[Done]) -> Iterator[Result]:
    """What was done, with its proposals."""
    with closing(done):  # type: ignore[type-var]
        for one in done:
            yield Result(one.unit, one.data, one.problem)

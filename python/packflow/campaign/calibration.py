"""How fast a machine samples: whole units, from noise to the bytes of a shard, for a few seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from packflow.campaign.job import Job
from packflow.campaign.plan import Plan
from packflow.campaign.shard import Sampling, sample_unit
from packflow.flow.acceptance import Checks
from packflow.flow.memory import check_memory, fitting
from packflow.flow.sampler import SampleConfig
from packflow.model import PackFlow

# a small, a usual and a large molecule, four copies each
MOLECULES = (
    ("urea", "NC(N)=O"),
    ("aspirin", "CC(=O)Oc1ccccc1C(=O)O"),
    ("celecoxib", "Cc1ccc(cc1)-c1cc(nn1-c1ccc(cc1)S(N)(=O)=O)C(F)(F)F"),
)
N_COPIES = 4
PRECISIONS = ("float32", "bf16")


@dataclass(frozen=True)
class Rate:
    """What was measured for one molecule.

    job:         the molecule.
    precision:   of the network's matrix products.
    max_atoms:   atoms sampled at once.
    n_proposals: proposals that were sampled while the clock ran.
    seconds:     that they took.
    n_bytes:     of their shards.
    """

    job: Job
    precision: str
    max_atoms: int
    n_proposals: int
    seconds: float
    n_bytes: int

    @property
    def per_second(self) -> float:
        """Proposals per second."""
        return self.n_proposals / self.seconds

    @property
    def bytes_per_proposal(self) -> float:
        """On disk."""
        return self.n_bytes / self.n_proposals


def default_jobs() -> list[Job]:
    """MOLECULES, as many proposals as any machine can sample."""
    return [Job.of(name, smiles, N_COPIES, 10**9) for name, smiles in MOLECULES]


def calibrate(
    model: PackFlow,
    jobs: Sequence[Job],
    config: SampleConfig | None = None,
    precisions: Sequence[str] = PRECISIONS,
    seconds: float = 3.0,
    max_atoms: int | None = None,
    checks: Checks | None = None,
) -> Iterator[Rate]:
    """Measure each molecule at each precision, one after the other as they are asked for.

    The first unit of each is not timed: it loads and compiles what is needed.

    Args:
        model: On the device that is meant.
        jobs: Molecules; their number of samples is the most that is sampled.
        config: How the flow is integrated; its precision is not looked at.
        precisions: "float32", "bf16" or both.
        seconds: Least time of each measurement; it ends with a unit.
        max_atoms: Atoms sampled at once, None for as many as suit the device.
        checks: What is flagged, and how often it is then sampled again.

    Raises:
        InputError: max_atoms is below 1, or a crystal needs more memory than there is.
    """
    at_once = fitting(model) if max_atoms is None else max_atoms
    check_memory(model, max(job.n_atoms for job in jobs), at_once, at_once)
    for job in jobs:
        plan = Plan([job], at_once)
        for precision in precisions:
            settings = replace(config or SampleConfig(), precision=precision)  # type: ignore[arg-type]
            sampling = Sampling("", 0, settings, checks or Checks(), at_once)
            sample_unit(model, plan.unit(0), sampling)
            start, done, n_bytes, number = time.perf_counter(), 0, 0, 0
            while time.perf_counter() - start < seconds and number < plan.n_units:
                unit = plan.unit(number)
                n_bytes += len(sample_unit(model, unit, sampling))
                done, number = done + unit.n_proposals, number + 1
            yield Rate(job, precision, at_once, done, time.perf_counter() - start, n_bytes)

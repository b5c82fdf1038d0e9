"""Plan: all proposals of a campaign in a fixed order, cut into units of work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from packflow.campaign.job import Job
from packflow.errors import InputError
from packflow.flow.draws import Draw
from packflow.proposal_table import template_of


@dataclass(frozen=True)
class Part:
    """Proposals of a job with the indices start to stop - 1."""

    job: Job
    start: int
    stop: int


@dataclass(frozen=True)
class Unit:
    """What is sampled, written and, if that fails, done again as a whole.

    number: of the unit in its plan.
    parts:  its proposals.
    """

    number: int
    parts: tuple[Part, ...]

    @property
    def n_proposals(self) -> int:
        """Number of proposals."""
        return sum(part.stop - part.start for part in self.parts)

    def names(self) -> Iterator[str]:
        """What each proposal is called: name of the molecule, number of copies, index, as aspirin#4-17."""
        return (f"{part.job.name}#{part.job.n_copies}-{k}" for part in self.parts for k in range(part.start, part.stop))

    def draws(self, seed: int) -> Iterator[Draw]:
        """The draws of its proposals: index k of a job is the same in every campaign of that seed."""
        for part in self.parts:
            template = template_of(part.job.smiles, part.job.n_copies)
            yield from (Draw(template, k, seed) for k in range(part.start, part.stop))


class Plan:
    """Units in the order of the jobs, each of as many proposals as have `unit_atoms` atoms together.

    It holds two numbers a job and one a unit, whatever the number of proposals. A larger crystal is alone in its unit, and the last
    proposals of a job share a unit with the first of the next.
    """

    def __init__(self, jobs: Sequence[Job], unit_atoms: int) -> None:
        """Cut the jobs into units.

        Args:
            jobs: At least one.
            unit_atoms: Atoms of a unit, at least 1.

        Raises:
            InputError: there is no job, or unit_atoms is below 1.
        """
        if not jobs:
            raise InputError("jobs must hold at least one job, got none")
        if unit_atoms < 1:
            raise InputError(f"max_atoms must be at least 1, got {unit_atoms}")
        self.jobs = jobs
        self.unit_atoms = unit_atoms
        self._first_of_job = np.cumsum([0, *(job.n_samples for job in jobs)], dtype=np.int64)
        self._first_of_unit = np.append(first_of_units(jobs, unit_atoms), self._first_of_job[-1])

    @property
    def n_proposals(self) -> int:
        """Proposals of all jobs."""
        return int(self._first_of_job[-1])

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self._first_of_unit) - 1

    @property
    def sizes(self) -> np.ndarray:
        """Proposals of each unit. [n_units] int64"""
        return np.diff(self._first_of_unit)

    def unit(self, number: int) -> Unit:
        """The unit of a number from 0 to n_units - 1."""
        first, last = self._first_of_unit[number : number + 2].tolist()
        parts = []
        job = int(np.searchsorted(self._first_of_job, first, side="right")) - 1
        while first < last:
            begin, end = self._first_of_job[job : job + 2].tolist()
            shift = self.jobs[job].first_index - begin
            parts.append(Part(self.jobs[job], first + shift, min(last, end) + shift))
            first, job = min(last, end), job + 1
        return Unit(number, tuple(parts))


def first_of_units(jobs: Sequence[Job], unit_atoms: int) -> np.ndarray:
    """First proposal of each unit, counted through all jobs: units are filled one after the other. [n_units] int64"""
    firsts: list[np.ndarray] = []
    place = room = 0
    for job in jobs:
        fitting = min(job.n_samples, room // job.n_atoms)
        place, room = place + fitting, room - fitting * job.n_atoms
        rest = job.n_samples - fitting
        if rest:
            firsts.append(np.arange(place, place + rest, max(1, unit_atoms // job.n_atoms), dtype=np.int64))
            place += rest
            room = max(0, unit_atoms - (place - int(firsts[-1][-1])) * job.n_atoms)
    return np.concatenate(firsts)

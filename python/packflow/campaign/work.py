"""What executors do: the same work on every unit, here or in other processes, and what becomes of each."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

from packflow.errors import InputError


class Piece(Protocol):
    """What is done, written and, if that fails, done again as a whole; picklable."""

    @property
    def number(self) -> int:
        """Its place among the units of its stage."""
        ...

    @property
    def n_proposals(self) -> int:
        """Number of proposals."""
        ...


class Work(Protocol):
    """What is done to every unit: a call with the unit returns its shard."""

    @property
    def campaign(self) -> str:
        """Digest of what the shards depend on; processes that outlive a campaign tell works apart by it."""
        ...

    @property
    def device(self) -> str:
        """Where it is done, as torch calls it."""
        ...

    def __call__(self, unit: Any) -> bytes:  # noqa: ANN401, each work has units of its own
        """Do a unit."""
        ...

    def portable(self) -> Work:
        """The same in a form that can be pickled on any device."""
        ...

    def to(self, device: str) -> Work:
        """The same, ready on a device."""
        ...


@dataclass(frozen=True)
class Done:
    """A unit that was done, or given up.

    unit:    which one.
    data:    its shard; empty if it was given up.
    problem: why it was given up; empty if it was not.
    """

    unit: Any
    data: bytes
    problem: str = ""


# does units in any order; what it cannot do it yields with the problem
Executor = Callable[[Work, Iterator[Any]], Iterator[Done]]


def here(work: Work, units: Iterator[Any]) -> Iterator[Done]:
    """Executor: one unit after the other in this process."""
    return (Done(unit, work(unit)) for unit in units)


def work_bytes(work: Work) -> bytes:
    """A work as bytes that `work_of` reads."""
    return pickle.dumps(work.portable())


def work_of(data: bytes, device: str) -> Work:
    """A work from bytes of this machinery's own, ready on a device."""
    work: Work = pickle.loads(data)
    return work.to(device)


def device_type(work: Work) -> str:
    """Type of the device that a work is meant for: cpu or cuda."""
    return work.device.partition(":")[0]


class Shards(Protocol):
    """Where shards are written to."""

    def write(self, done: Any) -> None:  # noqa: ANN401, as above
        """Write the shard of a unit."""
        ...

    def close(self) -> None:
        """Let other processes write."""
        ...


def carried_on(work: Work, units: Iterator[Any], shards: Shards, executor: Executor | None = None) -> Iterator[Done]:
    """Do units and write their shards; closes `shards` at the end, and where the executor cannot start.

    Raises:
        InputError: the executor cannot start, now; a shard cannot be written, in the iterator.
    """
    try:
        results = (executor or here)(work, units)
    except InputError:
        shards.close()
        raise
    return written(shards, results)


def written(shards: Shards, results: Iterator[Done]) -> Iterator[Done]:
    """The results, each when it is on the disk."""
    with closing(shards), closing(results):  # type: ignore[type-var]
        for done in results:
            if not done.problem:
                shards.write(done)
            yield done

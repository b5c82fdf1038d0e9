"""Continuous batching: structures that are done leave the working set, new ones come in, the others do not notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from packflow.potential.interface import Potential, Prepared
from packflow.relax.packed import Axis, join, take
from packflow.relax.symmetry import Operations, Symmetrizer, symmetrized
from packflow.structure.full import FullBatch, FullStructure

# working sets whose parameters are looked up at once
POOL_SETS = 8


@dataclass(frozen=True)
class Last:
    """The last geometry of each structure that could be evaluated, float64.

    positions, cell: [n_atoms, 3], [n_structures, 3, 3], Å; the start before anything was evaluated.
    energy:          [n_structures] eV, NaN before.
    max_force:       [n_structures] eV/Å, largest on an atom that may move.
    stress:          [n_structures, 3, 3] eV/Å3.
    """

    ATOM_ROWS: ClassVar = ("positions",)

    positions: Tensor
    cell: Tensor
    energy: Tensor
    max_force: Tensor
    stress: Tensor

    @classmethod
    def at_start(cls, positions: Tensor, cell: Tensor) -> Last:
        """Of structures that nothing is known of."""
        unknown = torch.full_like(cell[:, 0, 0], torch.nan)
        return cls(positions, cell, unknown, unknown.clone(), torch.full_like(cell, torch.nan))


@dataclass(frozen=True)
class Rows:
    """What goes with each structure of the working set; `packflow.relax.packed.take` and `join` move it.

    row:        [n_structures] int64, its row in the pool.
    state:      of the optimizer.
    start_cell: [n_structures, 3, 3] Å.
    movable:    [n_atoms] float64, 1 for an atom that may move, else 0.
    n_steps:    [n_structures] int64, taken so far.
    stopped:    [n_structures] bool; such a row only waits to be taken out.
    last:       see `Last`.
    """

    ATOM_ROWS: ClassVar = ("movable",)

    row: Tensor
    state: Any
    start_cell: Tensor
    movable: Tensor
    n_steps: Tensor
    stopped: Tensor
    last: Last


@dataclass(frozen=True)
class Work:
    """The working set.

    rows:        what moves with each structure.
    axis:        how their atoms lie.
    molecules:   how those of their molecules lie.
    batch:       the structures as they start.
    prepared:    the potential for them.
    symmetrizer: of their space groups, where they are kept.
    """

    rows: Rows
    axis: Axis
    molecules: Axis
    batch: FullBatch
    prepared: Prepared
    symmetrizer: Symmetrizer | None


class Pool:
    """Structures whose parameters were looked up together; working sets are selections of them.

    numbers: places in the input of its rows; the first n_begun of them are in the working set or done.
    """

    def __init__(self, potential: Potential, source: Iterator[FullStructure], max_atoms: int, device: torch.device) -> None:
        """Nothing is read of the source yet. max_atoms is the limit of a working set."""
        self.potential, self.source, self.max_atoms, self.device = potential, source, max_atoms, device
        self.n_read = 0
        self.set([], [], [])

    def set(self, numbers: list[int], structures: list[FullStructure], operations: list[Operations]) -> None:
        """Hold these structures, of which none has begun. operations: of each, or empty where symmetry is not kept."""
        self.numbers, self.structures, self.operations = numbers, structures, operations
        self.batch = FullBatch.pack(structures).to(self.device)
        self.prepared = self.potential.prepare(self.batch)
        self.sizes, self.n_begun = self.batch.sizes.tolist(), 0

    def read_on(self, going: list[int], symmetry_tolerance: float | None) -> bool:
        """If all have begun and there are more to read, hold the rows `going`, in this order, as begun ones and the next of the source.

        Args:
            going: Rows of structures that are not done.
            symmetry_tolerance: Å, for the symmetry of new structures; None if it is not kept.

        Returns:
            Whether anything was read; then row k of `going` has become row k.
        """
        new: list[FullStructure] = []
        n_atoms = 0
        while self.n_begun == len(self.numbers) and n_atoms < POOL_SETS * self.max_atoms and (read := next(self.source, None)) is not None:
            new.append(read)
            n_atoms += len(read.positions)
        if not new:
            return False
        exact = [] if symmetry_tolerance is None else [symmetrized(structure, symmetry_tolerance) for structure in new]
        numbers = [self.numbers[k] for k in going] + list(range(self.n_read, self.n_read + len(new)))
        self.n_read += len(new)
        operations = [self.operations[k] for k in going] + [o for _, o in exact] if exact else []
        self.set(numbers, [self.structures[k] for k in going] + ([s for s, _ in exact] or new), operations)
        self.n_begun = len(going)
        return True

    def begin(self, n_atoms: int) -> list[int]:
        """Rows of structures that fit beside n_atoms, in order, which begin by this; at least one if nothing stands there."""
        first = self.n_begun
        while self.n_begun < len(self.sizes) and (n_atoms == 0 or n_atoms + self.sizes[self.n_begun] <= self.max_atoms):
            n_atoms += self.sizes[self.n_begun]
            self.n_begun += 1
        return list(range(first, self.n_begun))

    def work_on(self, rows: Rows) -> Work:
        """The working set of some rows of the pool."""
        batch = self.batch.select(rows.row)
        axis = Axis.of(batch.sizes)
        operations = [self.operations[k] for k in rows.row.tolist()] if self.operations else []
        symmetrizer = Symmetrizer(operations, axis) if operations else None
        return Work(rows, axis, Axis.of_molecules(batch), batch, self.prepared.select(rows.row), symmetrizer)


def refill(pool: Pool, work: Work | None, start: Callable[[Tensor, FullBatch], Rows], symmetry_tolerance: float | None) -> Work | None:
    """The working set without those that stopped, and with new ones up to the limit of atoms; None when nothing is left.

    Args:
        pool: Where new ones come from.
        work: The set so far; None at the beginning.
        start: Rows of structures that start, from their rows in the pool and themselves.
        symmetry_tolerance: As of `Pool.read_on`.
    """
    parts, n_atoms = [], 0
    going: list[int] = []
    if work is not None:
        kept = (~work.rows.stopped).nonzero()[:, 0]
        rows = take(work.rows, kept, work.axis.atoms(kept))
        n_atoms, going = int(work.axis.sizes[kept].sum()), rows.row.tolist()
        parts = [rows] if going else []
    if pool.read_on(going, symmetry_tolerance) and parts:
        parts = [replace(parts[0], row=torch.arange(len(going), device=pool.device))]
    begun = torch.tensor(pool.begin(n_atoms), dtype=torch.int64, device=pool.device)
    if len(begun):
        parts.append(start(begun, pool.batch.select(begun)))
    return pool.work_on(join(parts)) if parts else None

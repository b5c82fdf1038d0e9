"""Relaxation of many structures over a potential: each until its own forces and stress are small, in batches that refill themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from packflow.potential.interface import Evaluation, Potential
from packflow.relax import fire, lbfgs
from packflow.relax.batching import Last, Pool, Rows, Work, refill
from packflow.relax.cell_filter import CellFilter, Coordinates, generalized_forces, geometry, largest_force, start
from packflow.relax.packed import choose
from packflow.structure.full import FullBatch, FullStructure

GPA_PER_EV_A3 = 160.21766


@dataclass(frozen=True)
class RelaxConfig:
    """How structures are relaxed.

    optimizer:          L-BFGS, or FIRE as in ASE and the paper, which needs many times more evaluations (docs/relaxation.md).
    cell:               what strains the cell: "molecular" is the best, "frechet" and "unit_cell" do as ASE's filters of these names,
                        "fixed" keeps it; see `packflow.relax.cell_filter`.
    moving:             which atoms may move; "hydrogens" needs a fixed cell.
    fmax:               eV/Å; the largest force on a coordinate must be below, as in ASE: on an atom, or on the cell over the number of
                        atoms. The default is the paper's (section 4.5.2).
    max_stress_gpa:     largest component of the stress that may be left. fmax alone leaves up to fmax over the volume per atom, which is
                        0.8 GPa in an organic crystal at 0.05 eV/Å: a density wrong by several percent. None is ASE's criterion.
    max_steps:          of each structure.
    volume_factors:     a cell that leaves this range, in units of the start's volume, has collapsed or exploded.
    keep_symmetry:      forces and stress are averaged over the operations of the start's space group, so that it is kept.
    symmetry_tolerance: how far an operation may miss an atom of the start, Å; the start is moved to the exact symmetry.
    max_atoms:          of all structures that are relaxed at a time; a larger structure is relaxed alone.
    compact_share:      structures that are done are taken out when they hold this share of the atoms.
    """

    optimizer: lbfgs.LbfgsConfig | fire.FireConfig = field(default_factory=lbfgs.LbfgsConfig)
    cell: CellFilter = "molecular"
    moving: Literal["all", "hydrogens"] = "all"
    fmax: float = 0.05
    max_stress_gpa: float | None = 0.1
    max_steps: int = 1000
    volume_factors: tuple[float, float] = (0.25, 4.0)
    keep_symmetry: bool = False
    symmetry_tolerance: float = 0.05
    max_atoms: int = 2000
    compact_share: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.moving == "hydrogens" and self.cell != "fixed":
            raise ValueError(f"cell must be 'fixed' where only hydrogens move, got {self.cell!r}")
        low, high = self.volume_factors
        if not 0.0 <= low < 1.0 < high:
            raise ValueError(f"volume_factors must be below and above 1, got {self.volume_factors}")

    @classmethod
    def for_ranking(cls) -> RelaxConfig:
        """So far that one minimum, reached from many sides, is one structure; 0.05 eV/Å leaves many (docs/relaxation.md)."""
        return cls(fmax=0.01, max_stress_gpa=0.02)

    @classmethod
    def of_hydrogens(cls) -> RelaxConfig:
        """The paper's first stage (section 4.5.2): hydrogens alone, at most 25 steps of FIRE."""
        return cls(optimizer=fire.FireConfig(), cell="fixed", moving="hydrogens", max_steps=25)

    @classmethod
    def as_ase(cls) -> RelaxConfig:
        """What ASE's FIRE and FrechetCellFilter do, step for step: the paper's second stage, which names FIRE but no filter."""
        return cls(optimizer=fire.FireConfig(), cell="frechet", max_stress_gpa=None)


@dataclass(frozen=True)
class Relaxed:
    """What became of a structure.

    index:     its place in the input.
    structure: where it ended; of one with a problem the last geometry that could be evaluated.
    energy:    eV per cell, NaN if no geometry could be evaluated; so the next two.
    max_force: eV/Å, the largest on an atom that may move.
    stress:    [3, 3] eV/Å3.
    n_steps:   steps taken to get there.
    converged: whether forces and stress are as small as asked for; if not, and without a problem, the steps were used up.
    problem:   why it was given up, else empty.
    """

    index: int
    structure: FullStructure
    energy: float
    max_force: float
    stress: np.ndarray
    n_steps: int
    converged: bool
    problem: str


@dataclass(frozen=True)
class Snapshot:
    """All structures that are being relaxed, after an evaluation.

    numbers:    their places in the input.
    batch:      where they are.
    evaluation: there.
    n_steps:    [n_structures], steps taken so far.
    going:      [n_structures] bool; False for those that were done before and wait to be taken out.
    ended:      [n_structures] bool, whether this is the last of it.
    """

    numbers: list[int]
    batch: FullBatch
    evaluation: Evaluation
    n_steps: Tensor
    going: Tensor
    ended: Tensor


def relax(
    potential: Potential,
    structures: FullBatch | Iterable[FullStructure],
    config: RelaxConfig | None = None,
    device: torch.device | str = "cpu",
    observe: Callable[[Snapshot], None] | None = None,
) -> Iterator[Relaxed]:
    """Relax structures, each until it is converged, has a problem or used up its steps.

    What becomes of a structure does not depend on which others are relaxed with it.

    Args:
        potential: Energies, forces and stress.
        structures: A batch, relaxed on its device; or any number of structures, read as they are needed.
        config: How.
        device: Where structures that come one by one are relaxed.
        observe: Called after every evaluation, as `packflow.relax.trajectory.Recorder` is.

    Yields:
        Results as they come; `Relaxed.index` says whose.
    """
    config = config or RelaxConfig()
    if isinstance(structures, FullBatch):
        device, structures = structures.positions.device, structures.split()
    pool = Pool(potential, iter(structures), config.max_atoms, torch.device(device))
    tolerance = config.symmetry_tolerance if config.keep_symmetry else None

    def begin(row: Tensor, batch: FullBatch) -> Rows:
        return _begin(row, batch, config)

    work = refill(pool, None, begin, tolerance)
    while work is not None:
        work, results = _advance(work, pool, config, observe)
        yield from results
        stopped = work.axis.sizes[work.rows.stopped].sum()
        if stopped > 0 and stopped >= config.compact_share * len(work.axis.owner):
            work = refill(pool, work, begin, tolerance)


def _begin(row: Tensor, batch: FullBatch, config: RelaxConfig) -> Rows:
    """Rows of structures that start. row: [n_structures], in the pool"""
    coordinates = start(config.cell, batch.positions, batch.cell, batch.sizes)
    hydrogens, optimizer = batch.atomic_numbers == 1, config.optimizer
    return Rows(
        row=row,
        state=fire.init(coordinates, optimizer) if isinstance(optimizer, fire.FireConfig) else lbfgs.init(coordinates, optimizer),
        start_cell=batch.cell,
        movable=(hydrogens if config.moving == "hydrogens" else torch.ones_like(hydrogens)).to(batch.positions.dtype),
        n_steps=torch.zeros_like(row),
        stopped=torch.zeros_like(row, dtype=torch.bool),
        last=Last.at_start(batch.positions, batch.cell),
    )


def _advance(work: Work, pool: Pool, config: RelaxConfig, observe: Callable[[Snapshot], None] | None) -> tuple[Work, list[Relaxed]]:
    """Evaluate, see who is done, and take a step with the others."""
    rows, axis = work.rows, work.axis
    coordinates = rows.state.coordinates
    positions, cell = geometry(config.cell, coordinates, rows.start_cell, axis, work.molecules)
    outside = work.batch.periodic & ~_volume_is_sane(cell, rows.start_cell, config)
    # those that wait, or must not be evaluated where they are, stand where they were
    hold = outside | rows.stopped
    positions = torch.where(hold[axis.owner][:, None], rows.last.positions, positions)
    cell = torch.where(hold[:, None, None], rows.last.cell, cell)
    evaluation = work.prepared.evaluate(positions, cell)
    forces, stress = evaluation.forces, evaluation.stress
    if work.symmetrizer is not None:
        forces, stress = work.symmetrizer.forces(forces), work.symmetrizer.stress(stress)
    forces = forces * rows.movable[:, None]
    problems = _problems(work, evaluation, outside, config)
    failed = torch.tensor([bool(p) for p in problems], device=axis.sizes.device) & ~rows.stopped
    good = ~failed & ~rows.stopped
    here = Last(positions, cell, evaluation.energy, axis.max(forces.norm(dim=1)), stress)
    last = choose(good, here, rows.last, axis)
    pulls = generalized_forces(config.cell, coordinates, cell, forces, stress, axis, work.molecules)
    largest = largest_force(config.cell, pulls, cell, forces, stress, axis)
    converged = good & _is_converged(largest, stress, config)
    ended = failed | converged | (good & (rows.n_steps >= config.max_steps))
    if observe is not None:
        numbers = [pool.numbers[k] for k in rows.row.tolist()]
        observe(Snapshot(numbers, work.batch.at(positions, cell), evaluation, rows.n_steps, ~rows.stopped, ended))
    going = good & ~ended
    state = choose(going, _step(work, pulls, evaluation.energy, cell, config), rows.state, axis)
    rows = replace(rows, state=state, n_steps=rows.n_steps + going.long(), stopped=rows.stopped | ended, last=last)
    work = replace(work, rows=rows)
    return work, _results(work, pool, ended, converged, problems) if bool(ended.any()) else []


def _step(work: Work, pulls: Coordinates, energy: Tensor, cell: Tensor, config: RelaxConfig) -> fire.FireState | lbfgs.LbfgsState:
    """The optimizer's state after a step of all structures."""
    if isinstance(config.optimizer, fire.FireConfig):
        return fire.step(work.rows.state, pulls, work.axis, config.optimizer)
    softness = lbfgs.softness(config.cell, cell, work.axis.sizes, config.optimizer)
    molecules = work.molecules if config.moving == "all" else None
    return lbfgs.step(work.rows.state, pulls, energy, softness, work.axis, molecules, config.optimizer)


def _volume_is_sane(cell: Tensor, start_cell: Tensor, config: RelaxConfig) -> Tensor:
    """Whether cells neither collapsed nor exploded; False for NaN. [n_structures]"""
    ratio = torch.linalg.det(cell) / torch.linalg.det(start_cell)
    low, high = config.volume_factors
    return (ratio > low) & (ratio < high)


def _problems(work: Work, evaluation: Evaluation, outside: Tensor, config: RelaxConfig) -> list[str]:
    """Why each structure cannot go on, empty where it can."""
    numbers = torch.stack([evaluation.energy, work.axis.sum(evaluation.forces.abs().sum(1)), evaluation.stress.sum((1, 2))], 1)
    finite = numbers.isfinite().all(1)
    low, high = config.volume_factors
    found = zip(outside.tolist(), work.prepared.problems, evaluation.problems, finite.tolist(), strict=True)
    return [
        f"the cell left the range of {low:g} to {high:g} times its first volume"
        if out
        else first or now or ("" if is_finite else "energy, forces or stress are not finite")
        for out, first, now, is_finite in found
    ]


def _is_converged(largest: Tensor, stress: Tensor, config: RelaxConfig) -> Tensor:
    """Whether the largest force on a coordinate and, where asked for, the stress are small enough. [n_structures]"""
    converged = largest < config.fmax
    if config.max_stress_gpa is not None and config.cell != "fixed":
        converged &= stress.abs().amax((1, 2)) * GPA_PER_EV_A3 < config.max_stress_gpa
    return converged


def _results(work: Work, pool: Pool, ended: Tensor, converged: Tensor, problems: list[str]) -> list[Relaxed]:
    """Results of the structures that ended."""
    rows, last = work.rows, work.rows.last
    which = ended.nonzero()[:, 0]
    structures = work.batch.at(last.positions, last.cell).select(which).split()
    return [
        Relaxed(
            index=pool.numbers[int(rows.row[k])],
            structure=structure,
            energy=float(last.energy[k]),
            max_force=float(last.max_force[k]),
            stress=last.stress[k].cpu().numpy(),
            # of one that failed, the step that led to where it failed does not count
            n_steps=max(int(rows.n_steps[k]) - bool(problems[k]), 0),
            converged=bool(converged[k]),
            problem=problems[k],
        )
        for k, structure in zip(which.tolist(), structures, strict=True)
    ]

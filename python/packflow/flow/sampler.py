"""From noise to proposals: the flow integrated over packed batches (paper, section 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

import torch
from torch import Tensor

from packflow.baseline.engine import Baseline
from packflow.errors import InputError
from packflow.flow.acceptance import Checks, SampleDraws, accepted
from packflow.flow.baseline_proposals import baseline_proposals
from packflow.flow.draws import Draw, draws_of, in_batches
from packflow.flow.memory import check_memory, fitting, is_out_of_memory
from packflow.flow.solvers import SolverName, Stage, solver_stages
from packflow.flow.time_grid import TUNED_LATTICE, TUNED_POSITIONS, TimeGrid
from packflow.flow.trajectory import Precision, Trajectory
from packflow.model import PackFlow
from packflow.relax.clean_report import Cleaning
from packflow.structure import Crystal, CrystalBatch, Template
from packflow.structure.lattice import min_height, volume

# Å3, and Å between opposite faces: no crystal of heavy atoms is denser or thinner
MIN_VOLUME_PER_ATOM = 1.0
MIN_HEIGHT = 1.0
StepCallback = Callable[[int], None]


@dataclass(frozen=True)
class SampleConfig:
    """How the flow is integrated, see `packflow.flow.solvers.solver_stages`; the paper does it by 50 steps of "euler" on linear grids.

    Attributes:
        n_steps: steps from noise to data.
        solver: "euler", "heun" (two evaluations a step), "ab2" or "multistep".
        grid_positions: times of the positions.
        grid_lattice: times of the lattice.
        tempering: factor on the score at the data; above 1 proposals are nearer to the likeliest.
        width: of the tempering: how wide the data are around what the network knows of them, in units of the flow space.
        eta: strength of the noise that each step adds, 0 for none; with "euler" only.
        precision: of the network's matrix products; positions, lattice and refinements are float32 always.
    """

    n_steps: int = 15
    solver: SolverName = "ab2"
    grid_positions: TimeGrid = TUNED_POSITIONS
    grid_lattice: TimeGrid = TUNED_LATTICE
    tempering: float = 1.0
    width: float = 1.0
    eta: float = 0.0
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        """Refuse what no solver can do."""
        if self.precision not in get_args(Precision):
            raise InputError(f"precision must be one of {', '.join(get_args(Precision))}, got {self.precision!r}")
        self.stages()

    def stages(self) -> list[Stage]:
        """Evaluations of the network and what follows them, in their order."""
        return solver_stages(self.solver, self.n_steps, self.grid_positions, self.grid_lattice, self.tempering, self.width, self.eta)


@dataclass(frozen=True)
class Proposal:
    """One sampled packing.

    crystal:  heavy atoms and cell.
    index:    its number in the set; with the seed, and the attempt where that is not 0, it determines the noise, whatever else is sampled.
    seed:     of the set.
    problem:  why it cannot be used as a crystal; empty if it can.
    flag:     why it is implausible, see `packflow.flow.validity.flags_of`, or its problem; empty if it is not, or was not judged.
    attempt:  0, or which sample in place of a flagged one it is, see `packflow.flow.acceptance.accepted`.
    rejected: flags of the other samples of this index.
    cleaning: what a clean-up did to it; none if there was no clean-up, or nothing to clean.
    """

    crystal: Crystal
    index: int
    seed: int
    problem: str = ""
    flag: str = ""
    attempt: int = 0
    rejected: tuple[str, ...] = ()
    cleaning: Cleaning | None = None


def sample(
    model: PackFlow | Baseline,
    template: Template,
    n_samples: int = 32,
    seed: int = 0,
    config: SampleConfig | None = None,
    max_atoms: int | None = None,
    on_step: StepCallback | None = None,
    checks: Checks | None = None,
) -> list[Proposal]:
    """Sample packings of a template.

    The proposals of a seed do not depend on how many are sampled, on max_atoms or on the number of threads, but for rounding.

    Args:
        model: From `packflow.load`, on the device where the work is to be done; or a baseline.
        template: Molecule and number of copies per unit cell.
        n_samples: Number of proposals.
        seed: 0 or more; proposal k is made from the noise of (seed, k).
        config: How the flow is integrated.
        max_atoms: Atoms sampled at once, at least those of one crystal; None for as many as suit the device and its free memory.
        on_step: Called after each evaluation of the network with the number of proposals in the batch; once a batch by a baseline.
        checks: Limits beyond which a proposal is flagged; with a budget above 1 it is then replaced by a fresh sample.

    Returns:
        n_samples proposals in the order of their index.

    Raises:
        InputError: a count is below 1, the seed is negative, one crystal needs more memory than there is, or a baseline can do nothing
            with the template.
    """
    draws = draws_of(template, n_samples, seed)
    if isinstance(model, Baseline):
        model.check(template, seed)
    check_memory(model, template.n_atoms, n_samples * template.n_atoms, max_atoms)
    return [proposal for batch in sample_batches(model, draws, config, max_atoms, on_step, checks) for proposal in batch]


def sample_batches(
    model: PackFlow | Baseline,
    draws: Iterable[Draw],
    config: SampleConfig | None = None,
    max_atoms: int | None = None,
    on_step: StepCallback | None = None,
    checks: Checks | None = None,
) -> Iterator[list[Proposal]]:
    """Sample draws of any templates, batch by batch as they are done, so that finished proposals can be written at once.

    A batch that runs out of memory is halved, and those that follow are no larger than what then went.

    Args:
        model: As for `sample`.
        draws: In the order in which they are wanted; any number, they are looked at batch by batch.
        config: How the flow is integrated.
        max_atoms: Atoms sampled at once; a larger crystal is alone in its batch. None as for `sample`.
        on_step: Called after each evaluation of the network with the number of proposals in the batch.
        checks: As for `sample`; each batch has its flagged proposals replaced before the next one begins.

    Returns:
        Iterator over lists of proposals, those of the draws in their order.

    Raises:
        InputError: max_atoms is below 1, or, when it is met, a crystal that does not fit into the memory alone.
    """
    if max_atoms is not None and max_atoms < 1:
        raise InputError(f"max_atoms must be at least 1, got {max_atoms}")
    sample_draws: SampleDraws
    if isinstance(model, Baseline):
        sample_draws = partial(told, partial(baseline_proposals, model), on_step)
    else:
        sample_draws = Sampler(model, config or SampleConfig(), on_step).sample
    return (accepted(sample_draws, batch, checks or Checks()) for batch in in_batches(draws, max_atoms or fitting(model)))


def told(sample_draws: SampleDraws, on_step: StepCallback | None, draws: Sequence[Draw]) -> list[Proposal]:
    """Sample draws, and tell how many once that is done."""
    proposals = sample_draws(draws)
    if on_step:
        on_step(len(draws))
    return proposals


def sample_batch(
    model: PackFlow, draws: Sequence[Draw], config: SampleConfig | None = None, on_step: StepCallback | None = None
) -> list[Proposal]:
    """Sample draws of any templates as one packed batch.

    Args:
        model: As for `sample`.
        draws: All of them are sampled at once.
        config: How the flow is integrated.
        on_step: Called after each evaluation of the network with the number of proposals.

    Returns:
        One proposal for each draw, in their order.
    """
    return Sampler(model, config or SampleConfig(), on_step).sample(draws)


class Sampler:
    """Samples batch after batch; one of the same templates as the one before shares its trajectory.

    max_atoms: atoms that went into the memory, after more did not.
    """

    def __init__(self, model: PackFlow, config: SampleConfig, on_step: StepCallback | None = None) -> None:
        """See `sample_batches`."""
        self.model, self.on_step = model, on_step
        self.stages, self.precision = config.stages(), config.precision
        self.trajectory: Trajectory | None = None
        self.max_atoms: int | None = None

    def sample(self, draws: Sequence[Draw]) -> list[Proposal]:
        """As `sample_batch`, in parts where the memory is too small.

        Raises:
            InputError: a crystal does not fit into the memory alone.
        """
        waiting = [draws] if self.max_atoms is None else list(in_batches(draws, self.max_atoms))[::-1]
        done: list[Proposal] = []
        while waiting:
            batch = waiting.pop()
            try:
                done += self.at_once(batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self.trajectory = None
                if len(batch) == 1:
                    n_atoms = batch[0].template.n_atoms
                    raise InputError(f"one crystal of {n_atoms} atoms does not fit into the memory: lower n_copies") from error
                self.max_atoms = max(1, sum(draw.template.n_atoms for draw in batch) // 2)
                waiting += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
        return done

    def at_once(self, draws: Sequence[Draw]) -> list[Proposal]:
        """One batch."""
        templates = tuple(draw.template for draw in draws)
        if self.trajectory is None or not same(self.trajectory.templates, templates):
            self.trajectory = None  # its memory is free before more is taken
            self.trajectory = Trajectory(self.model, templates, self.stages, self.precision)
        crystals, finite = self.trajectory.run(draws, partial(self.on_step, len(draws)) if self.on_step else None)
        of_each = zip(crystals.split(templates), draws, problems_of(crystals, finite), strict=True)
        return [Proposal(crystal, draw.index, draw.seed, problem) for crystal, draw, problem in of_each]


def same(some: Sequence[object], others: Sequence[object]) -> bool:
    """Whether two sequences hold the same objects."""
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


def problems_of(crystals: CrystalBatch, was_finite: Tensor) -> list[str]:
    """Why each crystal cannot be one; empty where it can.

    Args:
        crystals: Any values.
        was_finite: Whether each was finite all the way there. [n_crystals]
    """
    template, lattice = crystals.template, crystals.lattice
    bad_atoms = torch.zeros(template.n_crystals, device=lattice.device)
    bad_atoms.index_add_(0, template.crystal_index, (~crystals.positions.isfinite()).any(1).float())
    finite = was_finite & lattice.isfinite().all(1) & (bad_atoms == 0)
    cell_ok = (lattice > 0).all(1) & (min_height(lattice) > MIN_HEIGHT) & (volume(lattice) > MIN_VOLUME_PER_ATOM * template.atom_ptr.diff())
    words = ["" if c else "impossible cell" for c in cell_ok.tolist()]
    return [word if f else "not finite" for word, f in zip(words, finite.tolist(), strict=True)]

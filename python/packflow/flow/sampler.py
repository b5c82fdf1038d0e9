"""From noise to proposals: the flow integrated over packed batches (paper, section 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import psutil
import torch
from torch import Tensor

from packflow.errors import InputError
from packflow.flow.acceptance import Checks, accepted
from packflow.flow.draws import Draw, draws_of, generator_of, in_batches, noise_of
from packflow.flow.path import center
from packflow.flow.solvers import SolverName, Stage, Velocity, integrate, solver_stages
from packflow.flow.time_grid import LINEAR, TimeGrid
from packflow.model import PackFlow
from packflow.structure import Crystal, CrystalBatch, Template, TemplateBatch
from packflow.structure.lattice import min_height, volume

# Å3, and Å between opposite faces: no crystal of heavy atoms is denser or thinner
MIN_VOLUME_PER_ATOM = 1.0
MIN_HEIGHT = 1.0
# float32 numbers of an atom alive at once, in units of the model's width; the attention keeps none of a pair
LIVE_PER_TOKEN = 24

StepCallback = Callable[[int], None]
Precision = Literal["float32", "bf16"]


@dataclass(frozen=True)
class SampleConfig:
    """How the flow is integrated, see `packflow.flow.solvers.solver_stages`.

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

    n_steps: int = 50
    solver: SolverName = "euler"
    grid_positions: TimeGrid = LINEAR
    grid_lattice: TimeGrid = LINEAR
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
    """

    crystal: Crystal
    index: int
    seed: int
    problem: str = ""
    flag: str = ""
    attempt: int = 0
    rejected: tuple[str, ...] = ()


def sample(
    model: PackFlow,
    template: Template,
    n_samples: int = 32,
    seed: int = 0,
    config: SampleConfig | None = None,
    max_atoms: int = 4096,
    on_step: StepCallback | None = None,
    checks: Checks | None = None,
) -> list[Proposal]:
    """Sample packings of a template.

    The proposals of a seed do not depend on how many are sampled, on max_atoms or on the number of threads, but for rounding. Those
    that replace flagged ones depend on how many are sampled.

    Args:
        model: From `packflow.load`, on the device where the work is to be done.
        template: Molecule and number of copies per unit cell.
        n_samples: Number of proposals.
        seed: 0 or more; proposal k is made from the noise of (seed, k).
        config: How the flow is integrated.
        max_atoms: Atoms sampled at once, at least those of one crystal.
        on_step: Called after each evaluation of the network with the number of proposals in the batch.
        checks: Limits beyond which a proposal is flagged; with a budget above 1 it is then replaced by a fresh sample.

    Returns:
        n_samples proposals in the order of their index.

    Raises:
        InputError: a count is below 1, the seed is negative, or one crystal needs more memory than there is.
    """
    draws = draws_of(template, n_samples, seed)
    check_memory(model, template.n_atoms, n_samples * template.n_atoms, max_atoms)
    return [proposal for batch in sample_batches(model, draws, config, max_atoms, on_step, checks) for proposal in batch]


def sample_batches(
    model: PackFlow,
    draws: Iterable[Draw],
    config: SampleConfig | None = None,
    max_atoms: int = 4096,
    on_step: StepCallback | None = None,
    checks: Checks | None = None,
) -> Iterator[list[Proposal]]:
    """Sample draws of any templates, batch by batch as they are done, so that finished proposals can be written at once.

    Args:
        model: As for `sample`.
        draws: In the order in which they are wanted; any number, they are looked at batch by batch.
        config: How the flow is integrated.
        max_atoms: Atoms sampled at once; a larger crystal is alone in its batch.
        on_step: Called after each evaluation of the network with the number of proposals in the batch.
        checks: As for `sample`; each batch has its flagged proposals replaced before the next one begins.

    Returns:
        Iterator over lists of proposals, those of the draws in their order.

    Raises:
        InputError: max_atoms is below 1.
    """
    if max_atoms < 1:
        raise InputError(f"max_atoms must be at least 1, got {max_atoms}")
    at_once = partial(sample_batch, model, config=config, on_step=on_step)
    return (accepted(at_once, batch, checks or Checks()) for batch in in_batches(draws, max_atoms))


@torch.inference_mode()
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
    config = config or SampleConfig()
    device = next(model.parameters()).device
    templates = [draw.template for draw in draws]
    batch = TemplateBatch.pack(templates).to(device)
    generators = [generator_of(draw) for draw in draws]
    positions, flow_lattice = noise_on(device, draws, generators)
    centered = model.config.center_noise
    with at_precision(config.precision, device.type):
        *state, finite = integrate(
            velocity=in_float32(partial(model.velocity, condition=model.condition(batch))),
            positions=center(positions, batch) if centered else positions,
            flow_lattice=flow_lattice,
            atom_ptr=batch.atom_ptr,
            stages=config.stages(),
            center=centered,
            noise=partial(noise_on, device, draws, generators),
            on_stage=partial(on_step, len(draws)) if on_step else None,
        )
    crystals = to_crystals(model, state[0], state[1], batch)
    of_each = zip(crystals.split(templates), draws, problems_of(crystals, finite), strict=True)
    return [Proposal(crystal, draw.index, draw.seed, problem) for crystal, draw, problem in of_each]


def noise_on(device: torch.device, draws: Sequence[Draw], generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
    """`noise_of`, on a device."""
    positions, lattice = noise_of(draws, generators)
    return positions.to(device), lattice.to(device)


def at_precision(precision: Precision, device_type: str) -> torch.autocast:
    """Context in which the network multiplies in that precision."""
    return torch.autocast(device_type, torch.bfloat16, enabled=precision == "bf16")


def in_float32(velocity: Velocity) -> Velocity:
    """The same velocities in float32, whatever the network multiplied in."""

    def converted(*state: Tensor) -> tuple[Tensor, Tensor]:
        of_positions, of_lattice = velocity(*state)
        return of_positions.float(), of_lattice.float()

    return converted


def to_crystals(model: PackFlow, positions: Tensor, flow_lattice: Tensor, template: TemplateBatch) -> CrystalBatch:
    """From the units of the flow space to Å and degrees, centred."""
    positions, lattice = model.space.decode(positions, flow_lattice, template)
    return CrystalBatch(template, center(positions, template), lattice)


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


def check_memory(model: PackFlow, largest: int, n_atoms: int, max_atoms: int) -> None:
    """Refuse, before any work, batches that do not fit into the free memory of the machine.

    Args:
        model: On the device that is meant.
        largest: Atoms of the largest crystal.
        n_atoms: Atoms of all crystals.
        max_atoms: Atoms sampled at once.

    Raises:
        InputError: max_atoms is below 1, or a batch does not fit.
    """
    if max_atoms < 1:
        raise InputError(f"max_atoms must be at least 1, got {max_atoms}")
    device = next(model.parameters()).device
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    at_once = max(largest, min(n_atoms, max_atoms))
    needed = 4 * at_once * (LIVE_PER_TOKEN * model.config.d_model + 2 * model.config.d_feedforward)
    if needed > free:
        mend = "lower max_atoms" if at_once > largest else "lower n_copies"
        raise InputError(f"{at_once} atoms at once need about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free: {mend}")

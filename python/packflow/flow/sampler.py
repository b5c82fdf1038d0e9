"""From noise to proposals: the flow integrated over packed batches (paper, section 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import psutil
import torch
from torch import Tensor

from packflow.errors import InputError
from packflow.flow.path import center
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
# (positions, flow_lattice, t_positions, t_lattice) -> (velocity_positions, velocity_lattice)
Velocity = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Proposal:
    """One sampled packing.

    crystal: heavy atoms and cell.
    index:   its number in the set; with the seed it determines the noise, whatever else is sampled with it.
    seed:    of the set.
    problem: why it cannot be used as a crystal; empty if it can.
    """

    crystal: Crystal
    index: int
    seed: int
    problem: str = ""


def sample(
    model: PackFlow,
    template: Template,
    n_samples: int = 32,
    seed: int = 0,
    n_steps: int = 50,
    max_atoms: int = 4096,
    on_step: StepCallback | None = None,
) -> list[Proposal]:
    """Sample packings of a template.

    The proposals of a seed do not depend on how many are sampled, on max_atoms or on the number of threads, but for rounding.

    Args:
        model: From `packflow.load`, on the device where the work is to be done.
        template: Molecule and number of copies per unit cell.
        n_samples: Number of proposals.
        seed: 0 or more; proposal k is made from the noise of (seed, k).
        n_steps: Euler steps.
        max_atoms: Atoms sampled at once, at least those of one crystal.
        on_step: Called after each step with the number of proposals in the batch.

    Returns:
        n_samples proposals in the order of their index.

    Raises:
        InputError: a count is below 1, the seed is negative, or one crystal needs more memory than there is.
    """
    batches = sample_batches(model, template, n_samples, seed, n_steps, max_atoms, on_step)
    return [proposal for batch in batches for proposal in batch]


def sample_batches(
    model: PackFlow,
    template: Template,
    n_samples: int = 32,
    seed: int = 0,
    n_steps: int = 50,
    max_atoms: int = 4096,
    on_step: StepCallback | None = None,
) -> Iterator[list[Proposal]]:
    """`sample`, batch by batch as they are done, so that finished proposals can be written at once."""
    for name, count in (("n_samples", n_samples), ("n_steps", n_steps), ("max_atoms", max_atoms)):
        if count < 1:
            raise InputError(f"{name} must be at least 1, got {count}")
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}")
    batch_size = max(1, max_atoms // template.n_atoms)
    check_memory(model, template, min(batch_size, n_samples))
    return run_batches(model, template, n_samples, seed, n_steps, batch_size, on_step)


@torch.inference_mode()
def run_batches(
    model: PackFlow, template: Template, n_samples: int, seed: int, n_steps: int, batch_size: int, on_step: StepCallback | None
) -> Iterator[list[Proposal]]:
    """The loop of `sample_batches`, after its checks."""
    device = next(model.parameters()).device
    for first in range(0, n_samples, batch_size):
        indices = range(first, min(first + batch_size, n_samples))
        templates = [template] * len(indices)
        batch = TemplateBatch.pack(templates).to(device)
        positions, flow_lattice = (noise.to(device) for noise in draw_noise(template, seed, indices))
        if model.config.center_noise:
            positions = center(positions, batch)
        velocity = partial(model.velocity, condition=model.condition(batch))
        step = partial(on_step, len(indices)) if on_step else None
        state = integrate(velocity, positions, flow_lattice, n_steps, step)
        crystals = to_crystals(model, *state, batch)
        problems = problems_of(crystals)
        split = crystals.split(templates)
        yield [Proposal(c, k, seed, problem) for c, k, problem in zip(split, indices, problems, strict=True)]


def draw_noise(template: Template, seed: int, indices: range) -> tuple[Tensor, Tensor]:
    """Standard normal start of each proposal from a generator of its own.

    Returns:
        Positions [n_proposals * n_atoms, 3] and lattices [n_proposals, 6].
    """
    lattices, positions = [], []
    for index in indices:
        state = np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(state))
        lattices.append(torch.randn(1, 6, generator=generator))
        positions.append(torch.randn(template.n_atoms, 3, generator=generator))
    return torch.cat(positions), torch.cat(lattices)


def integrate(
    velocity: Velocity,
    positions: Tensor,  # [n_atoms, 3]
    flow_lattice: Tensor,  # [n_crystals, 6]
    n_steps: int,
    on_step: Callable[[], None] | None = None,
    grid_positions: TimeGrid = LINEAR,
    grid_lattice: TimeGrid = LINEAR,
) -> tuple[Tensor, Tensor]:
    """Euler steps from noise (t = 1) to data (t = 0).

    Args:
        velocity: d(state)/dt; a PackFlow with its condition, or a closed formula.
        positions: Noise in units of the flow space. [n_atoms, 3]
        flow_lattice: Noise in units of the flow space. [n_crystals, 6]
        n_steps: Number of steps.
        on_step: Called after each.
        grid_positions: Times and lengths of the steps of the positions.
        grid_lattice: Of the lattice.

    Returns:
        Positions and lattice at t = 0, same shapes.
    """
    every_crystal = torch.ones(len(flow_lattice), device=positions.device)
    for of_positions, of_lattice in zip(grid_positions.steps(n_steps), grid_lattice.steps(n_steps), strict=True):
        (t_positions, step_positions), (t_lattice, step_lattice) = of_positions, of_lattice
        moved = velocity(positions, flow_lattice, t_positions * every_crystal, t_lattice * every_crystal)
        positions = positions - step_positions * moved[0]
        flow_lattice = flow_lattice - step_lattice * moved[1]
        if on_step:
            on_step()
    return positions, flow_lattice


def to_crystals(model: PackFlow, positions: Tensor, flow_lattice: Tensor, template: TemplateBatch) -> CrystalBatch:
    """From the units of the flow space to Å and degrees, centred."""
    positions, lattice = model.space.decode(positions, flow_lattice, template)
    return CrystalBatch(template, center(positions, template), lattice)


def problems_of(crystals: CrystalBatch) -> list[str]:
    """Why each crystal cannot be one; empty where it can."""
    template, lattice = crystals.template, crystals.lattice
    bad_atoms = torch.zeros(template.n_crystals, device=lattice.device)
    bad_atoms.index_add_(0, template.crystal_index, (~crystals.positions.isfinite()).any(1).float())
    finite = lattice.isfinite().all(1) & (bad_atoms == 0)
    cell_ok = (lattice > 0).all(1) & (min_height(lattice) > MIN_HEIGHT) & (volume(lattice) > MIN_VOLUME_PER_ATOM * template.atom_ptr.diff())
    words = ["" if c else "impossible cell" for c in cell_ok.tolist()]
    return [word if f else "not finite" for word, f in zip(words, finite.tolist(), strict=True)]


def check_memory(model: PackFlow, template: Template, batch_size: int) -> None:
    """Refuse, before any work, a batch that does not fit into the free memory of the machine."""
    device = next(model.parameters()).device
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    config, n_atoms = model.config, template.n_atoms
    needed = 4 * batch_size * n_atoms * (LIVE_PER_TOKEN * config.d_model + 2 * config.d_feedforward)
    if needed > free:
        mend = "lower max_atoms" if batch_size > 1 else "lower n_copies"
        raise InputError(
            f"{batch_size} crystal(s) of {n_atoms} atoms need about {needed / 1e9:.1f} GB at once, {free / 1e9:.1f} GB are free: {mend}"
        )

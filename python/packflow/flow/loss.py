"""Flow-matching losses and the times they are taken at (paper, eq. 5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from packflow.errors import InputError
from packflow.flow.path import CrystalPath, FlowPath, PathConfig, draw_noise
from packflow.model.packflow import OPTIONAL
from packflow.structure.batch import CrystalBatch, TemplateBatch
from packflow.structure.flow_space import FlowSpace

# at and above this time, where a molecule's shape is not decided yet, distances within it are not compared
PAIR_TIME = 0.3
# Å
SOFTENING = 0.01


@dataclass(frozen=True)
class TimeConfig:
    """How training times are drawn: t is Beta(power, 1), one for the positions and one for the lattice, independent (paper).

    Attributes:
        power_positions: 1 is uniform (paper); below 1 has more weight near t = 0, the data, where bond lengths are decided.
        power_lattice: likewise for the lattice.
        shared: one time for both (the paper's ablation), so that both powers must be equal.
    """

    power_positions: float = 1.0
    power_lattice: float = 1.0
    shared: bool = field(default=False, metadata=OPTIONAL)

    def __post_init__(self) -> None:
        """Refuse powers without a distribution, and two distributions of one time."""
        for name in ("power_positions", "power_lattice"):
            if not getattr(self, name) > 0:
                raise InputError(f"time.{name} must be above 0, got {getattr(self, name)}")
        if self.shared and self.power_positions != self.power_lattice:
            powers = f"power_positions {self.power_positions} and power_lattice {self.power_lattice}"
            raise InputError(f"time.shared needs one power for both channels, got {powers}")


@dataclass(frozen=True)
class LossConfig:
    """What is compared and how the channels are weighed.

    Attributes:
        kind: "velocity" is the paper's: squared error of the velocities. "endpoint_l1" is the absolute error of the
            crystal that each velocity points at, x - t v: the velocity's error times t, for positions in Å.
        lattice_weight: weight of the lattice's loss beside that of the positions (paper: 1).
        min_time: "endpoint_l1" only: times below count as this one, so that they keep a gradient.
        pair_weight: weight, in the positions' loss, of the error in Å of distances between atoms up to three bonds apart at
            the end point, see `pair_errors` (paper: 0).
    """

    kind: Literal["velocity", "endpoint_l1"] = "velocity"
    lattice_weight: float = 1.0
    min_time: float = 0.05
    pair_weight: float = field(default=0.0, metadata=OPTIONAL)

    def __post_init__(self) -> None:
        """Refuse an unknown kind."""
        if self.kind not in ("velocity", "endpoint_l1"):
            raise InputError(f"loss.kind must be 'velocity' or 'endpoint_l1', got {self.kind!r}")
        if not self.pair_weight >= 0:
            raise InputError(f"loss.pair_weight must be at least 0, got {self.pair_weight}")


@dataclass(frozen=True)
class Loss:
    """Means over the crystals: the two channels, and their weighted sum which is minimised. Each []."""

    total: Tensor
    positions: Tensor
    lattice: Tensor


def draw_times(n_crystals: int, config: TimeConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Times of the positions, then of the lattices, on the generator's device. [n_crystals], [n_crystals]"""
    t_positions = torch.rand(n_crystals, generator=generator, device=generator.device)
    if config.shared:
        t_shared = t_positions ** (1 / config.power_positions)
        return t_shared, t_shared
    t_lattice = torch.rand(n_crystals, generator=generator, device=generator.device)
    return t_positions ** (1 / config.power_positions), t_lattice ** (1 / config.power_lattice)


def draw_path(batch: CrystalBatch, space: FlowSpace, path: PathConfig, time: TimeConfig, generator: torch.Generator) -> CrystalPath:
    """Times and noise for a batch of crystals.

    Args:
        batch: The data.
        space: Where the flow runs.
        path: How noise is chosen.
        time: How times are drawn.
        generator: Source of all randomness; the same state gives the same path on every device.
    """
    template, device = batch.template, batch.positions.device
    positions, lattice = space.encode(batch.positions, batch.lattice, template)
    t_positions, t_lattice = draw_times(template.n_crystals, time, generator)
    noise_positions, noise_lattice = draw_noise(positions, template, path, generator)
    return CrystalPath(
        template=template,
        positions=FlowPath(positions, noise_positions, t_positions.to(device), template.crystal_index),
        lattice=FlowPath(lattice, noise_lattice, t_lattice.to(device)),
    )


def flow_matching_loss(velocities: tuple[Tensor, Tensor], path: CrystalPath, space: FlowSpace, config: LossConfig) -> Loss:
    """Compare predicted velocities with those of the path.

    Args:
        velocities: Of positions [n_atoms, 3] and lattice [n_crystals, 6], predicted at the path's states and times.
        path: What was asked.
        space: Gives the Å of one unit of position.
        config: What is compared.

    Returns:
        Means over crystals of the mean over a crystal's atoms of the mean over components (as the authors' code; their
        equation sums the components). Crystals count the same, whatever their number of atoms.
    """
    positions, lattice = crystal_losses(velocities, path, space, config)
    return Loss(positions.mean() + config.lattice_weight * lattice.mean(), positions.mean(), lattice.mean())


def crystal_losses(velocities: tuple[Tensor, Tensor], path: CrystalPath, space: FlowSpace, config: LossConfig) -> tuple[Tensor, Tensor]:
    """The same before the mean over crystals: positions [n_crystals], lattice [n_crystals]."""
    template = path.template
    owner, counts = template.crystal_index, template.atom_ptr.diff()
    error = row_errors(velocities[0], path.positions, config)
    if config.kind == "endpoint_l1":
        error = error * space.position_scale(template)[owner]
    if config.pair_weight:
        error = error + config.pair_weight * pair_errors(velocities[0], path.positions, space, template)
    positions = torch.zeros_like(path.positions.t).index_add(0, owner, error) / counts
    return positions, row_errors(velocities[1], path.lattice, config)


def row_errors(velocity: Tensor, path: FlowPath, config: LossConfig) -> Tensor:
    """Mean over the components of each row's error. [n_rows, width] -> [n_rows]"""
    difference = velocity - path.velocity
    if config.kind == "velocity":
        return difference.square().mean(-1)
    return difference.abs().mean(-1) * path.t_rows[:, 0].clamp(min=config.min_time)


def pair_errors(velocity: Tensor, path: FlowPath, space: FlowSpace, template: TemplateBatch) -> Tensor:
    """How wrong distances within molecules are at the end point of a velocity, near the data.

    Args:
        velocity: Of the positions. [n_atoms, 3]
        path: Of the positions.
        space: Gives the Å of one unit of position.
        template: Gives the pairs, atoms at most three bonds apart.

    Returns:
        Mean over each atom's pairs of the distance's absolute error in Å, times 1 - t / PAIR_TIME, 0 from there on. [n_atoms]
    """
    target, source = template.pair_index
    scale = space.position_scale(template)[template.crystal_index, None]
    end, data = (path.state - path.t_rows * velocity) * scale, path.data * scale
    wrong = (length(end[source] - end[target]) - length(data[source] - data[target])).abs()
    zero = torch.zeros(template.n_atoms, device=velocity.device)
    total = zero.index_add(0, target, wrong) / zero.index_add(0, target, torch.ones_like(wrong)).clamp(min=1)
    return total * (1 - path.t_rows[:, 0] / PAIR_TIME).clamp(min=0)


def length(vector: Tensor) -> Tensor:
    """Lengths that have a gradient at zero: 0.01 Å are added in quadrature. [n, 3] -> [n]"""
    return (vector.square().sum(-1) + SOFTENING**2).sqrt()

"""The single-time surrogate: a sampled crystal's flow-matching loss at frozen times and noises (paper, eqs. 12 to 17, algorithm 3).

It stands for minus the logarithm of the probability that the flow samples the crystal, up to an unknown scale and constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from packflow.flow.loss import LossConfig, TimeConfig, crystal_losses, draw_times
from packflow.flow.path import CrystalPath, FlowPath, PathConfig, VelocityField, draw_noise
from packflow.structure import Crystal, CrystalBatch, FlowSpace, TemplateBatch

# one time for both channels (paper, eq. 17), uniform
SHARED_TIME = TimeConfig(shared=True)


@dataclass(frozen=True)
class FrozenDraws:
    """Crystals at times and noises that stay the same for all weights that they are asked about.

    path:    of each crystal n_draws times, one after the other, along one atom axis.
    n_draws: times and noises of each crystal.
    """

    path: CrystalPath
    n_draws: int

    def losses(self, field: VelocityField, space: FlowSpace, config: LossConfig) -> Tensor:
        """Mean over the draws of each crystal's loss, in one call of the field, with gradients where these are on.

        Args:
            field: Such as a PackFlow.
            space: The one that the draws were made in.
            config: What is compared. "velocity" is the paper's, with means over components in place of its sums.

        Returns:
            [n_crystals]
        """
        positions, lattice = crystal_losses(self.path.velocities(field), self.path, space, config)
        return (positions + config.lattice_weight * lattice).view(-1, self.n_draws).mean(1)


def freeze(
    crystals: Sequence[Crystal],
    generators: Sequence[torch.Generator],
    space: FlowSpace,
    path: PathConfig,
    time: TimeConfig = SHARED_TIME,
    n_draws: int = 1,
    device: torch.device | str = "cpu",
) -> FrozenDraws:
    """Draw times and noises for sampled crystals; those of a crystal depend on its generator alone, whatever else is in the batch.

    Args:
        crystals: Sampled ones that `encodable` accepts.
        generators: One for each.
        space: Where the flow runs.
        path: How noise is chosen, as in the training of the network.
        time: How times are drawn.
        n_draws: Times and noises of each crystal; more of them lower the variance of the mean.
        device: Where the losses will be computed.

    Raises:
        ValueError: n_draws is below 1, or a crystal cannot be encoded.
    """
    if n_draws < 1:
        raise ValueError(f"n_draws must be at least 1, got {n_draws}")
    if not all(fine := encodable(crystals, space)):
        raise ValueError(f"crystals must have a state in the flow's space, crystal {fine.index(False)} has none")
    repeated = CrystalBatch.pack([crystal for crystal in crystals for _ in range(n_draws)])
    positions, lattice = space.encode(repeated.positions, repeated.lattice, repeated.template)
    parts = positions.split([n_draws * crystal.template.n_atoms for crystal in crystals])
    drawn = [
        draw(part, TemplateBatch.pack([crystal.template] * n_draws), path, time, generator)
        for part, crystal, generator in zip(parts, crystals, generators, strict=True)
    ]
    noise_positions, noise_lattice, t_positions, t_lattice = (torch.cat(x).to(device) for x in zip(*drawn, strict=True))
    template = repeated.template.to(device)
    return FrozenDraws(
        CrystalPath(
            template=template,
            positions=FlowPath(positions.to(device), noise_positions, t_positions, template.crystal_index),
            lattice=FlowPath(lattice.to(device), noise_lattice, t_lattice),
        ),
        n_draws,
    )


def draw(
    positions: Tensor,  # [n_atoms, 3]
    template: TemplateBatch,
    path: PathConfig,
    time: TimeConfig,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Noise of positions [n_atoms, 3] and lattices [n, 6], times of positions [n] and lattices [n], of one crystal n times."""
    times = draw_times(template.n_crystals, time, generator)
    return *draw_noise(positions, template, path, generator), *times


def encodable(crystals: Sequence[Crystal], space: FlowSpace) -> list[bool]:
    """Whether each crystal has a state in the flow's space: finite numbers, and a cell where the space asks for one."""
    if not crystals:
        return []
    batch = CrystalBatch.pack(crystals)
    positions, lattice = space.encode(batch.positions, batch.lattice, batch.template)
    bad_atoms = torch.zeros(len(crystals)).index_add_(0, batch.template.crystal_index, (~positions.isfinite()).any(1).float())
    return ((bad_atoms == 0) & lattice.isfinite().all(1)).tolist()

"""Loss on fixed crystals, times and noises, and what a network without information would get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from packflow.data.batching import CrystalSource, generator_of, packed_by_budget, validation_rows
from packflow.errors import InputError
from packflow.flow.loss import LossConfig, crystal_losses, draw_path
from packflow.flow.path import CrystalPath, VelocityField
from packflow.structure import FlowSpace
from packflow.train.config import TrainConfig

# Validation does not change with the seed of the run, so that runs compare.
VALIDATION_SEED = 20_260


@dataclass(frozen=True)
class Score:
    """Losses over the validation crystals, in the units of the training loss."""

    total: float
    positions: float
    lattice: float


@dataclass(frozen=True)
class Validation:
    """Fixed paths of fixed crystals.

    paths: batches of crystals with their times and noises.
    space: where they flow.
    loss:  what is compared.
    """

    paths: tuple[CrystalPath, ...]
    space: FlowSpace
    loss: LossConfig

    @classmethod
    def of(cls, dataset: CrystalSource, config: TrainConfig, device: torch.device) -> Validation:
        """Choose crystals of the validation split and draw their times and noises.

        Raises:
            InputError: the split is empty.
        """
        rows = validation_rows(dataset, config.validation.n_crystals, config.validation.per_molecule)
        if len(rows) == 0:
            raise InputError("the dataset has no crystal in its validation split: prepare one with `packflow prepare`")
        batches = packed_by_budget(dataset, rows, config.batch.max_atoms)
        paths = [
            draw_path(batch.to(device), config.model.space, config.path, config.time, generator_of(VALIDATION_SEED, i))
            for i, batch in enumerate(batches)
        ]
        return cls(tuple(paths), config.model.space, config.loss)

    @torch.no_grad()
    def score(self, field: VelocityField) -> Score:
        """Mean over all crystals of the field's losses."""
        return self._mean([path.velocities(field) for path in self.paths])

    def baseline(self) -> Score:
        """Score of knowing the noise and, of the crystal, only the mean over the validation set.

        The velocity is noise - mean, where the mean of the positions is the origin, and that of the lattice is over the
        validation crystals. A network below this has learned something of crystals.
        """
        mean = torch.cat([path.lattice.data for path in self.paths]).mean(0)
        return self._mean([(path.positions.noise, path.lattice.noise - mean) for path in self.paths])

    def _mean(self, velocities: Sequence[tuple[Tensor, Tensor]]) -> Score:
        parts = [crystal_losses(v, path, self.space, self.loss) for v, path in zip(velocities, self.paths, strict=True)]
        positions, lattice = (torch.cat(channel).mean().item() for channel in zip(*parts, strict=True))
        return Score(positions + self.loss.lattice_weight * lattice, positions, lattice)

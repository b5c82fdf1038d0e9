"""How good proposals for held-out molecules are, from fixed noise: rewards, and how near they are to the known crystals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from packflow.data.batching import CrystalSource
from packflow.flow.draws import Draw
from packflow.metrics import compare
from packflow.model import PackFlow
from packflow.potential.interface import Potential
from packflow.structure import AtomsBatch, Crystal
from packflow.train.align_config import AlignConfig
from packflow.train.align_report import mean, medians
from packflow.train.rollout import judged, proposals_of
from packflow.train.templates import TemplatePool

# validation does not change with the seed of the run, so that runs compare
VALIDATION_SEED = 20_260
GEOMETRY = ("density_error_percent", "bonds_valid_percent", "amd_distance")


@dataclass(frozen=True)
class AlignValidation:
    """Fixed templates.

    draws:     proposals, template by template.
    known:     a crystal of each template.
    potential: of the rewards.
    config:    of the run.
    """

    draws: list[Draw]
    known: list[Crystal]
    potential: Potential
    config: AlignConfig

    @classmethod
    def of(cls, dataset: CrystalSource, config: AlignConfig, potential: Potential) -> AlignValidation:
        """Choose templates of the validation split; none where validation is off.

        Raises:
            InputError: the split is empty.
        """
        if not config.validation.every:
            return cls([], [], potential, config)
        pool = TemplatePool.of(dataset, "validation", config.validation.n_templates, config.max_template_atoms)
        known = pool.first_crystals()
        n = config.validation.n_samples
        draws = [Draw(crystal.template, g * n + k, VALIDATION_SEED) for g, crystal in enumerate(known) for k in range(n)]
        return cls(draws, known, potential, config)

    def score(self, model: PackFlow) -> dict[str, float]:
        """Columns of the log."""
        proposals = proposals_of(model, self.draws, self.config.sample, self.config.max_atoms)
        found = judged(proposals, self.draws, self.known, model.config.space, self.potential, self.config.rewards)
        energy, force = (-found.values[..., k].numpy() for k in (0, 1))
        reference_of = torch.arange(len(self.known)).repeat_interleave(self.config.validation.n_samples)
        table = compare(AtomsBatch.from_crystals(found.crystals), AtomsBatch.from_crystals(self.known), reference_of)
        geometry = {
            name: mean(table[name].cast("float64").to_numpy(zero_copy_only=False))
            for name in ("density_error_percent", "bonds_valid_percent", "amd_distance")
        }
        return {
            "validation/energy": mean(medians(energy)),
            "validation/force": mean(medians(force)),
            "validation/clash": mean(found.clash.numpy()),
            "validation/failed": float(np.isnan(energy).mean()),
            "validation/bonds_valid": geometry["bonds_valid_percent"],
            "validation/density_error": geometry["density_error_percent"],
            "validation/amd": geometry["amd_distance"],
        }

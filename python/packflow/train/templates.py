"""Which templates an alignment run samples, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from packflow.data.batching import CrystalSource, generator_of
from packflow.errors import InputError
from packflow.structure import Crystal


@dataclass(frozen=True)
class TemplatePool:
    """Templates that differ, each with known crystals.

    dataset: where they are.
    rows:    of each template, the dataset rows of its crystals.
    seed:    of the order of templates and the choice of crystals.
    """

    dataset: CrystalSource
    rows: tuple[np.ndarray, ...]
    seed: int = 0

    @classmethod
    def of(cls, dataset: CrystalSource, split: str, max_templates: int, max_atoms: int, seed: int = 0) -> TemplatePool:
        """The templates of a split, each once, evenly chosen where there are too many.

        Args:
            dataset: Crystals; those of the same molecule and size have one template.
            split: "train", "validation" or "test".
            max_templates: At most so many.
            max_atoms: Heavy atoms of a template, at most.
            seed: Of the order in which they are used.

        Raises:
            InputError: there is none.
        """
        n_atoms, molecules = np.asarray(dataset.n_atoms), np.asarray(dataset.molecule_index)
        rows = np.flatnonzero((np.asarray(dataset.split) == split) & (n_atoms <= max_atoms))
        if len(rows) == 0:
            raise InputError(f"the dataset has no crystal of at most {max_atoms} heavy atoms in its {split} split")
        key = np.stack([molecules[rows], n_atoms[rows]])
        _, template, counts = np.unique(key, axis=1, return_inverse=True, return_counts=True)
        found = np.split(rows[np.argsort(template.ravel(), kind="stable")], np.cumsum(counts)[:-1])
        if len(found) > max_templates:
            found = [found[k] for k in np.linspace(0, len(found) - 1, max_templates).round().astype(np.int64)]
        return cls(dataset, tuple(found), seed)

    def __len__(self) -> int:
        """Number of templates."""
        return len(self.rows)

    def crystals_of(self, step: int, n: int, stream: int) -> list[Crystal]:
        """A known crystal of each of n templates: consecutive ones of endless passes over all, each in an order of its own.

        Args:
            step: n * step templates came before.
            n: How many.
            stream: Of the run's randomness.
        """
        passes = {k: self._pass(k, stream) for k in range(n * step // len(self), (n * (step + 1) - 1) // len(self) + 1)}
        return [self.dataset[passes[place // len(self)][place % len(self)]] for place in range(n * step, n * (step + 1))]

    def first_crystals(self) -> list[Crystal]:
        """The first known crystal of each template."""
        return [self.dataset[int(rows[0])] for rows in self.rows]

    def _pass(self, number: int, stream: int) -> list[int]:
        """A row of each template, in the order of a pass."""
        generator = generator_of(self.seed, number, stream)
        order = torch.randperm(len(self), generator=generator).tolist()
        share = torch.rand(len(self), generator=generator, dtype=torch.float64).tolist()
        return [int(self.rows[k][int(share[k] * len(self.rows[k]))]) for k in order]

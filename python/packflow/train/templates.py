"""Which templates an alignment run samples, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from packflow.data.batching import CrystalSource, generator_of
from packflow.errors import InputError
from packflow.structure import Crystal, Template


@dataclass(frozen=True)
class TemplatePool:
    """Templates that differ, each with a known crystal.

    dataset: where they are.
    rows:    [n_templates] int64, the crystal of each.
    seed:    of their order.
    """

    dataset: CrystalSource
    rows: np.ndarray
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
        first = np.unique(np.stack([molecules[rows], n_atoms[rows]]), axis=1, return_index=True)[1]
        rows = rows[first]
        if len(rows) > max_templates:
            rows = rows[np.linspace(0, len(rows) - 1, max_templates).round().astype(np.int64)]
        return cls(dataset, rows, seed)

    def __len__(self) -> int:
        """Number of templates."""
        return len(self.rows)

    def rows_of(self, step: int, n: int, stream: int) -> list[int]:
        """Dataset rows of n templates: consecutive ones of endless passes over all of them, each in an order of its own.

        Args:
            step: n * step templates came before.
            n: How many.
            stream: Of the run's randomness.
        """
        places = range(n * step, n * (step + 1))
        orders = {k: self._order(k, stream) for k in {place // len(self) for place in places}}
        return [int(self.rows[orders[place // len(self)][place % len(self)]]) for place in places]

    def _order(self, number: int, stream: int) -> np.ndarray:
        """Order of the templates in a pass. [n_templates]"""
        return torch.randperm(len(self), generator=generator_of(self.seed, number, stream)).numpy()

    def crystal(self, row: int) -> Crystal:
        """The known crystal at a row of the dataset."""
        return self.dataset[row]

    def template(self, row: int) -> Template:
        """The template of the crystal at a row of the dataset."""
        return self.dataset[row].template

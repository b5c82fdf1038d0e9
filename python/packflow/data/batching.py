"""Training batches: which crystals make up step number so and so."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from packflow.errors import InputError
from packflow.structure import Crystal, CrystalBatch


class CrystalSource(Protocol):
    """What batching asks of a dataset; packflow.data.dataset.CrystalDataset is one."""

    @property
    def split(self) -> np.ndarray:
        """Of each crystal: "train", "validation" or "test". [n_crystals] str"""
        ...

    @property
    def molecule_index(self) -> np.ndarray:
        """Equal for crystals of the same molecule. [n_crystals] int"""
        ...

    @property
    def n_atoms(self) -> np.ndarray:
        """Heavy atoms in the unit cell. [n_crystals] int"""
        ...

    def __len__(self) -> int:
        """Number of crystals."""
        ...

    def __getitem__(self, index: int, /) -> Crystal:
        """One crystal."""
        ...


@dataclass(frozen=True)
class BatchConfig:
    """Size of a batch.

    Attributes:
        max_atoms: heavy atoms in a batch, which sets the memory and the time of a step; a larger crystal is alone in its batch.
        max_crystals: crystals in a batch.
    """

    max_atoms: int = 2000
    max_crystals: int = 1024

    def __post_init__(self) -> None:
        """Refuse empty batches."""
        for name in ("max_atoms", "max_crystals"):
            if getattr(self, name) < 1:
                raise InputError(f"batch.{name} must be at least 1, got {getattr(self, name)}")


def generator_of(seed: int, step: int, stream: int = 0) -> torch.Generator:
    """A generator that is a pure function of its arguments, so that no random state has to be stored.

    Args:
        seed: Of the run.
        step: Of the training.
        stream: Tells apart independent uses in one step.
    """
    state = np.random.SeedSequence([seed, step, stream]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


class Batches:
    """Batches of the crystals of one split.

    A molecule is drawn uniformly, then one of its crystals uniformly: a molecule with a landscape of a thousand predicted
    crystals counts as much as one with a single experimental one. Crystals are added while they fit into the budget.
    """

    def __init__(self, dataset: CrystalSource, config: BatchConfig, split: str = "train") -> None:
        """Sort the split's crystals by molecule.

        Raises:
            InputError: the dataset has no crystal of that split.
        """
        rows = np.flatnonzero(np.asarray(dataset.split) == split)
        if len(rows) == 0:
            raise InputError(f"the dataset has no crystal in its {split} split: prepare one with `packflow prepare`")
        molecules = np.asarray(dataset.molecule_index)[rows]
        self.dataset, self.config = dataset, config
        self.rows = rows[np.argsort(molecules, kind="stable")]  # grouped by molecule
        self.group_sizes = np.unique(molecules, return_counts=True)[1]
        self.group_starts = np.cumsum(self.group_sizes) - self.group_sizes
        self.n_atoms = np.asarray(dataset.n_atoms)[self.rows]
        self.n_draws = int(min(config.max_crystals, max(1, config.max_atoms // self.n_atoms.min())))
        self._thread = ThreadPoolExecutor(1, "packflow-batches")
        self._prepared: dict[bytes, Future[CrystalBatch]] = {}

    @property
    def n_molecules(self) -> int:
        """Molecules in the split."""
        return len(self.group_sizes)

    def rows_of(self, generator: torch.Generator) -> np.ndarray:
        """Dataset rows of one batch. [n_crystals] int64"""
        molecule, crystal = torch.rand(2, self.n_draws, generator=generator, dtype=torch.float64).numpy()
        group = (molecule * self.n_molecules).astype(np.int64)
        place = self.group_starts[group] + (crystal * self.group_sizes[group]).astype(np.int64)
        n_fitting = np.searchsorted(np.cumsum(self.n_atoms[place]), self.config.max_atoms, side="right")
        return self.rows[place[: max(1, n_fitting)]]

    def batch(self, generator: torch.Generator) -> CrystalBatch:
        """One batch."""
        return self.pack(self.rows_of(generator))

    def pack(self, rows: np.ndarray) -> CrystalBatch:
        """The batch of the crystals at these dataset rows, waiting for it if it is being prepared. [n_crystals]"""
        prepared = self._prepared.pop(rows.tobytes(), None)
        return self._read(rows) if prepared is None else prepared.result()

    def prepare(self, batches: Sequence[np.ndarray]) -> None:
        """Read batches in a thread; `pack` of the same rows takes them from there, and raises what reading them raised.

        Args:
            batches: Dataset rows of each, each [n_crystals], in the order in which they are wanted. What was prepared before
                and is not among them is dropped.
        """
        wanted = {rows.tobytes(): rows for rows in batches}
        for key in self._prepared.keys() - wanted.keys():
            self._prepared.pop(key).cancel()
        for key, rows in wanted.items():
            if key not in self._prepared:
                self._prepared[key] = self._thread.submit(self._read, rows)

    def _read(self, rows: np.ndarray) -> CrystalBatch:
        return CrystalBatch.pack([self.dataset[int(row)] for row in rows])

    def atoms_in(self, rows: np.ndarray) -> int:
        """Heavy atoms of the crystals at these dataset rows."""
        return int(np.asarray(self.dataset.n_atoms)[rows].sum())


def validation_rows(dataset: CrystalSource, n_crystals: int, per_molecule: int = 2) -> np.ndarray:
    """A fixed selection of the validation split: the first crystals of each molecule, molecules evenly spread when too many.

    Args:
        dataset: Where to choose.
        n_crystals: At most so many.
        per_molecule: At most so many of each molecule.

    Returns:
        Dataset rows in ascending order. [<= n_crystals] int64
    """
    rows = np.flatnonzero(np.asarray(dataset.split) == "validation")
    molecules = np.asarray(dataset.molecule_index)[rows]
    order = np.argsort(molecules, kind="stable")
    sizes = np.unique(molecules, return_counts=True)[1]
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # place within the molecule
    rows = rows[order][rank < per_molecule]
    if len(rows) > n_crystals:
        rows = rows[np.linspace(0, len(rows) - 1, n_crystals).round().astype(np.int64)]
    return np.sort(rows)


def packed_by_budget(dataset: CrystalSource, rows: np.ndarray, max_atoms: int) -> list[CrystalBatch]:
    """The crystals in the order of `rows`, in as few batches as the budget allows."""
    batches: list[list[Crystal]] = [[]]
    for crystal in (dataset[int(row)] for row in rows):
        if batches[-1] and sum(c.template.n_atoms for c in batches[-1]) + crystal.template.n_atoms > max_atoms:
            batches.append([])
        batches[-1].append(crystal)
    return [CrystalBatch.pack(crystals) for crystals in batches if crystals]

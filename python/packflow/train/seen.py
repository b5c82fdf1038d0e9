"""What a run's weights will have been trained on, for the header of its checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from packflow.data.batching import CrystalSource
from packflow.data.candidates import canonical
from packflow.data.dataset import CrystalDataset
from packflow.data.split import family
from packflow.model.pretrained import record_of
from packflow.model.training_record import TrainingRecord


def seen_by(dataset: CrystalSource, init: str | None = None, resume: Path | None = None) -> TrainingRecord | None:
    """The record of a run.

    Args:
        dataset: What it learns from; only a prepared dataset knows its molecules.
        init: Weights that it begins with.
        resume: Checkpoint that it goes on from, which knows what came before.

    Returns:
        Molecules of the training split and of what came before; not complete where that has no record. None for a dataset that does not
        know its molecules.
    """
    if not isinstance(dataset, CrystalDataset):
        return None
    own = record_of_split(dataset)
    if init is None and resume is None:
        return own
    before = record_of(resume if resume is not None else str(init))
    return replace(own, complete=False) if before is None else own | before


def record_of_split(dataset: CrystalDataset, split: str = "train") -> TrainingRecord:
    """The record of all molecules with a crystal in a split."""
    molecules = np.unique(dataset.molecule_index[dataset.indices(split)]).tolist()
    smiles = [str(canonical(dataset.smiles[k])) for k in molecules]
    return TrainingRecord.of(smiles, map(family, smiles))

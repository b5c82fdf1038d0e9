"""A small dataset in memory, and runs of a few steps on it."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from packflow.structure import Crystal, Molecule, Template
from packflow.train.config import ValidationConfig
from packflow.train.recipes import tiny

SMILES = ["CC(=O)O", "c1ccccc1", "NC=O", "C"]


@dataclass(frozen=True)
class Source:
    """Random packings: molecule k in every fourth crystal, one in four for validation."""

    split: np.ndarray
    molecule_index: np.ndarray
    n_atoms: np.ndarray
    crystals: list

    def __len__(self):
        return len(self.crystals)

    def __getitem__(self, index):
        return self.crystals[index]


@pytest.fixture(scope="session")
def source():
    random = np.random.default_rng(0)
    index = np.arange(32) % len(SMILES)
    templates = [Template(Molecule.from_smiles(SMILES[k]), 1 + i % 4) for i, k in enumerate(index)]
    crystals = []
    for template in templates:
        positions = random.normal(size=(template.n_atoms, 3))
        lattice = np.array([5.0, 6.0, 7.0, 90.0, 95.0, 100.0]) + random.uniform(-1, 1, 6)
        crystals.append(Crystal(template, positions - positions.mean(0), lattice))
    split = np.where(np.arange(32) % 8 < 6, "train", "validation")
    return Source(split, index, np.array([t.n_atoms for t in templates]), crystals)


@pytest.fixture(scope="session")
def config():
    """Ten steps, validated and saved after the fifth and the tenth."""
    base = tiny()
    return replace(base, n_steps=10, batch=replace(base.batch, max_atoms=60), validation=ValidationConfig(every=5, n_crystals=4))

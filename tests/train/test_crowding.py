"""Crowding within groups of proposals."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from packflow.errors import InputError
from packflow.metrics.amd import amd
from packflow.structure import AtomsBatch, Crystal, Molecule, Template
from packflow.train.crowding import crowding

TEMPLATE = Template(Molecule.from_smiles("CCCC"), 2)


def random_crystal(seed):
    positions = np.random.default_rng(seed).uniform(-3, 3, (8, 3))
    return Crystal(TEMPLATE, positions, np.array([6.0, 6.5, 7.0, 90.0, 100.0, 90.0]))


def scaled(crystal, factor):
    return replace(crystal, positions=crystal.positions * factor, lattice=crystal.lattice * np.array([factor] * 3 + [1.0] * 3))


def test_it_is_its_formula_within_groups():
    atoms = AtomsBatch.from_crystals([random_crystal(seed) for seed in range(5)])
    groups = [7, 2, 7, 2, 7]
    amds = amd(atoms) * (18.0 / (torch.linalg.det(atoms.cell) / 8)).pow(1 / 3)[:, None]
    found = crowding(atoms, groups, scale=0.3)
    for i in range(5):
        near = [torch.exp(-(amds[i] - amds[j]).abs().max() / 0.3) for j in range(5) if j != i and groups[j] == groups[i]]
        assert found[i].item() == pytest.approx(torch.stack(near).mean().item())
    assert found.std() > 0.01


def test_copies_crowd_each_other_whatever_their_density_and_what_cannot_be_compared_crowds_nobody():
    one, other = random_crystal(0), random_crystal(1)
    broken = replace(one, positions=np.full_like(one.positions, np.nan))
    found = crowding(AtomsBatch.from_crystals([one, scaled(one, 1.1), broken]), [0, 0, 0])
    assert found[:2].tolist() == pytest.approx([1.0, 1.0])
    assert found[2].isnan()
    apart = crowding(AtomsBatch.from_crystals([one, other, scaled(one, 0.95)]), [0, 0, 0])
    assert apart[0] > apart[1]
    assert crowding(AtomsBatch.from_crystals([one, other]), [0, 1]).tolist() == [0, 0]


def test_arguments_that_do_not_fit_are_refused():
    atoms = AtomsBatch.from_crystals([random_crystal(0)])
    with pytest.raises(InputError, match="groups must be those of 1 structures, got 2"):
        crowding(atoms, [0, 0])
    with pytest.raises(ValueError, match="scale must be a positive number of Å, got 0"):
        crowding(atoms, [0], scale=0)

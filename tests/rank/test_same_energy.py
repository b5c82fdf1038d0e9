"""Structures are the same only if their energies are."""

import numpy as np
import pytest
import torch

from packflow.rank.checks import heavy_batch
from packflow.rank.duplicates import duplicates
from packflow.rank.same_energy import SameEnergy


def test_energies_are_asked_first():
    asked = []

    def confirm(structure, others):
        asked.append((structure, others.tolist()))
        return others != 3

    same = SameEnergy(np.array([0.0, 0.05, 0.2, 0.1, np.nan]), 0.1, confirm)
    assert same(0, np.array([1, 2, 3, 4])).tolist() == [True, False, False, False]
    assert asked == [(0, [1, 3])]
    assert same(2, np.array([4])).tolist() == [False]
    assert len(asked) == 1
    assert SameEnergy(np.array([0.0, 0.05]), 0.1)(0, np.array([1])).tolist() == [True]


def copies(structure, n):
    return heavy_batch([structure] * n)


def test_equal_crystals_of_other_energies_are_other_crystals(urea):
    atoms = copies(urea, 3)
    assert duplicates(atoms).group.tolist() == [0, 0, 0]
    energies = torch.tensor([0.0, 0.3, 0.05])
    found = duplicates(atoms, energies=energies, energy_tolerance=0.1, priority=energies)
    assert found.group[0] == found.group[2] != found.group[1]


def test_refused(urea):
    with pytest.raises(ValueError, match=r"energies must have shape \(2,\), got \(3,\)"):
        duplicates(copies(urea, 2), energies=torch.zeros(3))
    with pytest.raises(ValueError, match="energy_tolerance must be a number of at least 0, got -1"):
        duplicates(copies(urea, 2), energies=torch.zeros(2), energy_tolerance=-1)

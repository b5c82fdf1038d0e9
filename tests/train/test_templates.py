"""Passes over the templates of a dataset."""

import numpy as np
import pytest

from packflow.errors import InputError
from packflow.train.templates import TemplatePool

EVERYTHING = {"max_templates": 100, "max_atoms": 250}


def keys(source, rows):
    return [(int(source.molecule_index[row]), int(source.n_atoms[row])) for row in rows]


def key(crystal):
    return crystal.template.molecule.smiles, crystal.template.n_copies


def test_each_crystal_of_the_split_belongs_to_its_template(source):
    rows = TemplatePool.of(source, "train", **EVERYTHING).rows
    assert sorted(np.concatenate(rows).tolist()) == np.flatnonzero(source.split == "train").tolist()
    assert all(len(set(keys(source, own))) == 1 for own in rows)
    assert len({keys(source, own)[0] for own in rows}) == len(rows)


def test_a_pass_uses_each_template_once_and_passes_differ(source):
    pool = TemplatePool.of(source, "train", **EVERYTHING)
    n = len(pool)
    used = [crystal for step in range(2 * n) for crystal in pool.crystals_of(step, 3, stream=0)]  # six passes, three at a time
    passes = [[key(crystal) for crystal in used[k * n : (k + 1) * n]] for k in range(6)]
    assert all(sorted(some) == sorted(key(crystal) for crystal in pool.first_crystals()) for some in passes)
    assert len({tuple(some) for some in passes}) > 3
    assert pool.crystals_of(4, 3, stream=0) == used[12:15]
    other = TemplatePool.of(source, "train", **EVERYTHING, seed=1)
    assert [crystal for step in range(2) for crystal in other.crystals_of(step, 3, stream=0)] != used[:6]
    assert len({id(crystal) for crystal in used}) > n  # not one crystal of each template alone


def test_limits(source):
    small = TemplatePool.of(source, "train", 100, 4).rows
    assert source.n_atoms[np.concatenate(small)].max() <= 4
    every = TemplatePool.of(source, "train", **EVERYTHING).rows
    few = TemplatePool.of(source, "train", 3, 250).rows
    assert [own.tolist() for own in few] == [every[k].tolist() for k in np.linspace(0, len(every) - 1, 3).round().astype(int)]
    with pytest.raises(InputError, match="no crystal of at most 0 heavy atoms in its train split"):
        TemplatePool.of(source, "train", 100, 0)

"""Passes over the templates of a dataset."""

import numpy as np
import pytest

from packflow.errors import InputError
from packflow.train.templates import TemplatePool

EVERYTHING = {"max_templates": 100, "max_atoms": 250}


def keys(source, rows):
    return [(int(source.molecule_index[row]), int(source.n_atoms[row])) for row in rows]


def test_each_template_of_the_split_is_there_once(source):
    rows = TemplatePool.of(source, "train", **EVERYTHING).rows
    assert set(source.split[rows]) == {"train"}
    wanted = set(keys(source, np.flatnonzero(source.split == "train")))
    assert sorted(keys(source, rows)) == sorted(wanted)


def test_a_pass_uses_each_template_once_and_passes_differ(source):
    pool = TemplatePool.of(source, "train", **EVERYTHING)
    n = len(pool)
    used = [row for step in range(2 * n) for row in pool.rows_of(step, 3, stream=0)]  # six passes, three at a time
    passes = [used[k * n : (k + 1) * n] for k in range(6)]
    assert all(sorted(rows) == sorted(pool.rows.tolist()) for rows in passes)
    assert len({tuple(rows) for rows in passes}) > 3
    assert pool.rows_of(4, 3, stream=0) == used[12:15]
    other = TemplatePool.of(source, "train", **EVERYTHING, seed=1)
    assert [row for step in range(2) for row in other.rows_of(step, 3, stream=0)] != used[:6]


def test_limits(source):
    small = TemplatePool.of(source, "train", 100, 4).rows
    assert source.n_atoms[small].max() <= 4
    every = TemplatePool.of(source, "train", **EVERYTHING).rows
    few = TemplatePool.of(source, "train", 3, 250).rows
    assert len(few) == 3
    assert {every[0], every[-1]} < set(few)
    with pytest.raises(InputError, match="no crystal of at most 0 heavy atoms in its train split"):
        TemplatePool.of(source, "train", 100, 0)

"""Bonds of pairs of atoms against all images within reach."""

import itertools

import numpy as np

from packflow.structure.bonds import bonds_between


def test_nearest_images_in_skewed_cells():
    generator = np.random.default_rng(0)
    images = np.array(list(itertools.product(range(-4, 5), repeat=3)))
    for _ in range(20):
        cell = 6 * np.eye(3) + generator.uniform(-3, 3, (3, 3))
        fractional = generator.uniform(-1, 2, (6, 3))
        pairs = np.array(list(itertools.permutations(range(6), 2)))
        bonds = bonds_between(pairs, fractional, cell)
        assert len(bonds.index) == 15
        for (i, j), shift in zip(bonds.index, bonds.shift, strict=True):
            lengths = np.linalg.norm((fractional[j] + images - fractional[i]) @ cell, axis=1)
            np.testing.assert_array_equal(shift, images[lengths.argmin()])

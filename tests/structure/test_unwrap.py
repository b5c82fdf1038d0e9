"""Whole molecules from wrapped coordinates."""

import json
from pathlib import Path

import numpy as np
import pytest

from packflow.structure.unwrap import components, neighbors_of_bonds, unwrap

PARITY = Path(__file__).parents[3] / "shared" / "parity" / "preprocess.json"
CHAIN = np.array([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
SKEWED = np.array([[6.0, 0, 0], [5.0, 3.0, 0], [-2.0, 1.0, 7.0]])


def test_chain_across_a_face():
    cell = 10 * np.eye(3)
    chain = np.array([[0.85, 0, 0], [0.95, 0, 0], [1.05, 0, 0], [1.15, 0, 0]])
    # the central atoms are 1 and 2; 1 comes first and stays
    np.testing.assert_allclose(unwrap(chain % 1, CHAIN, cell), chain, atol=1e-12)


def test_bonds_keep_their_length_in_a_skewed_cell():
    rng = np.random.default_rng(0)
    for _ in range(50):
        steps = rng.normal(size=(4, 3))
        positions = rng.uniform(-9, 9, 3) + np.cumsum(1.5 * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0)
        fractional = positions @ np.linalg.inv(SKEWED)
        whole = unwrap(fractional % 1, CHAIN, SKEWED)
        np.testing.assert_allclose(np.round(whole - fractional), whole - fractional, atol=1e-9)
        lengths = np.linalg.norm(np.diff(whole @ SKEWED, axis=0), axis=1)
        np.testing.assert_allclose(lengths, 1.5, atol=1e-9)


def test_input_is_not_changed():
    fractional = np.array([[0.95, 0, 0], [0.05, 0, 0]])
    before = fractional.copy()
    unwrap(fractional, np.array([[0, 1], [1, 0]]), 10 * np.eye(3))
    np.testing.assert_array_equal(fractional, before)


def test_components():
    assert components(neighbors_of_bonds(5, np.array([[0, 3, 1, 4], [3, 0, 4, 1]]))) == [[0, 3], [1, 4], [2]]


@pytest.mark.skipif(not PARITY.exists(), reason="the released code's numbers (../shared/parity) are not here")
@pytest.mark.parametrize("name", ["NAPHTA", "BENZEN", "UREAXX"])
def test_released_code(name):
    case = json.loads(PARITY.read_text())[name]
    atoms = [a for a in case["input"]["atoms"] if a["element"] != "H"]
    fractional = np.array([[a["fract_x"], a["fract_y"], a["fract_z"]] for a in atoms]) % 1
    cell = np.array(case["output"]["cell_1"])
    positions = unwrap(fractional, np.array(case["output"]["edge_index"]), cell) @ cell
    np.testing.assert_allclose(positions - positions.mean(0), case["output"]["whole_cartesian_coords"], atol=2e-6)

"""Turns rotors until none, and no two of them together, can do better."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from packflow.relax.hydrogens_cells import HydrogenCells
from packflow.relax.rotor_costs import Turning, rotor_costs, rotor_pairs
from packflow.relax.rotor_settle import settle
from packflow.relax.rotors import Rotors

# angles of the first scan of a period; the second divides the step between them
N_COARSE = 24
FINE = np.array([0, -1, 1, -2, 2, -3, 3]) / 6


def turn_rotors(cells: HydrogenCells) -> tuple[HydrogenCells, np.ndarray]:
    """Turn the hydrogens of every cell that can turn: out of clashes, and towards acceptors of hydrogen bonds.

    Hydroxyls on planar atoms are bent to 110 degrees first. Then a scan of 24 angles a period, and one between them. All contacts of a
    hydrogen with atoms at least four bonds away count, images included.

    Returns:
        The cells with these hydrogens elsewhere, all other atoms where they were, and how many groups of each crystal turned
        [n_crystals] int64.
    """
    rotors = rotors_of(cells)
    n_turned = np.zeros(len(cells.cells), dtype=np.int64)
    if not len(rotors.centers):
        return cells, n_turned
    cells = bent(cells, rotors)
    owner, total = cells.crystal[rotors.centers], np.zeros(len(rotors.centers))
    fractional = np.einsum("rx,rxy->ry", cells.positions[rotors.centers], np.linalg.inv(cells.cells)[owner])
    pairs = rotor_pairs(cells, rotors)
    for angles in (coarse_angles(rotors), fine_angles(rotors)):
        costs = rotor_costs(cells, rotors, pairs, angles)
        chosen = np.take_along_axis(angles, settle(costs, fractional, owner)[:, None], 1)
        cells = at_angles(cells, rotors, chosen)
        total += chosen[:, 0]
    np.add.at(n_turned, owner, total != 0)
    return cells, n_turned


def rotors_of(cells: HydrogenCells) -> Rotors:
    """Those of all molecules; atoms are rows of the cells."""
    parts = {field.name: [getattr(t.rotors, field.name) for t in cells.tables] for field in fields(Rotors)}
    counts = np.array([len(t.rotors.centers) for t in cells.tables])
    of_table = np.cumsum(counts) - counts
    first_rotor = np.cumsum(counts[cells.table]) - counts[cells.table]
    copy = np.repeat(np.arange(len(cells.table)), counts[cells.table])
    row = np.arange(len(copy)) - first_rotor[copy] + of_table[cells.table[copy]]
    column = {name: np.concatenate(part)[row] for name, part in parts.items() if name != "of_atom"}
    for name in ("centers", "neighbors", "first", "reference"):
        start = cells.start[copy].reshape(-1, *[1] * (column[name].ndim - 1))
        column[name] = np.where(column[name] < 0, -1, column[name] + start)
    sizes = [len(of_atom) for of_atom in parts["of_atom"]]
    within = np.concatenate(parts["of_atom"])[(np.cumsum(sizes) - sizes)[cells.table][cells.copy] + cells.place]
    return Rotors(**column, of_atom=np.where(within < 0, -1, within + first_rotor[cells.copy]))


def bent(cells: HydrogenCells, rotors: Rotors) -> HydrogenCells:
    """The cells with hydroxyls on planar atoms bent in their plane to the angle that they have."""
    some = np.nonzero(rotors.bends)[0]
    x, hydrogen, center = cells.positions.copy(), rotors.first[some], rotors.centers[some]
    axis = x[center] - x[rotors.neighbors[some, 0]]
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    bond, angle = x[hydrogen] - x[center], np.deg2rad(rotors.bends[some])[:, None]
    across = bond - (bond * axis).sum(1, keepdims=True) * axis
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    x[hydrogen] = x[center] + np.linalg.norm(bond, axis=1, keepdims=True) * (np.sin(angle) * across - np.cos(angle) * axis)
    return cells.at(x)


def coarse_angles(rotors: Rotors) -> np.ndarray:
    """Degrees, the first 0; of those that flip, 0 and 180. [n_rotors, N_COARSE]"""
    steps = np.arange(N_COARSE) / N_COARSE
    return np.where(rotors.flips[:, None], 180.0 * (steps >= 0.5), rotors.periods[:, None] * steps)


def fine_angles(rotors: Rotors) -> np.ndarray:
    """Degrees between those of the coarse scan, the first 0; none of those that flip. [n_rotors, len(FINE)]"""
    return np.where(rotors.flips, 0.0, rotors.periods)[:, None] * FINE / N_COARSE


def at_angles(cells: HydrogenCells, rotors: Rotors, angles: np.ndarray) -> HydrogenCells:
    """The cells with their rotors turned by angles in degrees; those with 0 keep every bit. [n_rotors, 1]"""
    turning = Turning.of(cells, rotors, angles)
    moves = angles[turning.rotor, 0] != 0
    rows = turning.hydrogens[moves]
    positions = cells.positions.copy()
    positions[rows] = cells.positions[rotors.centers[turning.rotor[moves]]] + turning.vectors[moves, 0]
    return cells.at(positions)

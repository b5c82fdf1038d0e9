"""Turns rotors until none, and no two of them together, can do better."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from packflow.relax.hydrogens_cells import HydrogenCells
from packflow.relax.rotor_costs import RotorCosts, Turning, rotor_costs, rotor_pairs
from packflow.relax.rotors import Rotors

# angles of the first scan of a period; the second divides the step between them
N_COARSE = 24
FINE = np.array([0, -1, 1, -2, 2, -3, 3]) / 6
# kcal/mol; differences below are rounding, and the state that comes first is taken
TOLERANCE = 1e-6
MAX_SWEEPS, MAX_PAIR_MOVES = 20, 10


@dataclass(frozen=True)
class Schedule:
    """Which rotors may choose at the same time: none of a level touches another of it.

    The order is by where the rotor lies in the cell, so that it depends neither on the order of the molecules nor on the image of each.

    rank:   [n_rotors] int64, place in that order.
    levels: rotors of each level, those of lower levels choose first; together all that touch another.
    """

    rank: np.ndarray
    levels: list[np.ndarray]

    @classmethod
    def of(cls, costs: RotorCosts, fractional: np.ndarray) -> Schedule:
        """By the fractional coordinates of the centers. [n_rotors, 3]"""
        key = np.cos(2 * np.pi * (fractional + (0.123, 0.237, 0.391))) @ (1.0, 1.7, 2.3)
        rank = np.empty(len(key), dtype=np.int64)
        rank[np.argsort(key, kind="stable")] = np.arange(len(key))
        ordered = rank[costs.first] < rank[costs.second]
        before, after = np.where(ordered, costs.first, costs.second), np.where(ordered, costs.second, costs.first)
        level, deeper = np.zeros(len(key), dtype=np.int64), True
        while deeper:
            found = level.copy()
            np.maximum.at(found, after, level[before] + 1)
            deeper, level = bool((found != level).any()), found
        touching = np.unique(np.concatenate([costs.first, costs.second]))
        return cls(rank, [touching[level[touching] == n] for n in range(int(level.max(initial=-1)) + 1)])


def turn_rotors(cells: HydrogenCells) -> tuple[HydrogenCells, np.ndarray]:
    """Turn the hydrogens of every cell that can turn: out of clashes, and towards acceptors of hydrogen bonds.

    A scan of 24 angles a period, then one between them. All contacts of a hydrogen with atoms at least four bonds away count, images
    included.

    Returns:
        The cells with these hydrogens elsewhere, all other atoms where they were, and how many groups of each crystal turned
        [n_crystals] int64.
    """
    rotors = rotors_of(cells)
    n_turned = np.zeros(len(cells.cells), dtype=np.int64)
    if not len(rotors.centers):
        return cells, n_turned
    owner, total = cells.crystal[rotors.centers], np.zeros(len(rotors.centers))
    fractional = np.einsum("rx,rxy->ry", cells.positions[rotors.centers], np.linalg.inv(cells.cells)[owner])
    pairs = rotor_pairs(cells, rotors)
    for angles in (coarse_angles(rotors), fine_angles(rotors)):
        costs = rotor_costs(cells, rotors, pairs, angles)
        chosen = np.take_along_axis(angles, settle(costs, Schedule.of(costs, fractional), owner)[:, None], 1)
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


def settle(costs: RotorCosts, schedule: Schedule, owner: np.ndarray) -> np.ndarray:
    """States that neither another choice of one rotor nor of two that touch makes cheaper.

    Rotors choose in the order of the schedule, again and again; then the two of each crystal that gain most by choosing together do. Once
    from what is cheapest beside atoms that do not turn, once from where they are; the cheaper result of each crystal is taken.

    Args:
        costs: Of the rotors.
        schedule: Their order.
        owner: Crystal of each rotor. [n_rotors]

    Returns:
        [n_rotors] int64
    """
    start, n_crystals = np.zeros(len(owner), dtype=np.int64), int(owner.max()) + 1
    found = [_settle_from(state, costs, schedule, owner) for state in (first_cheapest(costs.alone), start)]
    totals = np.stack([total_costs(state, costs, owner, n_crystals) for state in found], 1)
    return np.where(first_cheapest(totals)[owner] == 0, *found)


def _settle_from(state: np.ndarray, costs: RotorCosts, schedule: Schedule, owner: np.ndarray) -> np.ndarray:
    for _ in range(MAX_PAIR_MOVES):
        _choose_in_turn(state, costs, schedule)
        if not _choose_together(state, costs, schedule.rank, owner):
            break
    return state


def total_costs(state: np.ndarray, costs: RotorCosts, owner: np.ndarray, n_crystals: int) -> np.ndarray:
    """Cost of the rotors of each crystal in these states, kcal/mol. [n_crystals]"""
    alone = costs.alone[np.arange(len(state)), state]
    both = costs.both[np.arange(len(costs.first)), state[costs.first], state[costs.second]]
    return np.bincount(owner, alone, n_crystals) + np.bincount(owner[costs.first], both, n_crystals)


def first_cheapest(cost: np.ndarray) -> np.ndarray:
    """The first entry of each row that is as cheap as any. [n, k] -> [n]"""
    return (cost <= cost.min(1, keepdims=True) + TOLERANCE).argmax(1)


def _choose_in_turn(state: np.ndarray, costs: RotorCosts, schedule: Schedule) -> None:
    both = np.concatenate([costs.both, costs.both.transpose(0, 2, 1)])
    begin, end = np.concatenate([costs.first, costs.second]), np.concatenate([costs.second, costs.first])
    order = np.argsort(begin, kind="stable")
    first = np.searchsorted(begin[order], np.arange(len(state) + 1))
    for _ in range(MAX_SWEEPS):
        before = state.copy()
        for rotors in schedule.levels:
            counts = first[rotors + 1] - first[rotors]
            place = np.repeat(np.arange(len(rotors)), counts)
            edges = order[np.arange(len(place)) - (np.cumsum(counts) - counts)[place] + first[rotors][place]]
            cost = costs.alone[rotors] + np.add.reduceat(both[edges, :, state[end[edges]]], np.cumsum(counts) - counts)
            kept = cost[np.arange(len(rotors)), state[rotors]] <= cost.min(1) + TOLERANCE
            state[rotors] = np.where(kept, state[rotors], first_cheapest(cost))
        if np.array_equal(before, state):
            break


def _choose_together(state: np.ndarray, costs: RotorCosts, rank: np.ndarray, owner: np.ndarray) -> bool:
    """Let the two of each crystal that gain most move; whether any did."""
    if not len(costs.first):
        return False
    swap = rank[costs.first] > rank[costs.second]
    low, high = np.where(swap, costs.second, costs.first), np.where(swap, costs.first, costs.second)
    both = np.where(swap[:, None, None], costs.both.transpose(0, 2, 1), costs.both)
    cost, edges, n_states = costs.alone.copy(), np.arange(len(low)), costs.alone.shape[1]
    np.add.at(cost, low, both[edges, :, state[high]])
    np.add.at(cost, high, both[edges, state[low]])
    rest_low, rest_high = cost[low] - both[edges, :, state[high]], cost[high] - both[edges, state[low]]
    joint = (rest_low[:, :, None] + rest_high[:, None] + both).reshape(len(edges), n_states**2)
    gain = joint[edges, state[low] * n_states + state[high]] - joint.min(1)
    order = np.lexsort((rank[high], rank[low], -np.round(gain / TOLERANCE), owner[low]))
    best = order[np.unique(owner[low][order], return_index=True)[1]]
    best = best[gain[best] > 10 * TOLERANCE]
    state[low[best]], state[high[best]] = np.divmod(first_cheapest(joint[best]), n_states)
    return bool(len(best))

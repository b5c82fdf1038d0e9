"""Which state of each rotor, so that neither one nor two of them together can do better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from packflow.relax.rotor_costs import RotorCosts

# kcal/mol; differences below are rounding, and the state that comes first is taken
TOLERANCE = 1e-6
MAX_SWEEPS, MAX_PAIR_MOVES = 20, 10


def settle(costs: RotorCosts, fractional: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """States that neither another choice of one rotor nor of two that touch makes cheaper.

    Rotors choose in turn, again and again; then the two of each crystal that gain most by choosing together do. Once from what is cheapest
    beside atoms that do not turn, once from state 0; the cheaper result of each crystal is taken. The turns are by where a rotor lies in
    the cell, so that neither the order of the molecules nor the image of each matters.

    Args:
        costs: Of the rotors.
        fractional: Coordinates of their centers. [n_rotors, 3]
        owner: Crystal of each rotor. [n_rotors]

    Returns:
        [n_rotors] int64
    """
    turns, n_crystals = Turns.of(costs, fractional), int(owner.max()) + 1
    starts = first_cheapest(costs.alone), np.zeros(len(owner), dtype=np.int64)
    found = [_settle_from(state, turns, owner) for state in starts]
    totals = np.stack([total_costs(state, costs, owner, n_crystals) for state in found], 1)
    return np.where(first_cheapest(totals)[owner] == 0, *found)


def first_cheapest(cost: np.ndarray) -> np.ndarray:
    """The first entry of each row that is as cheap as any. [n, k] -> [n]"""
    return (cost <= cost.min(1, keepdims=True) + TOLERANCE).argmax(1)


def total_costs(state: np.ndarray, costs: RotorCosts, owner: np.ndarray, n_crystals: int) -> np.ndarray:
    """Cost of the rotors of each crystal in these states, kcal/mol. [n_crystals]"""
    alone = costs.alone[np.arange(len(state)), state]
    both = costs.both[np.arange(len(costs.first)), state[costs.first], state[costs.second]]
    return np.bincount(owner, alone, n_crystals) + np.bincount(owner[costs.first], both, n_crystals)


@dataclass(frozen=True)
class Turns:
    """Costs in the order in which rotors choose.

    alone:  [n_rotors, n_states] as in RotorCosts.
    rank:   [n_rotors] int64, place of each rotor in the order.
    low:    [n_edges] int64, of two rotors that touch the one of lower rank.
    high:   [n_edges] int64, the other.
    both:   [2 n_edges, n_states, n_states]; first by the states of low and high, then the same by those of high and low.
    levels: rotors that choose at the same time, as none of a level touches another of it; with their edges, rows of `both`, by rotor, the
            rotor at the other end of each, and the place of each rotor's first. Lower ranks choose first, as if one by one.
    """

    alone: np.ndarray
    rank: np.ndarray
    low: np.ndarray
    high: np.ndarray
    both: np.ndarray
    levels: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, costs: RotorCosts, fractional: np.ndarray) -> Turns:
        """By fractional coordinates of the rotors' centers. [n_rotors, 3]"""
        # smooth and periodic, and the same only for rotors in the same place
        key = np.cos(2 * np.pi * (fractional + np.array([0.123, 0.237, 0.391]))) @ np.array([1.0, 1.7, 2.3])
        rank = np.empty(len(key), dtype=np.int64)
        rank[np.argsort(key, kind="stable")] = np.arange(len(key))
        swap = rank[costs.first] > rank[costs.second]
        low, high = np.where(swap, costs.second, costs.first), np.where(swap, costs.first, costs.second)
        flipped = costs.both.transpose(0, 2, 1)
        both = np.concatenate([costs.both, flipped])
        both[: len(low)][swap], both[len(low) :][swap] = flipped[swap], costs.both[swap]
        return cls(costs.alone, rank, low, high, both, _levels(low, high, len(key)))


def _levels(low: np.ndarray, high: np.ndarray, n_rotors: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """As in Turns; rotors that touch no other are in none."""
    level, deeper = np.zeros(n_rotors, dtype=np.int64), True
    while deeper:
        found = level.copy()
        np.maximum.at(found, high, level[low] + 1)
        deeper, level = bool((found != level).any()), found
    begin, end = np.concatenate([low, high]), np.concatenate([high, low])
    order = np.lexsort((begin, level[begin]))
    levels = []
    for edges in np.split(order, np.searchsorted(level[begin][order], np.arange(1, int(level.max(initial=0)) + 1))):
        rotors, first = np.unique(begin[edges], return_index=True)
        levels.append((rotors, edges, end[edges], first))
    return levels


def _settle_from(state: np.ndarray, turns: Turns, owner: np.ndarray) -> np.ndarray:
    edges = np.arange(len(turns.low))
    for _ in range(MAX_PAIR_MOVES):
        if not len(edges):
            break
        _choose_in_turn(state, turns)
        moved = _choose_together(state, turns, owner, edges)
        edges = np.nonzero(np.isin(owner[turns.low], moved))[0]
    return state


def _choose_in_turn(state: np.ndarray, turns: Turns) -> None:
    """Each rotor takes its cheapest state beside the others', and keeps the one that it has if that is as cheap."""
    for _ in range(MAX_SWEEPS):
        before = state.copy()
        for rotors, edges, others, first in turns.levels:
            cost = turns.alone[rotors] + np.add.reduceat(turns.both[edges, :, state[others]], first)
            kept = cost[np.arange(len(rotors)), state[rotors]] <= cost.min(1) + TOLERANCE
            state[rotors] = np.where(kept, state[rotors], first_cheapest(cost))
        if np.array_equal(before, state):
            break


def _choose_together(state: np.ndarray, turns: Turns, owner: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Let the two of each crystal that gain most move, if any gain.

    Args:
        state: Of each rotor; changed in place. [n_rotors]
        turns: Of the rotors.
        owner: Crystal of each rotor. [n_rotors]
        edges: Rows of `turns.low` that are looked at, all of a crystal or none. [n]

    Returns:
        The crystals in which two rotors moved.
    """
    low, high = turns.low[edges], turns.high[edges]
    cost, n_states = turns.alone.copy(), turns.alone.shape[1]
    of_low, of_high = turns.both[edges, :, state[high]], turns.both[edges, state[low]]
    np.add.at(cost, low, of_low)
    np.add.at(cost, high, of_high)
    joint = turns.both[edges] + (cost[low] - of_low)[:, :, None]
    joint += (cost[high] - of_high)[:, None]
    joint = joint.reshape(len(edges), n_states**2)
    gain = joint[np.arange(len(edges)), state[low] * n_states + state[high]] - joint.min(1)
    order = np.lexsort((turns.rank[high], turns.rank[low], -np.round(gain / TOLERANCE), owner[low]))
    best = order[np.unique(owner[low][order], return_index=True)[1]]
    best = best[gain[best] > 10 * TOLERANCE]
    state[low[best]], state[high[best]] = np.divmod(first_cheapest(joint[best]), n_states)
    return owner[low[best]]

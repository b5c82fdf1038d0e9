"""Attention against distance and flow time, and what one atom looks at (paper, Fig. 3e-f)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from packflow.elements import SYMBOLS
from packflow.errors import InputError
from packflow.evaluate.attention import Attention, attention_of, mates
from packflow.evaluate.figures.spec import COLORS, GREY, Curve, Figure, Panel, Points
from packflow.model import PackFlow
from packflow.structure import Crystal

TIMES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.02)
# dark at the data, light at the noise
SHADES = ("#C6DBEF", "#9ECAE1", "#6BAED6", "#4292C6", "#2171B5", "#08306B")
# Å
BIN, FARTHEST = 0.25, 12.0
# pairs that a bin must have to be shown
FEWEST = 20
QUERY, MATE = "#D62728", "#009E73"
LAST = 0.02


def distance_figure(model: PackFlow, crystals: Sequence[Crystal], seed: int = 0, label: str = "") -> Figure:
    """Mean attention of pairs of atoms by their distance in the known crystal, at six flow times, within molecules and between them.

    Args:
        model: Network.
        crystals: Known ones; each pair of each counts the same. Distances are those of the coordinates that the network sees: within the
            cell, molecules whole.
        seed: Of the noise of each crystal.
        label: Of the network.

    Raises:
        InputError: no crystal has two atoms near enough.
    """
    edges = np.arange(0.0, FARTHEST + BIN, BIN)
    n_bins = len(edges) - 1
    # within a molecule, between molecules
    sums, counts = np.zeros((len(TIMES), 2 * n_bins)), np.zeros(2 * n_bins)
    for place, crystal in enumerate(crystals):
        distances, (i, j) = pair_distances(crystal)
        size = crystal.template.molecule.n_atoms
        bins = np.digitize(distances, edges) - 1 + n_bins * (i // size != j // size)
        near = distances < FARTHEST
        counts += np.bincount(bins[near], minlength=2 * n_bins)
        found = attention_of(model, crystal, TIMES, torch.Generator().manual_seed(seed + place))
        for row, attention in enumerate(found):
            sums[row] += np.bincount(bins[near], attention.relative.numpy()[i, j][near], minlength=2 * n_bins)
    if not counts.any():
        raise InputError(f"crystals must have pairs of atoms within {FARTHEST} Å, got none")
    halves = (("within a molecule", slice(0, n_bins)), ("between molecules", slice(n_bins, None)))
    panels = tuple(distance_panel(title, edges, sums[:, half], counts[half]) for title, half in halves)
    name = "Attention by distance and flow time" + (f", {label}" if label else "")
    return Figure("attention_distance", name, panels, height=4.0)


def distance_panel(title: str, edges: np.ndarray, sums: np.ndarray, counts: np.ndarray) -> Panel:
    """Mean attention of the pairs in each bin. sums: [n_times, n_bins]; counts: [n_bins]"""
    enough = counts >= FEWEST if counts.max() >= FEWEST else counts > 0
    x, means = (edges[:-1] + BIN / 2)[enough], sums[:, enough] / counts[enough]
    even = Curve(np.array([0.0, FARTHEST]), np.ones(2), "all alike", GREY, dashed=True, width=1.2)
    curves = [Curve(x, y, f"t = {t:g}", shade, width=2.0) for t, y, shade in zip(TIMES, means, SHADES, strict=True)]
    low, high = float(means.min(initial=1.0)), float(means.max(initial=1.0))
    heading = "attention (1: all atoms alike)"
    return Panel(title, "distance in the crystal (Å)", heading, (even, *curves), (0.0, FARTHEST), (low / 1.3, 1.3 * high), y_log=True)


def pair_distances(crystal: Crystal) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Å between all pairs of different atoms, both ways, and their rows and columns. [n_pairs]"""
    i, j = np.nonzero(~np.eye(crystal.template.n_atoms, dtype=bool))
    return np.linalg.norm(crystal.positions[i] - crystal.positions[j], axis=1), (i, j)


def atom_figure(model: PackFlow, crystal: Crystal, atom: int | None = None, seed: int = 0, name: str = "") -> Figure:
    """What one atom looks at just before the crystal is there: a picture, and by distance.

    Args:
        model: Network.
        crystal: Known one.
        atom: The one that looks, from 0; None for that of the first copy that looks most at the same atoms of other copies.
        seed: Of the noise.
        name: Of the crystal.

    Raises:
        InputError: the crystal has no such atom.
    """
    n_atoms = crystal.template.n_atoms
    if atom is not None and not 0 <= atom < n_atoms:
        raise InputError(f"attention-atom must be from 0 to {n_atoms - 1}, got {atom}")
    attention = attention_of(model, crystal, (LAST,), torch.Generator().manual_seed(seed))[0]
    query = most_at_mates(crystal, attention) if atom is None else atom
    panels = picture(crystal, attention, query), by_distance(crystal, attention, query)
    element = SYMBOLS[int(crystal.template.atomic_numbers[query])]
    title = f"What atom {query} ({element}) looks at, t = {LAST:g}" + (f"; {name}" if name else "")
    return Figure("attention_atom", title, panels, width=5.4, height=4.4)


def most_at_mates(crystal: Crystal, attention: Attention) -> int:
    """Atom of the first copy with the greatest mean attention to its mates; 0 where there is one copy."""
    if crystal.template.n_copies == 1:
        return 0
    relative = attention.relative
    means = [float(relative[atom, mates(crystal, atom)].mean()) for atom in range(crystal.template.molecule.n_atoms)]
    return int(np.argmax(means))


def picture(crystal: Crystal, attention: Attention, query: int) -> Panel:
    """The cell's molecules seen along the direction in which they are thinnest, colored by attention."""
    spread = np.linalg.svd(crystal.positions, full_matrices=False)[2]
    x, y = (crystal.positions @ spread.T)[:, :2].T
    i, j = crystal.template.bond_index[:, ::2]
    gaps = np.full(len(i), np.nan)
    bonds = Curve(np.stack([x[i], x[j], gaps], 1).ravel(), np.stack([y[i], y[j], gaps], 1).ravel(), color=GREY, width=1.6)
    corners = cell_edges(crystal) @ spread.T
    cell = Curve(corners[:, 0], corners[:, 1], color="#DDDDDD", width=0.8)
    others = np.array([k for k in range(len(x)) if k != query])
    values = np.log10(attention.relative.numpy()[query, others].clip(1e-3))
    names = [f"{SYMBOLS[int(crystal.template.atomic_numbers[k])]} {k}" for k in others]
    shown = Points(x[others], y[others], values=values, values_label="log10 of attention (0: all alike)", size=7, names=names, opacity=1.0)
    same = mates(crystal, query)
    rings = Points(x[same], y[same], "same atom of other copies", MATE, "ring", 12, opacity=1.0)
    star = Points(x[[query]], y[[query]], "atom that looks", QUERY, "star", 14, opacity=1.0)
    return Panel("seen in the cell", "", "", (cell, bonds, shown, rings, star), bare=True)


def cell_edges(crystal: Crystal) -> np.ndarray:
    """The twelve edges of the unit cell around the atoms, with gaps between them. [36, 3]"""
    ends = []
    for axis in range(3):
        for corner in range(4):
            start = np.insert(np.array([corner // 2, corner % 2], dtype=np.float64), axis, 0.0)
            stop = start.copy()
            stop[axis] = 1.0
            ends += [start - 0.5, stop - 0.5, np.full(3, np.nan)]
    return np.array(ends) @ crystal.cell


def by_distance(crystal: Crystal, attention: Attention, query: int) -> Panel:
    """Attention of one atom to all others, by distance."""
    size = crystal.template.molecule.n_atoms
    distance = np.linalg.norm(crystal.positions - crystal.positions[query], axis=1)
    weights = attention.relative.numpy()[query]
    own = [k for k in range(len(distance)) if k // size == query // size and k != query]
    same = mates(crystal, query)
    rest = [k for k in range(len(distance)) if k // size != query // size and k not in same]
    items = [
        Points(distance[own], weights[own], "own molecule", COLORS[0], size=7, opacity=0.9),
        Points(distance[rest], weights[rest], "other molecules", GREY, size=7, opacity=0.9),
        Points(distance[same], weights[same], "same atom of other copies", MATE, "ring", 10, opacity=1.0),
    ]
    top = 1.1 * float(np.delete(weights, query).max(initial=1.0))
    far = 1.05 * float(distance.max())
    even = Curve(np.array([0.0, far]), np.ones(2), "all alike", GREY, dashed=True, width=1.2)
    return Panel("by distance", "distance (Å)", "attention (1: all alike)", (even, *items), (0.0, far), (0.0, top))

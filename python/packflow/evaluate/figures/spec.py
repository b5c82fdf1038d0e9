"""What is in a figure, whoever draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

# of Okabe and Ito: told apart without seeing red or green
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#999933")
REFERENCE_COLOR = "#555555"
GREY = "#B0B0B0"
Marker = Literal["circle", "ring", "star", "diamond"]


@dataclass(frozen=True)
class Curve:
    """A line.

    x, y:      [n]; NaN interrupts it.
    label:     in the legend; "" for none.
    color:     of the line.
    filled:    the area below it is filled, faintly.
    dashed:    the line is.
    low, high: a band around it; None for none. [n]
    width:     of the line, points.
    """

    x: np.ndarray
    y: np.ndarray
    label: str = ""
    color: str = COLORS[0]
    filled: bool = False
    dashed: bool = False
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    width: float = 1.8


@dataclass(frozen=True)
class Points:
    """Marks.

    x, y:         [n]
    label:        in the legend; "" for none.
    color:        of all, unless there are values.
    marker:       "ring" is not filled.
    size:         diameter, points.
    names:        of each, shown by the HTML where the pointer is.
    values:       colored by, with a bar beside the panel; None for one color. [n]
    values_label: of that bar.
    opacity:      1 hides what is behind.
    """

    x: np.ndarray
    y: np.ndarray
    label: str = ""
    color: str = COLORS[0]
    marker: Marker = "circle"
    size: float = 5.0
    names: Sequence[str] = ()
    values: np.ndarray | None = None
    values_label: str = ""
    opacity: float = 0.8


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    title, x_label, y_label: with units in brackets.
    items:                   drawn one over the other.
    x_range, y_range:        None for what the items need.
    diagonal:                with the line x = y.
    bare:                    a picture: equal scales and no axes.
    y_log:                   logarithmic.
    x_whole:                 numbers on the axis are whole.
    """

    title: str
    x_label: str
    y_label: str
    items: tuple[Curve | Points, ...]
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    diagonal: bool = False
    bare: bool = False
    y_log: bool = False
    x_whole: bool = False


@dataclass(frozen=True)
class Figure:
    """Panels beside and below each other.

    name:      of the files.
    title:     over all panels.
    panels:    row by row.
    n_columns: panels of a row.
    width:     of a panel, inches.
    height:    likewise.
    """

    name: str
    title: str
    panels: tuple[Panel, ...]
    n_columns: int = 2
    width: float = 4.6
    height: float = 3.6

    @property
    def n_rows(self) -> int:
        """Rows of panels."""
        return -(-len(self.panels) // self.n_columns)


def engine_color(place: int) -> str:
    """Color of an engine by its place, the same in all figures."""
    return COLORS[place % len(COLORS)]


def distribution(values: np.ndarray, weights: np.ndarray, edges: np.ndarray, **about: object) -> Curve:
    """A histogram as the outline of its bars, its area one. values, weights: [n]; edges: [n_bins + 1]"""
    heights, _ = np.histogram(values, edges, weights=weights)
    heights = heights / max(float(heights.sum()), 1e-300) / np.diff(edges)
    x = np.repeat(edges, 2)
    y = np.concatenate([[0.0], np.repeat(heights, 2), [0.0]])
    return Curve(x, y, **about)  # type: ignore[arg-type]

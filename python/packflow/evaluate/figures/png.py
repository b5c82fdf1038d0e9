"""Figures as PNG, by matplotlib."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from packflow.evaluate.figures.spec import GREY, Curve, Figure, Panel, Points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

DPI = 160
MARKERS = {"circle": "o", "ring": "o", "star": "*", "diamond": "D"}
STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    with mpl.rc_context(STYLE):
        size = (figure.width * figure.n_columns, figure.height * figure.n_rows + 0.4)
        canvas = Canvas(figsize=size, dpi=DPI, layout="constrained")
        FigureCanvasAgg(canvas)
        axes = np.atleast_1d(canvas.subplots(figure.n_rows, figure.n_columns)).ravel()
        for place, panel in enumerate(figure.panels):
            draw_panel(canvas, axes[place], panel)
        for rest in axes[len(figure.panels) :]:
            rest.axis("off")
        canvas.suptitle(figure.title, fontsize=12)
        sink = io.BytesIO()
        canvas.savefig(sink, format="png")
    return sink.getvalue()


def draw_panel(canvas: Canvas, axes: Axes, panel: Panel) -> None:
    """Draw one pair of axes."""
    for item in panel.items:
        if isinstance(item, Curve):
            draw_curve(axes, item)
        else:
            draw_points(canvas, axes, item)
    axes.set_title(panel.title)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    if panel.x_range:
        axes.set_xlim(*panel.x_range)
    if panel.y_range:
        axes.set_ylim(*panel.y_range)
    if panel.diagonal:
        axes.axline((0, 0), slope=1, color=GREY, linewidth=1, zorder=0)
    if panel.bare:
        axes.set_aspect("equal")
        axes.axis("off")
    if any(item.label for item in panel.items):
        axes.legend()


def draw_curve(axes: Axes, curve: Curve) -> None:
    """A line, with its band or filled area."""
    style = "--" if curve.dashed else "-"
    axes.plot(curve.x, curve.y, style, color=curve.color, label=curve.label or None, linewidth=curve.width)
    if curve.filled:
        axes.fill_between(curve.x, curve.y, color=curve.color, alpha=0.18, linewidth=0)
    if curve.low is not None and curve.high is not None:
        axes.fill_between(curve.x, curve.low, curve.high, color=curve.color, alpha=0.15, linewidth=0)


def draw_points(canvas: Canvas, axes: Axes, points: Points) -> None:
    """Marks, with the bar of their colors."""
    ring = points.marker == "ring"
    color: Any = {"c": points.values, "cmap": "viridis"} if points.values is not None else {"color": points.color}
    if ring:
        color = {"facecolors": "none", "edgecolors": points.color}
    found = axes.scatter(
        points.x,
        points.y,
        s=points.size**2,
        marker=MARKERS[points.marker],
        label=points.label or None,
        alpha=points.opacity,
        linewidths=1.4 if ring else 0.0,
        zorder=4 if points.marker == "star" else 3,
        **color,
    )
    if points.values is not None and points.values_label:
        canvas.colorbar(found, ax=axes, label=points.values_label, fraction=0.045, pad=0.02)
    for x, y, text in zip(points.x, points.y, points.texts, strict=bool(points.texts)) if points.texts else ():
        axes.annotate(text, (x, y), xytext=(5, 5), textcoords="offset points", fontsize=9)

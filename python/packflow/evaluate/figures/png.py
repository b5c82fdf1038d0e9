"""Figures as PNG, by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from packflow.evaluate.figures.spec import GREY, Curve, Figure, Panel, Points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

DPI = 160
# entries of a legend in one line
MOST_BESIDE = 7
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
        size = (figure.width * figure.n_columns, figure.height * figure.n_rows + 0.7)
        canvas = Canvas(figsize=size, dpi=DPI, layout="constrained")
        FigureCanvasAgg(canvas)
        axes = np.atleast_1d(canvas.subplots(figure.n_rows, figure.n_columns)).ravel()
        for place, panel in enumerate(figure.panels):
            draw_panel(canvas, axes[place], panel)
        add_legend(canvas, list(axes[: len(figure.panels)]))
        for rest in axes[len(figure.panels) :]:
            rest.axis("off")
        canvas.suptitle(figure.title, fontsize=12)
        sink = io.BytesIO()
        canvas.savefig(sink, format="png")
    return sink.getvalue()


def draw_panel(canvas: Canvas, axes: Axes, panel: Panel) -> None:
    """Draw one pair of axes."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

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
    if panel.y_log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda y, _: f"{y:g}" if few_decades(panel) else ""))
    if panel.x_whole:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if panel.bare:
        axes.set_aspect("equal")
        axes.axis("off")


def few_decades(panel: Panel) -> bool:
    """Whether a logarithmic axis is so short that numbers between powers of ten are needed."""
    return panel.y_range is not None and panel.y_range[1] < 10 * panel.y_range[0]


def add_legend(canvas: Canvas, axes: Sequence[Axes]) -> None:
    """One legend for all panels: below them, where it covers nothing; in the panel where there is one."""
    entries = {label: handle for one in axes for handle, label in zip(*one.get_legend_handles_labels(), strict=True)}
    if not entries:
        return
    if len(axes) == 1:
        axes[0].legend()
    else:
        canvas.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=min(len(entries), MOST_BESIDE))


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

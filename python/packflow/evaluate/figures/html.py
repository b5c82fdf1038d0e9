"""Figures as HTML pages, by plotly; a folder of them shares one script and needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from packflow.evaluate.figures.spec import GREY, Curve, Figure, Panel, Points

PIXELS_PER_INCH = 105
SYMBOLS = {"circle": "circle", "ring": "circle-open", "star": "star", "diamond": "diamond"}


def write_html(figure: Figure, file: Path) -> None:
    """Write the page, and plotly's script beside it if it is not there."""
    from plotly.subplots import make_subplots

    titles = [panel.title for panel in figure.panels]
    page = make_subplots(figure.n_rows, figure.n_columns, subplot_titles=titles, horizontal_spacing=0.12, vertical_spacing=0.16)
    shown: set[str] = set()
    for place, panel in enumerate(figure.panels):
        row, column = place // figure.n_columns + 1, place % figure.n_columns + 1
        for trace in traces_of(panel, shown, place, figure):
            page.add_trace(trace, row, column)
        set_axes(page, panel, row, column)
    page.update_layout(
        title=figure.title,
        template="plotly_white",
        width=PIXELS_PER_INCH * figure.width * figure.n_columns + 160,
        height=PIXELS_PER_INCH * figure.height * figure.n_rows + 120,
    )
    page.write_html(file, include_plotlyjs="directory", full_html=True)


def traces_of(panel: Panel, shown: set[str], place: int, figure: Figure) -> list[dict[str, Any]]:
    """Plotly's traces of a panel; an entry of the legend is shown once, whatever panels have it."""
    traces: list[dict[str, Any]] = []
    for item in panel.items:
        first = bool(item.label) and item.label not in shown
        shown.add(item.label)
        about = {"type": "scatter", "name": item.label, "legendgroup": item.label, "showlegend": first}
        traces += curve_traces(item, about) if isinstance(item, Curve) else [points_trace(item, about, place, figure)]
    if panel.diagonal and panel.x_range:
        line = {"color": GREY, "width": 1}
        traces.append({"type": "scatter", "mode": "lines", "x": panel.x_range, "y": panel.x_range, "line": line, "showlegend": False})
    return traces


def curve_traces(curve: Curve, about: dict[str, Any]) -> list[dict[str, Any]]:
    """A line and its band."""
    line = {"color": curve.color, "width": curve.width + 0.2, "dash": "dash" if curve.dashed else "solid"}
    main = {**about, "mode": "lines", "x": curve.x, "y": curve.y, "line": line, "connectgaps": False}
    if curve.filled:
        main |= {"fill": "tozeroy", "fillcolor": faint(curve.color)}
    if curve.low is None or curve.high is None:
        return [main]
    around = {"x": np.concatenate([curve.x, curve.x[::-1]]), "y": np.concatenate([curve.high, curve.low[::-1]])}
    band = {
        **about,
        **around,
        "mode": "lines",
        "line": {"width": 0},
        "fill": "toself",
        "fillcolor": faint(curve.color),
        "hoverinfo": "skip",
    }
    return [{**band, "showlegend": False}, main]


def points_trace(points: Points, about: dict[str, Any], place: int, figure: Figure) -> dict[str, Any]:
    """Marks, with the bar of their colors beside their panel."""
    marker: dict[str, Any] = {"size": 1.4 * points.size, "symbol": SYMBOLS[points.marker], "opacity": points.opacity, "color": points.color}
    if points.values is not None:
        marker |= {"color": points.values, "colorscale": "Viridis"}
        if points.values_label:
            center = (place % figure.n_columns + 0.45) / figure.n_columns
            about_bar = {"orientation": "h", "x": center, "y": -0.08, "yanchor": "top", "len": 0.7 / figure.n_columns, "thickness": 14}
            marker |= {"showscale": True, "colorbar": {**about_bar, "title": {"text": points.values_label, "side": "bottom"}}}
    trace = {**about, "mode": "markers", "x": points.x, "y": points.y, "marker": marker}
    if points.names:
        trace |= {"text": list(points.names), "hovertemplate": "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>"}
    return trace


def set_axes(page: Any, panel: Panel, row: int, column: int) -> None:  # noqa: ANN401, plotly has no types
    """Labels and ranges of a panel."""
    page.update_xaxes(title_text=panel.x_label, range=panel.x_range, visible=not panel.bare, row=row, col=column)
    about = {"title_text": panel.y_label, "visible": not panel.bare, "type": "log" if panel.y_log else "linear"}
    y_range = np.log10(panel.y_range) if panel.y_range and panel.y_log else panel.y_range
    page.update_yaxes(**about, range=y_range, row=row, col=column)
    if panel.bare:
        page.update_yaxes(scaleanchor=page.get_subplot(row, column).xaxis.plotly_name.replace("axis", ""), row=row, col=column)


def faint(color: str) -> str:
    """A color that lets others shine through."""
    red, green, blue = (int(color[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"

"""Engines side by side: sample efficiency, base against aligned weights, the trade between energy and force (paper, Figs. E.1, H.1, 4d)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from packflow.errors import InputError
from packflow.evaluate.figures.spec import GREY, Curve, Figure, Marker, Panel, Points, engine_color
from packflow.evaluate.means import best_of_n, group_means
from packflow.evaluate.run import EngineResult

# metric, heading with unit
COMPARED = {
    "clash_percent": "atoms in clash (%)",
    "rdf_distance_short": "RDF distance, short (Å)",
    "density_error_percent": "density error (%)",
    "amd_distance": "AMD distance (Å)",
}


def efficiency_figure(results: Sequence[EngineResult]) -> Figure:
    """Expected least AMD distance among n proposals (E.1)."""
    curves, most = [], 1
    for place, result in enumerate(results):
        least = best_of_n(result.scores)
        most = max(most, len(least))
        curves.append(Curve(np.arange(1, len(least) + 1), least, result.engine.label, engine_color(place), width=2.0))
    panel = Panel(
        "", "proposals of a crystal", "expected best AMD distance (Å)", tuple(curves), (1 - 0.02 * most, most * 1.02), x_whole=True
    )
    return Figure("sample_efficiency", "Best of n proposals, mean over molecules", (panel,), n_columns=1, width=5.6, height=4.0)


def aligned_figure(base: EngineResult, aligned: EngineResult, place: int = 0) -> Figure:
    """Each molecule's means under two engines (H.1): below the line the second one is better."""
    panels = []
    for metric, heading in COMPARED.items():
        x, y, names = both(base, aligned, metric)
        top = 1.08 * float(max(x.max(initial=0), y.max(initial=0), 1e-6))
        points = Points(x, y, color=engine_color(place), size=6, names=names, opacity=0.75)
        lower = float((y < x).mean()) if len(x) else 0.0
        title = f"{heading.partition(' (')[0]}: lower for {100 * lower:.0f} %"
        labels = f"{heading}, {base.engine.label}", f"{heading}, {aligned.engine.label}"
        panels.append(Panel(title, *labels, (points,), (0, top), (0, top), diagonal=True))
    name = f"{base.engine.label}_against_{aligned.engine.label}"
    return Figure(name, f"{base.engine.label} and {aligned.engine.label}, a point for each molecule", tuple(panels), height=4.2)


def both(base: EngineResult, aligned: EngineResult, metric: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Means of the molecules that have the metric under both. [n], [n], SMILES"""
    molecules = list(dict.fromkeys(base.crystals["molecule"].to_pylist()))
    x, y = (group_means(numbers(result, metric), result.crystals["molecule"].to_pylist()) for result in (base, aligned))
    there = ~(np.isnan(x) | np.isnan(y))
    return x[there], y[there], [molecule for molecule, known in zip(molecules, there.tolist(), strict=True) if known]


def numbers(result: EngineResult, metric: str) -> np.ndarray:
    """A column of a row per crystal, NaN where missing."""
    return np.array([np.nan if value is None else value for value in result.crystals[metric].to_pylist()], dtype=np.float64)


def tradeoff_figure(results: Sequence[EngineResult]) -> Figure:
    """Energy and force of proposals of several engines, joined in the order of their share of energy (4d).

    Raises:
        InputError: no result has energies.
    """
    found = [(place, result) for place, result in enumerate(results) if known_energy(result)]
    if not found:
        raise InputError("results must have energies, got none: give --potential")
    points: list[Curve | Points] = []
    ordered = sorted((r.engine.energy_share, *position(r)) for _, r in found if r.engine.energy_share is not None)
    if len(ordered) > 1:
        _, x, y = np.array(ordered).T
        points.append(Curve(x, y, color=GREY, dashed=True, width=1.2))
    for place, result in found:
        share = result.engine.energy_share
        label = result.engine.label + ("" if share is None else f" (λ = {share:g})")
        x, y = (np.array([value]) for value in position(result))
        marker: Marker = "diamond" if share is None else "circle"
        points.append(Points(x, y, label, engine_color(place), marker, 9, [label], opacity=1.0))
    labels = "energy above the known crystal (eV per heavy atom)", "mean force (eV/Å)"
    x, y = np.array([position(result) for _, result in found]).T
    panel = Panel("", *labels, tuple(points), around(x), around(y))
    return Figure("energy_and_force", "Proposals before relaxation: medians, mean over molecules", (panel,), 1, 6.0, 4.4)


def around(values: np.ndarray) -> tuple[float, float]:
    """A range with room around."""
    low, high = float(values.min()), float(values.max())
    room = max(high - low, 0.1 * abs(high), 1e-3)
    return low - 0.2 * room, high + 0.2 * room


def known_energy(result: EngineResult) -> bool:
    """Whether a result has energies and forces."""
    energy, force = (result.mean(name) for name in ("energy_above_known", "force"))
    return bool(energy and force and energy.mean is not None and force.mean is not None)


def position(result: EngineResult) -> tuple[float, float]:
    """Energy and force of an engine that has them."""
    energy, force = (result.mean(name) for name in ("energy_above_known", "force"))
    assert energy is not None
    assert force is not None
    assert energy.mean is not None
    assert force.mean is not None
    return energy.mean, force.mean

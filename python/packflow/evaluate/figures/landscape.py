"""Energy against density before and after relaxation, with the measured form marked (paper, Fig. 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from packflow.errors import InputError
from packflow.evaluate.figures.spec import Curve, Figure, Panel, Points, engine_color
from packflow.evaluate.landscape import Landscape
from packflow.rank.lattice_energy import KJ_MOL_PER_EV

Above = Callable[[np.ndarray], np.ndarray]

STAR = "#D62728"
# kJ/mol above the best: nearly all polymorphs that are known lie so near (Nyman and Day, CrystEngComm 17, 5154, 2015)
NEAR = 10.0
# kJ/mol, of the logarithmic axis: unrelaxed crystals have energies over four powers of ten
LEAST = 1.0


def landscape_figure(landscapes: Sequence[Landscape], title: str = "") -> Figure:
    """Three panels: before relaxation, after it, and the lowest energies of the latter.

    Args:
        landscapes: Of one molecule and potential; their energies are all taken above the lowest of them and of the measured forms.
        title: Of the molecule.

    Raises:
        InputError: there are none.
    """
    if not landscapes:
        raise InputError("landscapes must be given, got none")
    lowest = min(float(np.concatenate([one.energy, one.known_energy]).min()) for one in landscapes)

    def above(energy: np.ndarray) -> np.ndarray:
        return (energy - lowest) * KJ_MOL_PER_EV

    before, after = ([points_of(one, place, above, relaxed) for place, one in enumerate(landscapes)] for relaxed in (False, True))
    on_log, star = ([measured(landscapes[0], above, least)] if landscapes[0].known else [] for least in (1.2 * LEAST, 0.0))
    density = np.concatenate([np.concatenate([one.density_before, one.density, one.known_density]) for one in landscapes])
    x_range = padded(density)
    highest = max(float(np.nanmax(above(one.energy_before), initial=LEAST)) for one in landscapes)
    labels = "density (g/cm³)", "energy above the lowest (kJ/mol)"
    panels = (
        Panel("before relaxation", *labels, (*before, *on_log), x_range, (LEAST, 2 * highest), y_log=True),
        Panel("after relaxation", *labels, (*after, *star), x_range),
        Panel(f"within {NEAR:g} kJ/mol", *labels, (*after, *star), near_range(landscapes, above), (-0.05 * NEAR, NEAR)),
    )
    return Figure("landscape", "Energy and density of predicted crystals" + (f": {title}" if title else ""), panels, 3, 4.2, 3.8)


def points_of(one: Landscape, place: int, above: Above, relaxed: bool) -> Curve | Points:
    """The proposals of one engine."""
    x, energy = (one.density, one.energy) if relaxed else (one.density_before, one.energy_before)
    return Points(x, above(energy), one.label, engine_color(place), names=one.names, size=5, opacity=0.65)


def measured(one: Landscape, above: Above, least: float) -> Points:
    """The known forms, relaxed; none is drawn below `least` kJ/mol, which a logarithmic axis needs of the lowest."""
    height = np.maximum(above(one.known_energy), least)
    return Points(one.known_density, height, "measured form, relaxed", STAR, "star", 15, names=one.known, opacity=1.0)


def padded(values: np.ndarray) -> tuple[float, float]:
    """A range with room at both ends."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = 0.06 * max(high - low, 0.05)
    return low - room, high + room


def near_range(landscapes: Sequence[Landscape], above: Above) -> tuple[float, float]:
    """Densities of those with low energies."""
    pairs = [pair for one in landscapes for pair in ((one.density, one.energy), (one.known_density, one.known_energy))]
    return padded(np.concatenate([density[above(energy) < NEAR] for density, energy in pairs]))

"""Bond lengths and angles, lattice lengths and angles: generated against known crystals (paper, Fig. 3a-d)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import gemmi
import numpy as np

from packflow.errors import InputError
from packflow.evaluate.figures.spec import REFERENCE_COLOR, Figure, Panel, distribution, engine_color
from packflow.structure import Crystal, Template

# values of known crystals for which bins may be narrow
MANY = 2000
# what is compared: unit, edges of narrow and of wide bins; 90, 120 and 180 degrees lie in the middle of a bin
SHOWN = {
    "bond lengths": ("Å", np.linspace(1.0, 2.1, 111), np.linspace(1.0, 2.1, 45)),
    "bond angles": ("degree", np.linspace(79.5, 180.5, 102), np.linspace(79.0, 181.0, 52)),
    "lattice lengths": ("Å", np.linspace(2.0, 32.0, 61), np.linspace(2.0, 32.0, 21)),
    "lattice angles": ("degree", np.linspace(47.5, 132.5, 86), np.linspace(48.0, 132.0, 22)),
}


def geometry_figure(known: Sequence[Sequence[Crystal]], generated: Mapping[str, Sequence[Sequence[Crystal]]]) -> Figure:
    """The distributions over a test set. A template has the same weight for an engine as in the known crystals, however many it has.

    Args:
        known: Crystals of each template.
        generated: By engine, proposals of each template.

    Raises:
        InputError: there are no crystals at all.
    """
    if not any(known):
        raise InputError("known must hold at least one crystal, got none")
    panels = []
    values_of: dict[str, Callable[[Crystal], np.ndarray]] = {
        "bond lengths": bond_lengths,
        "bond angles": bond_angles,
        "lattice lengths": lambda crystal: niggli_lattice(crystal.lattice)[:3],
        "lattice angles": lambda crystal: niggli_lattice(crystal.lattice)[3:],
    }
    for what, (unit, narrow, wide) in SHOWN.items():
        values, weights = weighted(known, values_of[what])
        edges = narrow if len(values) > MANY else wide
        items = [distribution(values, weights, edges, label="known crystals", color=REFERENCE_COLOR, filled=True, width=1.2)]
        for place, (label, crystals) in enumerate(generated.items()):
            items.append(distribution(*weighted(crystals, values_of[what]), edges, label=label, color=engine_color(place)))
        panels.append(
            Panel(
                what,
                f"{what.removesuffix('s')} ({unit if unit == 'Å' else 'degrees'})",
                f"density (1/{unit})",
                tuple(items),
                (float(edges[0]), float(edges[-1])),
            )
        )
    return Figure("geometry", "Geometry of generated and known crystals", tuple(panels))


def weighted(templates: Sequence[Sequence[Crystal]], values_of: Callable[[Crystal], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Values of all crystals, and a weight of each: one over the number of crystals of its template. [n], [n]"""
    values, weights = [np.zeros(0)], [np.zeros(0)]
    for crystals in templates:
        found = np.concatenate([np.zeros(0), *(values_of(crystal) for crystal in crystals)])
        values.append(found)
        weights.append(np.full(len(found), 1 / max(len(crystals), 1)))
    return np.concatenate(values), np.concatenate(weights)


def bond_lengths(crystal: Crystal) -> np.ndarray:
    """Å, of each bond once; molecules are whole. [n_bonds]"""
    i, j = crystal.template.bond_index[:, ::2]
    return np.linalg.norm(crystal.positions[i] - crystal.positions[j], axis=1)


def bond_angles(crystal: Crystal) -> np.ndarray:
    """Degrees, at each atom between each two of its bonds. [n_angles]"""
    center, one, other = angle_atoms(crystal.template).T
    a, b = crystal.positions[one] - crystal.positions[center], crystal.positions[other] - crystal.positions[center]
    cosine = (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)
    return np.degrees(np.arccos(cosine.clip(-1, 1)))


def angle_atoms(template: Template) -> np.ndarray:
    """Center and ends of each angle. [n_angles, 3] int64"""
    partners: dict[int, list[int]] = {}
    for i, j in template.bond_index.T.tolist():
        partners.setdefault(i, []).append(j)
    angles = [(center, one, other) for center, ends in partners.items() for one, other in combinations(ends, 2)]
    return np.array(angles, dtype=np.int64).reshape(-1, 3)


def niggli_lattice(lattice: np.ndarray) -> np.ndarray:
    """The Niggli-reduced cell of the same lattice, Å and degrees, so that settings do not count. [6]"""
    vector = gemmi.GruberVector(gemmi.UnitCell(*lattice), None)
    vector.niggli_reduce()
    return np.array(vector.get_cell().parameters)

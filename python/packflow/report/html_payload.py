"""A report page as the two texts that its scripts read: JSON, and coordinates in base64."""

from __future__ import annotations

import base64
import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from packflow.errors import InputError
from packflow.flow.validity import kinds_of
from packflow.report.molecule_drawing import atoms_and_bonds, drawing
from packflow.report.page import REJECTED, STATUSES, Listed, Overlay, Page, Reference
from packflow.report.ranking import kind_of_reason
from packflow.structure.full import full_mol
from packflow.structure.lattice import volume

LATTICE = ("a", "b", "c", "alpha", "beta", "gamma")
# of a listed proposal: numbers with units as the page states them, and texts
NUMBERS = (
    "rank",
    "relative_energy",  # kJ/mol, above the best of the molecule
    "lattice_energy",  # kJ/mol
    "energy",  # eV per molecule
    "density",  # g/cm3
    "volume",  # Å3 per molecule
    "clash",  # percent of the atoms, as sampled
    "z_prime",
    "n_duplicates",
    "n_matched",
    "rmsd",  # Å
    "energy_above_known",  # kJ/mol
    "n_steps",
    "index",
    "seed",
    "attempt",
)
TEXTS = ("space_group", "known", "duplicate_of", "converged")
COLUMNS = (*NUMBERS, *TEXTS)
# names that are listed of each reason for a rejection
EXAMPLES = 200
# digits behind the point; lattice parameters are those of a CIF file
DIGITS = 6


def payload(page: Page, max_listed: int) -> tuple[str, str]:
    """What a page's scripts read.

    Args:
        page: All that is to be shown.
        max_listed: Proposals that are listed, the best first; the others are only counted.

    Returns:
        JSON without "<", and base64 of float32 coordinates, 16 characters for each atom, so that each structure can be decoded alone.
    """
    molecules = list(dict.fromkeys(row.smiles for row in page.listed))
    listed = best_first(page.listed, molecules)[:max_listed]
    unusable = {smiles: reason for smiles in molecules if (reason := problem_of(smiles))}
    columns, coordinates = columns_of(listed, molecules, unusable)
    references = [reference_of(one, molecules) for one in page.references]
    data = {
        "title": page.facts.title,
        "n_planned": page.facts.n_planned,
        "n_proposals": len(page.listed),
        "n_listed": len(listed),
        "settings": page.facts.settings,
        "problems": page.facts.problems,
        "warnings": page.facts.warnings,
        "statuses": STATUSES,
        "molecules": molecules_of(page, molecules, unusable),
        "columns": columns,
        "rejected": rejected(page, molecules),
        "references": references,
        "overlays": {overlay.name: overlay_of(overlay) for overlay in page.overlays},
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    # inside a script element, nothing else can end it or begin a comment
    return text.replace("<", "\\u003c"), base64.b64encode(coordinates).decode()


def best_first(listed: Sequence[Listed], molecules: Sequence[str]) -> list[Listed]:
    """By status, then by the place within the molecule, then molecule by molecule, so that the first N hold the best of each."""
    place = {smiles: k for k, smiles in enumerate(molecules)}

    def within(row: Listed) -> tuple[int, float, float, int]:
        last = math.inf
        return (
            STATUSES.index(row.status),
            float(row.values.get("rank", last)),
            float(row.values.get("relative_energy", last)),
            place[row.smiles],
        )

    return sorted(listed, key=within)


def problem_of(smiles: str) -> str:
    """Why a molecule cannot be drawn, empty if it can."""
    try:
        drawing(smiles)
    except InputError as error:
        return str(error)
    return ""


def columns_of(listed: Sequence[Listed], molecules: Sequence[str], unusable: Mapping[str, str]) -> tuple[dict[str, list[Any]], bytes]:
    """Columns of the listed proposals, and the coordinates that `first_atom` points into."""
    place = {smiles: k for k, smiles in enumerate(molecules)}
    columns: dict[str, list[Any]] = defaultdict(list)
    coordinates, n_atoms = [], 0
    for row, space in zip(listed, volumes_of(listed), strict=True):
        reason = unusable.get(row.smiles) or not_shown(row, space)
        columns["name"].append(row.name)
        columns["molecule"].append(place[row.smiles])
        columns["status"].append(STATUSES.index(row.status))
        columns["n_copies"].append(row.n_copies)
        columns["reason"].append(row.reason)
        columns["not_shown"].append(reason)
        columns["hydrogens"].append(row.hydrogens)
        columns["first_atom"].append(None if reason else n_atoms)
        for name in COLUMNS:
            columns[name].append(plain(row.values.get(name)))
        for name, x in zip(LATTICE, row.lattice or (None,) * 6, strict=True):
            columns[name].append(plain(x))
        if not reason and row.positions is not None:
            coordinates.append(row.positions.astype("<f4").tobytes())
            n_atoms += len(row.positions)
    return dict(columns), b"".join(coordinates)


def volumes_of(listed: Sequence[Listed]) -> list[float]:
    """Volumes of the cells in Å3, of all at once; NaN without one."""
    lattices = [row.lattice or (math.nan,) * 6 for row in listed]
    return list(volume(torch.tensor(lattices, dtype=torch.float64).reshape(-1, 6)).tolist())


def not_shown(row: Listed, space: float) -> str:
    """Why a structure cannot be shown, empty if it can. space: volume of its cell, Å3"""
    if row.positions is None or row.lattice is None:
        return "it has no coordinates"
    mol = full_mol(row.smiles)
    n_atoms = row.n_copies * (mol.GetNumAtoms() if row.hydrogens else mol.GetNumHeavyAtoms())
    if row.positions.shape != (n_atoms, 3):
        return f"it has {len(row.positions)} atoms, its molecules have {n_atoms}"
    if not np.isfinite(row.positions).all():
        return "some of its atoms have no coordinates"
    if not (np.isfinite(row.lattice).all() and space > 1.0):
        return "its cell has no volume"
    return ""


def plain(x: float | int | str | bool | None) -> float | int | str | bool | None:
    """A value as JSON has it: what is not finite is missing."""
    if isinstance(x, float):
        return round(x, DIGITS) if math.isfinite(x) else None
    return x


def molecules_of(page: Page, molecules: Sequence[str], unusable: Mapping[str, str]) -> list[dict[str, Any]]:
    """Molecules: what each is called, its atoms, and what became of its proposals."""
    statuses = Counter((row.smiles, row.status) for row in page.listed)
    converged = Counter(row.smiles for row in page.listed if row.values.get("converged") == "yes")
    nothing: dict[str, Any] = {"elements": [], "n_heavy": 0, "bonds": [], "drawing": None}
    return [
        {
            "smiles": smiles,
            "name": page.facts.names.get(smiles, smiles),
            **(nothing if smiles in unusable else {**atoms_and_bonds(smiles), "drawing": drawing(smiles)}),
            "counts": {status: statuses[smiles, status] for status in STATUSES},
            "n_converged": converged[smiles],
        }
        for smiles in molecules
    ]


def rejected(page: Page, molecules: Sequence[str]) -> list[dict[str, Any]]:
    """Why proposals were rejected, the most frequent reason first, with the names and full reasons of some."""
    place = {smiles: k for k, smiles in enumerate(molecules)}
    groups: dict[tuple[str, str, str], list[Listed]] = defaultdict(list)
    for row in page.listed:
        if row.status in REJECTED:
            groups[row.smiles, REJECTED[row.status], reason_kind(row)].append(row)
    found = [
        {
            "molecule": place[smiles],
            "stage": stage,
            "reason": reason,
            "n": len(rows),
            "examples": [[row.name, row.reason] for row in rows[:EXAMPLES]],
        }
        for (smiles, stage, reason), rows in groups.items()
    ]
    for (smiles, reason), n in page.facts.replaced.items():
        found.append({"molecule": place[smiles], "stage": "replaced by a fresh sample", "reason": reason, "n": n, "examples": []})
    return sorted(found, key=lambda group: (-group["n"], group["stage"], group["reason"]))


def reason_kind(row: Listed) -> str:
    """A reason without its numbers: kinds of flags; of a relaxation the stage that failed, and how."""
    if row.status == "implausible":
        return ", ".join(kinds_of(row.reason))
    stage, _, rest = row.reason.partition(": ")
    return f"{stage}: {kind_of_reason(rest)}" if row.status == "failed" and rest else kind_of_reason(row.reason)


def reference_of(one: Reference, molecules: Sequence[str]) -> dict[str, Any]:
    """A reference as the page has it."""
    return {
        "name": one.name,
        "molecule": molecules.index(one.smiles),
        "n_copies": one.n_copies,
        "density": round(one.density, DIGITS),
        "cell": np.round(one.cell, DIGITS).tolist(),
        "positions": np.round(one.positions.astype(np.float64).ravel(), 4).tolist(),
    }


def overlay_of(overlay: Overlay) -> dict[str, Any]:
    """An overlay as the page has it."""
    return {
        "reference": overlay.reference,
        "n_matched": overlay.n_matched,
        "rmsd": plain(overlay.rmsd),
        "rotation": np.round(overlay.rotation.ravel(), 9).tolist(),
        "shift": np.round(overlay.shift, DIGITS).tolist(),
        "cluster": overlay.cluster.tolist(),
    }

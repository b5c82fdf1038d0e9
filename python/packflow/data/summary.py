"""A dataset in one page of Markdown: what came in, what was refused and why, and how what is kept is distributed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import gemmi
import numpy as np

from packflow.data.split import SPLITS
from packflow.elements import MASSES, SYMBOLS
from packflow.structure import Crystal
from packflow.structure.atoms import HYDROGENS

# g/cm3 of one amu/Å3
GRAM_PER_CM3 = 1.660539
# heavy atoms per cell and g/cm3 in one row of a table
ATOMS_STEP, DENSITY_STEP = 25, 0.1
# rows of a table before the rest is summed up
MOST = 25

Row = Sequence[object]


@dataclass(frozen=True)
class Report:
    """Counts of a preparation.

    n_files:     that were read.
    n_crystals:  written, per split.
    n_molecules: of these, per split.
    rejected:    structures per reason.
    missing:     names of the split lists, per split, that no written crystal has.
    """

    n_files: int
    n_crystals: Counter[str]
    n_molecules: Counter[str]
    rejected: Counter[str]
    missing: Counter[str] = field(default_factory=Counter)


def summary_text(
    report: Report,
    crystals: Sequence[Crystal],
    columns: Mapping[str, Sequence[Any]],
    families: Sequence[str],
    settings: Mapping[str, object],
) -> str:
    """The page; the same for the same dataset, so that it can be compared as a file.

    Args:
        report: What was counted.
        crystals: Of the dataset, n of them.
        columns: Columns of its table, `split`, `space_group` and `z_prime` among them, each [n].
        families: Of each crystal. [n]
        settings: How the crystals were chosen.
    """
    smiles = [c.template.molecule.smiles for c in crystals]
    counted = Counts(smiles)
    atoms = [c.template.n_atoms for c in crystals]
    densities = [density(c) for c in crystals]
    quantities: dict[str, Sequence[float]] = {
        "heavy atoms per cell": atoms,
        "heavy atoms per molecule": [c.template.molecule.n_atoms for c in crystals],
        "density, g/cm3": densities,
        "crystals per molecule": list(Counter(smiles).values()),
    }
    notes = [(key.capitalize(), key) for key in ("kind", "licence") if any(columns.get(key, ()))]
    parts = [
        f"# Dataset made of {settings.get('source', '')}",
        f"{report.n_files} files gave {len(crystals)} crystals of {len(set(smiles))} molecules in {len(set(families))} families; "
        f"{sum(report.rejected.values())} structures were rejected.",
        *section("Splits", split_rows(report, columns["split"], families), ("split", "crystals", "molecules", "families")),
        *shared_families(columns["split"], families),
        *section("Rejected", report.rejected.most_common(), ("reason", "structures")),
        *section("Quantities", quantile_rows(quantities), ("", "least", "5 %", "median", "mean", "95 %", "most")),
        *counted.section("Space group", columns["space_group"], space_group_name),
        *counted.section("Z (molecules per cell)", [c.template.n_copies for c in crystals]),
        *counted.section("Z' (molecules per asymmetric unit)", [z_prime_name(z) for z in columns["z_prime"]]),
        *counted.section("Heavy atoms per cell", [n // ATOMS_STEP for n in atoms], bin_name(ATOMS_STEP), in_order=True),
        *counted.section("Density, g/cm3", [round(d / DENSITY_STEP) for d in densities], near_name(DENSITY_STEP), in_order=True),
        *(part for title, key in notes for part in counted.section(title, [note or "not stated" for note in columns[key]])),
        *section("Settings", [(key, value) for key, value in settings.items()], ("name", "value")),
    ]
    return "\n\n".join(parts) + "\n"


class Counts:
    """Tables of how many crystals and molecules have which value."""

    def __init__(self, smiles: Sequence[str]) -> None:
        """Count crystals of these molecules, one for each crystal."""
        self.smiles = smiles

    def section(self, title: str, values: Sequence[Any], name: Callable[[Any], str] = str, in_order: bool = False) -> list[str]:
        """Heading and table of one value per crystal, the most frequent or (in_order) the least value first."""
        n_crystals = Counter(values)
        n_molecules = Counter(value for value, _ in set(zip(values, self.smiles, strict=True)))
        by_count = sorted(n_crystals, key=lambda value: (-n_crystals[value], str(value)))
        shown = sorted(by_count) if in_order else by_count[:MOST]
        rows: list[Row] = [(name(v), n_crystals[v], percent(n_crystals[v], len(values)), n_molecules[v]) for v in shown]
        left = sum(n_crystals[value] for value in by_count) - sum(n_crystals[value] for value in shown)
        if left:
            rows.append((f"{len(by_count) - len(shown)} others", left, percent(left, len(values)), ""))
        return section(title, rows, ("", "crystals", "share", "molecules"))


def section(title: str, rows: Iterable[Row], header: Sequence[str]) -> list[str]:
    """Heading and table, or nothing without rows."""
    lines = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    rule = "|" + "|".join([" --- "] + [" ---: "] * (len(header) - 1)) + "|"
    return [f"## {title}", "\n".join(["| " + " | ".join(header) + " |", rule, *lines])] if lines else []


def split_rows(report: Report, splits: Sequence[str], families: Sequence[str]) -> list[Row]:
    """Counts of each split that has crystals."""
    n_families = Counter(split for split, _ in set(zip(splits, families, strict=True)))
    rows: list[Row] = [(s, report.n_crystals[s], report.n_molecules[s], n_families[s]) for s in SPLITS if report.n_crystals[s]]
    return rows + [(f"listed for {s}, not found", report.missing[s], "", "") for s in SPLITS if report.missing[s]]


def shared_families(splits: Sequence[str], families: Sequence[str]) -> list[str]:
    """A warning, where lists put members of a family in several splits."""
    n_splits = Counter(family for _, family in set(zip(splits, families, strict=True)))
    shared = sum(n > 1 for n in n_splits.values())
    return [f"**Families in more than one split: {shared}**, because the split lists say so."] if shared else []


def quantile_rows(quantities: Mapping[str, Sequence[float]]) -> list[Row]:
    """Least, 5 %, median, mean, 95 % and most of each quantity."""
    rows: list[Row] = []
    for name, values in quantities.items():
        least, low, median, high, most = np.quantile(values, [0, 0.05, 0.5, 0.95, 1]).tolist()
        rows.append((name, *(f"{value:.4g}" for value in (least, low, median, float(np.mean(values)), high, most))))
    return rows


def density(crystal: Crystal) -> float:
    """Of the crystal with its hydrogens, g/cm3."""
    template = crystal.template
    mass = sum(MASSES[SYMBOLS[z]] for z in template.atomic_numbers.tolist())
    mass += MASSES["H"] * int(template.atom_features[:, HYDROGENS].sum())
    return float(GRAM_PER_CM3 * mass / abs(np.linalg.det(crystal.cell)))


def percent(part: int, whole: int) -> str:
    """Share in percent."""
    return f"{100 * part / whole:.1f} %"


def space_group_name(number: int) -> str:
    """Number and symbol of the standard setting."""
    return f"{number} {gemmi.find_spacegroup_by_number(int(number)).short_name()}" if number else "unknown"


def z_prime_name(z_prime: float) -> str:
    """As it is written, halves and thirds included."""
    return "unknown" if math.isnan(z_prime) else str(Fraction(z_prime).limit_denominator(192))


def bin_name(step: int) -> Callable[[int], str]:
    """Name of a bin of whole numbers."""
    return lambda index: f"{index * step} to {(index + 1) * step - 1}"


def near_name(step: float) -> Callable[[int], str]:
    """Name of a bin around a multiple of the step."""
    return lambda index: f"{index * step:.1f}"

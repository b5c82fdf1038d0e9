"""Which proposals are plausible crystals: cell, clashes, bonds and density against limits, with the reason where one is not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from packflow.errors import InputError
from packflow.metrics.bonds import bonds_valid_percent_of_good
from packflow.metrics.clash import clash_percent_of_good
from packflow.metrics.density import density_of_good
from packflow.metrics.validity import ANGLE_RANGE, MIN_LENGTH, VOLUME_RANGE, over, problems, volume
from packflow.structure import AtomsBatch, Crystal
from packflow.structure.lattice import lattice_from_cell

# between the reasons of one flag; a reason begins with its kind and a colon
SEPARATOR = "; "
N_NUMBERS = 7


@dataclass(frozen=True)
class Limits:
    """Beyond which a proposal is flagged. The defaults pass 99.9 % of 28,598 open crystals, see docs/sampling.md.

    Attributes:
        max_clash: most percent of the atoms in clash, see `packflow.metrics.clash_percent`.
        min_bonds_valid: least percent of the bonds with the length of bonds, see `packflow.metrics.bonds_valid_percent`.
        min_density: g/cm3, with hydrogens.
        max_density: g/cm3, with hydrogens.
    """

    max_clash: float = 5.0
    min_bonds_valid: float = 100.0
    min_density: float = 0.7
    max_density: float = 3.0

    def __post_init__(self) -> None:
        """Refuse what is no percentage and no density, or would flag everything."""
        for name in ("max_clash", "min_bonds_valid"):
            if not 0 <= getattr(self, name) <= 100:
                raise InputError(f"{name} must be a percentage from 0 to 100, got {getattr(self, name)}")
        for name in ("min_density", "max_density"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} must be a finite number of g/cm3, 0 or more, got {getattr(self, name)}")
        if self.min_density >= self.max_density:
            raise InputError(f"min_density must be below max_density, got {self.min_density} and {self.max_density} g/cm3")


def flags_of(crystals: Sequence[Crystal], limits: Limits) -> list[str]:
    """Why each crystal is implausible.

    Its kinds of reason are "cell" (not that of a molecular crystal, see `packflow.metrics.valid_cell`), "clash", "bonds" and "density".

    Args:
        crystals: Any values.
        limits: Beyond them a crystal is flagged.

    Returns:
        Reasons of each, as "clash: 12.5 % of the atoms, above 5 %; density: 3.2 g/cm3, outside 0.7 to 3"; empty for a plausible one.
    """
    if not crystals:
        return []
    atoms = AtomsBatch.from_crystals(crystals)
    found = problems(atoms)
    fine = torch.tensor([not problem for problem in found])
    numbers = over(atoms, fine, numbers_of_good, N_NUMBERS).tolist()
    return [f"cell: {problem}" if problem else SEPARATOR.join(reasons(x, limits)) for problem, x in zip(found, numbers, strict=True)]


def numbers_of_good(atoms: AtomsBatch) -> Tensor:
    """What `reasons` looks at, of structures that have metrics. [n_structures, N_NUMBERS] float64"""
    lengths, angles = lattice_from_cell(atoms.cell).split(3, 1)
    cell = [volume(atoms) / atoms.sizes, lengths.amin(1), angles.amin(1), angles.amax(1)]
    return torch.stack([*cell, clash_percent_of_good(atoms), bonds_valid_percent_of_good(atoms), density_of_good(atoms)], 1)


def reasons(numbers: Sequence[float], limits: Limits) -> list[str]:
    """What is wrong with a crystal.

    Args:
        numbers: Å3 per atom, shortest axis (Å), smallest and largest angle (degrees), atoms in clash (%), valid bonds (%), density (g/cm3).
        limits: Beyond them there is a reason.
    """
    per_atom, axis, narrow, wide, clash, bonds, dense = numbers
    least, most = VOLUME_RANGE
    tests = (
        (least <= per_atom <= most, f"cell: {per_atom:.4g} Å3 per atom, outside {least:g} to {most:g}"),
        (axis >= MIN_LENGTH, f"cell: an axis of {axis:.4g} Å, below {MIN_LENGTH:g}"),
        (narrow >= ANGLE_RANGE[0], f"cell: an angle of {narrow:.4g} degrees, below {ANGLE_RANGE[0]:g}"),
        (wide <= ANGLE_RANGE[1], f"cell: an angle of {wide:.4g} degrees, above {ANGLE_RANGE[1]:g}"),
        (clash <= limits.max_clash, f"clash: {clash:.4g} % of the atoms, above {limits.max_clash:g}"),
        (bonds >= limits.min_bonds_valid, f"bonds: {bonds:.4g} % valid, below {limits.min_bonds_valid:g}"),
        (
            limits.min_density <= dense <= limits.max_density,
            f"density: {dense:.4g} g/cm3, outside {limits.min_density:g} to {limits.max_density:g}",
        ),
    )
    return [reason for passed, reason in tests if not passed]


def kinds_of(flag: str) -> list[str]:
    """Kinds of the reasons of a flag, each once, as ["clash", "density"]; of a problem, such as "not finite", that itself."""
    return list(dict.fromkeys(reason.split(":")[0] for reason in flag.split(SEPARATOR) if reason))

"""Rewards of sampled crystals: energy and mean force norm through any potential (paper, eqs. 10 and 11), and geometry beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from packflow.elements import MASSES
from packflow.errors import InputError
from packflow.metrics.bonds import bonds_valid_percent
from packflow.metrics.clash import clash_percent
from packflow.metrics.density import GRAM_PER_CM3, density
from packflow.potential.interface import Potential
from packflow.structure import AtomsBatch, Crystal
from packflow.structure.full import full_mol
from packflow.structure.packing_volume import packing_volume
from packflow.train.crowding import crowding
from packflow.train.scores import Hydrogens, scores_of

Channel = Literal["energy", "force", "clash", "bonds", "density", "duplicates"]


@dataclass(frozen=True)
class Rewards:
    """What a set of crystals is worth, higher is better.

    values:   [n_crystals, n_channels] float64, on the CPU; a row of NaN where a crystal has a problem.
    channels: names of the columns.
    problems: [n_crystals], why there are no rewards; empty where there are.
    """

    values: Tensor
    channels: tuple[Channel, ...]
    problems: list[str]


def rewards_of(
    crystals: Sequence[Crystal],
    potential: Potential,
    channels: Sequence[Channel] = ("energy", "force"),
    hydrogens: Hydrogens = "riding",
    densities: Sequence[float] | None = None,
    groups: Sequence[int] | None = None,
) -> Rewards:
    """Rewards of crystals, all of them together.

    Args:
        crystals: Any values.
        potential: Gives energies and forces; not asked if no channel needs it.
        channels: "energy" is minus eV per heavy atom, "force" minus the mean norm in eV/Å, "clash" minus the percentage of atoms in
            clash, "bonds" the percentage of valid bonds, "density" minus the distance from `densities` in g/cm3, "duplicates" minus how
            crowded a crystal is among the others of its group, see `packflow.train.crowding.crowding`.
        hydrogens: "riding" places them by their bonds and lets them carry their force to their heavy atom; "relaxed" turns and relaxes them
            before, which is what the others stand for and costs fifteen times as much; "united" places none and lets heavy atoms carry
            them, with mmff alone, the fastest; "none" leaves them out, the paper's protocol. See `packflow.train.scores`.
        densities: Wanted ones with hydrogens, g/cm3, for "density"; those that molecules usually have if not given, see
            `usual_densities`. [n_crystals]
        groups: Numbers of the groups of proposals, needed for "duplicates" alone. [n_crystals]

    Raises:
        InputError: a channel is unknown, named twice or lacks its groups, densities are of another number, hydrogens is another word,
            or the potential cannot do without hydrogens.
    """
    check_channels(channels, hydrogens, densities, len(crystals), groups)
    atoms = AtomsBatch.from_crystals(crystals)
    geometry: dict[Channel, Callable[[], Tensor]] = {
        "clash": lambda: -clash_percent(atoms),
        "bonds": lambda: bonds_valid_percent(atoms),
        "density": lambda: -(density(atoms) - wanted_densities(crystals, densities)).abs(),
        "duplicates": lambda: -crowding(atoms, groups or ()),
    }
    columns = {name: compute() for name, compute in geometry.items() if name in channels}
    problems = [""] * len(crystals)
    if {"energy", "force"} & set(channels):
        scores = scores_of(crystals, potential, hydrogens)
        columns |= {"energy": -scores.energy, "force": -scores.force}
        problems = list(scores.problems)
    values = torch.stack([columns[name] for name in channels], 1)
    for k, fine in enumerate(values.isfinite().all(1).tolist()):
        if not fine and not problems[k]:
            lacking = ", ".join(name for name, value in zip(channels, values[k].tolist(), strict=True) if not np.isfinite(value))
            problems[k] = f"it has no {lacking}"
    bad = torch.tensor([bool(problem) for problem in problems], dtype=torch.bool)
    return Rewards(torch.where(bad[:, None], torch.nan, values), tuple(channels), problems)


def check_channels(
    channels: Sequence[Channel],
    hydrogens: Hydrogens,
    densities: Sequence[float] | None,
    n_crystals: int,
    groups: Sequence[int] | None = None,
) -> None:
    """Refuse what `rewards_of` cannot compute."""
    known = get_args(Channel)
    if not channels or len(set(channels)) < len(channels) or not set(channels) <= set(known):
        raise InputError(f"channels must be different ones of {', '.join(known)}, got {', '.join(channels) or 'none'}")
    if hydrogens not in get_args(Hydrogens):
        raise InputError(f"hydrogens must be one of {', '.join(get_args(Hydrogens))}, got {hydrogens!r}")
    if "density" in channels and densities is not None and len(densities) != n_crystals:
        raise InputError(f"densities must be those of {n_crystals} crystals for the channel density, got {len(densities)}")
    if "duplicates" in channels and (groups is None or len(groups) != n_crystals):
        got = "none" if groups is None else str(len(groups))
        raise InputError(f"groups must be those of {n_crystals} crystals for the channel duplicates, got {got}")


def wanted_densities(crystals: Sequence[Crystal], densities: Sequence[float] | None) -> Tensor:
    """Those given, or the usual ones, g/cm3. [n_crystals] float64"""
    return usual_densities(crystals) if densities is None else torch.tensor(list(densities), dtype=torch.float64)


def usual_densities(crystals: Sequence[Crystal]) -> Tensor:
    """Density with hydrogens that each crystal would have at the volume that its molecule usually takes, g/cm3. [n_crystals] float64

    See `packflow.structure.packing_volume.packing_volume`.
    """
    known: dict[str, float] = {}
    for crystal in crystals:
        molecule = crystal.template.molecule
        if molecule.smiles not in known:
            mass = sum(MASSES[atom.GetSymbol()] for atom in full_mol(molecule.smiles).GetAtoms())
            known[molecule.smiles] = GRAM_PER_CM3 * mass / packing_volume(molecule)
    return torch.tensor([known[crystal.template.molecule.smiles] for crystal in crystals], dtype=torch.float64)

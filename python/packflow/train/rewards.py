"""Rewards of sampled crystals: energy and mean force norm through any potential (paper, eqs. 10 and 11), and geometry beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from packflow.errors import InputError
from packflow.metrics.bonds import bonds_valid_percent
from packflow.metrics.clash import clash_percent
from packflow.metrics.density import density
from packflow.potential.foreign import PreparedForeign
from packflow.potential.interface import Potential
from packflow.relax.hydrogens import add_hydrogens, cells_of
from packflow.relax.hydrogens_molecule import hydrogen_table
from packflow.structure import AtomsBatch, Crystal
from packflow.structure.full import FullBatch

Hydrogens = Literal["riding", "none"]
Channel = Literal["energy", "force", "clash", "bonds", "density"]


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


@dataclass(frozen=True)
class Scores:
    """What a potential says of heavy atoms.

    energy:   [n_crystals] float64, eV per heavy atom.
    force:    [n_crystals] float64, eV/Å, mean over heavy atoms of the norm of the force.
    problems: [n_crystals], why the numbers are NaN; empty where they are not.
    """

    energy: Tensor
    force: Tensor
    problems: list[str]


def rewards_of(
    crystals: Sequence[Crystal],
    potential: Potential,
    channels: Sequence[Channel] = ("energy", "force"),
    hydrogens: Hydrogens = "riding",
    densities: Sequence[float] | None = None,
) -> Rewards:
    """Rewards of crystals, all of them together.

    Args:
        crystals: Any values.
        potential: Gives energies and forces; not asked if no channel needs it.
        channels: "energy" is minus eV per heavy atom, "force" minus the mean norm in eV/Å, "clash" minus the percentage of atoms in
            clash, "bonds" the percentage of valid bonds, "density" minus the distance from `densities` in g/cm3.
        hydrogens: "riding" places them by their bonds and lets them carry their force to their heavy atom, see `riding_scores`; "none"
            leaves them out, the paper's protocol, see `heavy_scores`.
        densities: Wanted ones with hydrogens, g/cm3, if "density" is a channel. [n_crystals]

    Raises:
        InputError: a channel is unknown, named twice or lacks its densities, hydrogens is another word, or the potential cannot do without
            hydrogens.
    """
    check_channels(channels, hydrogens, densities, len(crystals))
    atoms = AtomsBatch.from_crystals(crystals)
    geometry: dict[Channel, Callable[[], Tensor]] = {
        "clash": lambda: -clash_percent(atoms),
        "bonds": lambda: bonds_valid_percent(atoms),
        "density": lambda: -(density(atoms) - torch.tensor(densities, dtype=torch.float64)).abs(),
    }
    columns = {name: compute() for name, compute in geometry.items() if name in channels}
    problems = [""] * len(crystals)
    if {"energy", "force"} & set(channels):
        scores = (riding_scores if hydrogens == "riding" else heavy_scores)(crystals, potential)
        columns |= {"energy": -scores.energy, "force": -scores.force}
        problems = list(scores.problems)
    values = torch.stack([columns[name] for name in channels], 1)
    for k, fine in enumerate(values.isfinite().all(1).tolist()):
        if not fine and not problems[k]:
            lacking = ", ".join(name for name, value in zip(channels, values[k].tolist(), strict=True) if not np.isfinite(value))
            problems[k] = f"it has no {lacking}"
    bad = torch.tensor([bool(problem) for problem in problems], dtype=torch.bool)
    return Rewards(torch.where(bad[:, None], torch.nan, values), tuple(channels), problems)


def check_channels(channels: Sequence[Channel], hydrogens: Hydrogens, densities: Sequence[float] | None, n_crystals: int) -> None:
    """Refuse what `rewards_of` cannot compute."""
    known = get_args(Channel)
    if not channels or len(set(channels)) < len(channels) or not set(channels) <= set(known):
        raise InputError(f"channels must be different ones of {', '.join(known)}, got {', '.join(channels) or 'none'}")
    if hydrogens not in get_args(Hydrogens):
        raise InputError(f"hydrogens must be 'riding' or 'none', got {hydrogens!r}")
    if "density" in channels and (densities is None or len(densities) != n_crystals):
        got = "none" if densities is None else str(len(densities))
        raise InputError(f"densities must be those of {n_crystals} crystals for the channel density, got {got}")


def riding_scores(crystals: Sequence[Crystal], potential: Potential) -> Scores:
    """Scores of crystals with hydrogens that RDKit places by the bonds of their heavy atom, not turned and not relaxed.

    A hydrogen moves with its heavy atom, so that its force adds to that atom's; the energy is that of all atoms.
    """
    scores = without_numbers(len(crystals))
    found = add_hydrogens(crystals, turn=False)
    scores.problems[:] = [hydrogenated.problem for hydrogenated in found]
    structures = {k: h.structure for k, h in enumerate(found) if h.structure is not None}
    if structures:
        batch = FullBatch.pack(list(structures.values()))
        fill(scores, list(structures), crystals, batch, potential, carriers_of([crystals[k] for k in structures]))
    return scores


def heavy_scores(crystals: Sequence[Crystal], potential: Potential) -> Scores:
    """Scores of the heavy atoms alone, for networks that see nothing but atoms (UMA).

    Raises:
        InputError: the potential is one of molecules, as mmff, whose parameters include hydrogens.
    """
    scores = without_numbers(len(crystals))
    if crystals:
        numbers = torch.from_numpy(np.concatenate([crystal.template.atomic_numbers for crystal in crystals]))
        batch = FullBatch(
            templates=tuple(crystal.template for crystal in crystals),
            atomic_numbers=numbers,
            positions=torch.from_numpy(np.concatenate([crystal.positions for crystal in crystals])),
            cell=torch.from_numpy(cells_of(crystals)),
            atom_ptr=torch.tensor(np.cumsum([0, *(c.template.n_atoms for c in crystals)]), dtype=torch.int32),
            periodic=torch.ones(len(crystals), dtype=torch.bool),
        )
        fill(scores, list(range(len(crystals))), crystals, batch, potential, torch.arange(len(numbers)), whole=False)
    return scores


def without_numbers(n: int) -> Scores:
    """Scores of n crystals that nothing is known of."""
    energy, force = torch.full((2, n), torch.nan, dtype=torch.float64)
    return Scores(energy, force, [""] * n)


def fill(
    scores: Scores,
    rows: list[int],
    crystals: Sequence[Crystal],
    batch: FullBatch,
    potential: Potential,
    carrier: Tensor,
    whole: bool = True,
) -> None:
    """Evaluate a batch and write what was found into some rows.

    Args:
        scores: Of all crystals.
        rows: Those of the batch.
        crystals: All.
        batch: Of the crystals at `rows`.
        potential: Evaluates them.
        carrier: Row, among the heavy atoms of the batch, of each atom's heavy atom. [n_atoms]
        whole: Whether molecules have their hydrogens.
    """
    prepared = potential.prepare(batch)
    if not whole and not isinstance(prepared, PreparedForeign):
        raise InputError(
            f"hydrogens 'none' needs a potential that sees atoms alone, such as uma; {potential.name} needs all: take 'riding'"
        )
    result = prepared.evaluate(batch.positions, batch.cell)
    sizes = torch.tensor([crystals[k].template.n_atoms for k in rows])
    owner = torch.repeat_interleave(torch.arange(len(rows)), sizes)
    forces = torch.zeros(len(owner), 3, dtype=torch.float64).index_add_(0, carrier, result.forces)
    scores.energy[rows] = result.energy / sizes
    scores.force[rows] = torch.zeros(len(rows), dtype=torch.float64).index_add_(0, owner, forces.norm(dim=1)) / sizes
    for k, problem in zip(rows, result.problems, strict=True):
        scores.problems[k] = problem


def carriers_of(crystals: Sequence[Crystal]) -> Tensor:
    """Row, among the heavy atoms of all crystals, of the heavy atom that each atom is or hangs on, in FullStructure's order. [n_atoms]"""
    parts, first = [np.zeros(0, dtype=np.int64)], 0
    for crystal in crystals:
        bearer = hydrogen_table(crystal.template.molecule.smiles).bearer
        own = np.where(bearer < 0, np.arange(len(bearer)), bearer)
        for _ in range(crystal.template.n_copies):
            parts.append(own + first)
            first += crystal.template.molecule.n_atoms
    return torch.from_numpy(np.concatenate(parts))

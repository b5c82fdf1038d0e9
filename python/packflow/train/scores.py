"""Energies and forces of heavy atoms, by what is done about the hydrogens that crystals lack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from packflow.errors import InputError
from packflow.potential.foreign import PreparedForeign
from packflow.potential.interface import Potential
from packflow.potential.mmff import Mmff
from packflow.potential.mmff_united import MmffUnited
from packflow.relax.hydrogens import add_hydrogens, cells_of, heavy_atom_problems
from packflow.relax.hydrogens_molecule import hydrogen_table
from packflow.relax.relax import RelaxConfig, relax
from packflow.structure import Crystal
from packflow.structure.full import FullBatch, FullStructure

Hydrogens = Literal["riding", "relaxed", "united", "none"]


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


def scores_of(crystals: Sequence[Crystal], potential: Potential, hydrogens: Hydrogens = "riding") -> Scores:
    """Energies and forces of crystals, all of them together; see the functions below.

    Raises:
        InputError: as `check_potential`.
    """
    check_potential(potential, hydrogens)
    modes: dict[Hydrogens, Callable[[Sequence[Crystal], Potential], Scores]] = {
        "riding": riding_scores,
        "relaxed": relaxed_scores,
        "united": united_scores,
        "none": heavy_scores,
    }
    return modes[hydrogens](crystals, potential)


def check_potential(potential: Potential, hydrogens: Hydrogens) -> None:
    """Refuse a potential that cannot score crystals in this way.

    Raises:
        InputError: "united" with another potential than mmff, or "none" with one that needs all atoms.
    """
    if hydrogens == "united" and not isinstance(potential, Mmff):
        raise InputError(f"hydrogens 'united' needs the potential mmff, got {potential.name}: take 'riding' or 'none'")
    if hydrogens == "none" and not isinstance(potential.prepare(heavy_batch([])), PreparedForeign):
        raise InputError(
            f"hydrogens 'none' needs a potential that sees atoms alone, such as uma; {potential.name} needs all: take 'riding'"
        )


def riding_scores(crystals: Sequence[Crystal], potential: Potential) -> Scores:
    """Scores of crystals with hydrogens that RDKit places by the bonds of their heavy atom, not turned and not relaxed.

    A hydrogen moves with its heavy atom, so that its force adds to that atom's; the energy is that of all atoms.
    """
    scores, structures = hydrogenated(crystals, turn=False)
    fill_full(scores, structures, crystals, potential)
    return scores


def relaxed_scores(crystals: Sequence[Crystal], potential: Potential, config: RelaxConfig | None = None) -> Scores:
    """Scores of crystals whose hydrogens are placed, turned and relaxed while heavy atoms and cell stay (paper, appendix A, "with-H").

    Where hydrogens are at rest the force on a heavy atom is the slope of the energy that hydrogens follow; what is left on a hydrogen whose
    steps were used up adds to its heavy atom's.

    Args:
        crystals: Any values.
        potential: Relaxes them and scores where they end.
        config: How, of which the steps bound the work; the paper's 25 to 0.05 eV/Å (section 4.5.2), by L-BFGS.

    Raises:
        ValueError: the configuration moves heavy atoms.
    """
    config = config or RelaxConfig(cell="fixed", moving="hydrogens", max_steps=25)
    if config.moving != "hydrogens":
        raise ValueError(f"config must move hydrogens alone, got moving={config.moving!r}")
    scores, structures = hydrogenated(crystals, turn=True)
    rows = list(structures)
    for relaxed in relax(potential, iter(list(structures.values())), config):
        row = rows[relaxed.index]
        structures[row] = relaxed.structure
        if relaxed.problem:
            scores.problems[row] = relaxed.problem
            del structures[row]
    fill_full(scores, structures, crystals, potential)
    return scores


def hydrogenated(crystals: Sequence[Crystal], turn: bool) -> tuple[Scores, dict[int, FullStructure]]:
    """Scores without numbers but with the problems of adding hydrogens, and the structures of those that have none, by their row."""
    scores = without_numbers(len(crystals))
    found = add_hydrogens(crystals, turn=turn)
    scores.problems[:] = [hydrogenated.problem for hydrogenated in found]
    return scores, {k: h.structure for k, h in enumerate(found) if h.structure is not None}


def fill_full(scores: Scores, structures: dict[int, FullStructure], crystals: Sequence[Crystal], potential: Potential) -> None:
    """Evaluate structures with their hydrogens and write what was found into their rows."""
    if structures:
        batch = FullBatch.pack(list(structures.values()))
        fill(scores, list(structures), crystals, batch, potential, carriers_of([crystals[k] for k in structures]))


def united_scores(crystals: Sequence[Crystal], potential: Potential) -> Scores:
    """Scores of united atoms: heavy atoms carry their hydrogens, none is placed; the fastest.

    Crystals whose heavy atoms coincide have no scores, as where hydrogens are placed: nobody could relax them.

    Args:
        crystals: Any values.
        potential: mmff, for which `MmffUnited` stands here; see `check_potential`.
    """
    scores = without_numbers(len(crystals))
    scores.problems[:] = heavy_atom_problems(crystals, cells_of(crystals)) if crystals else []
    rows = [k for k, problem in enumerate(scores.problems) if not problem]
    fill_heavy(scores, rows, crystals, MmffUnited())
    return scores


def heavy_scores(crystals: Sequence[Crystal], potential: Potential) -> Scores:
    """Scores of the heavy atoms alone, for networks that see nothing but atoms (UMA)."""
    scores = without_numbers(len(crystals))
    fill_heavy(scores, list(range(len(crystals))), crystals, potential)
    return scores


def fill_heavy(scores: Scores, rows: list[int], crystals: Sequence[Crystal], potential: Potential) -> None:
    """Evaluate the heavy atoms of the crystals at some rows and write what was found."""
    if rows:
        batch = heavy_batch([crystals[k] for k in rows])
        fill(scores, rows, crystals, batch, potential, torch.arange(len(batch.positions)))


def heavy_batch(crystals: Sequence[Crystal]) -> FullBatch:
    """Crystals as a potential of heavy atoms sees them, in their order."""
    return FullBatch(
        templates=tuple(crystal.template for crystal in crystals),
        atomic_numbers=torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *(c.template.atomic_numbers for c in crystals)])),
        positions=torch.from_numpy(np.concatenate([np.zeros((0, 3)), *(crystal.positions for crystal in crystals)])),
        cell=torch.from_numpy(cells_of(crystals)),
        atom_ptr=torch.tensor(np.cumsum([0, *(c.template.n_atoms for c in crystals)]), dtype=torch.int32),
        periodic=torch.ones(len(crystals), dtype=torch.bool),
    )


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
) -> None:
    """Evaluate a batch and write what was found into some rows.

    Args:
        scores: Of all crystals.
        rows: Those of the batch.
        crystals: All.
        batch: Of the crystals at `rows`.
        potential: Evaluates them.
        carrier: Row, among the heavy atoms of the batch, of each atom's heavy atom. [n_atoms]
    """
    prepared = potential.prepare(batch)
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

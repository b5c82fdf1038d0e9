"""Density and energy of predicted crystals before and after relaxation, beside the measured form (paper, Fig. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from packflow.campaign.relax_stage import read_relaxed
from packflow.campaign.relaxed_shard import relaxed_of, start_of
from packflow.elements import MASSES, SYMBOLS
from packflow.errors import InputError
from packflow.metrics.bonds import bonds_valid
from packflow.metrics.density import GRAM_PER_CM3
from packflow.potential import Potential
from packflow.rank import Known
from packflow.structure import AtomsBatch
from packflow.structure.full import FullBatch, FullStructure, full_numbers
from packflow.structure.full_frame import heavy_crystal


@dataclass(frozen=True)
class Landscape:
    """Predicted crystals of one molecule by one engine.

    label:          of the engine.
    names:          of the proposals.
    density_before: g/cm3, with hydrogens, before anything moved. [n]
    energy_before:  eV per molecule, likewise; NaN where the potential cannot say. [n]
    density:        g/cm3, relaxed. [n]
    energy:         eV per molecule, relaxed. [n]
    known:          names of measured forms.
    known_density:  g/cm3, relaxed likewise. [n_known]
    known_energy:   eV per molecule. [n_known]
    n_left_out:     proposals that were not relaxed, or have bonds of an impossible length afterwards.
    """

    label: str
    names: tuple[str, ...]
    density_before: np.ndarray
    energy_before: np.ndarray
    density: np.ndarray
    energy: np.ndarray
    known: tuple[str, ...]
    known_density: np.ndarray
    known_energy: np.ndarray
    n_left_out: int


def landscape_of(store: str | Path, label: str, potential: Potential, known: Sequence[Known] = ()) -> Landscape:
    """The landscape in a folder of `packflow predict`, or of `packflow sample` and `packflow relax`.

    Those whose heavy-atom bonds are not all valid (paper, eq. 40) after relaxation are left out, as in the paper's figure.

    Args:
        store: Of one molecule.
        label: Of the engine.
        potential: That relaxed it; gives the energies before relaxation.
        known: Measured forms, relaxed as the proposals were; those without an energy are left out.

    Raises:
        InputError: nothing was relaxed, no proposal can be shown, or the folder holds several molecules.
    """
    rows = list(read_relaxed(store))
    molecules = sorted({row["smiles"] for row in rows})
    if len(molecules) > 1:
        raise InputError(f"predicted must be a folder of one molecule, {store} holds {len(molecules)}")
    found = [(row, relaxed_of(row), start_of(row)) for row in rows if not row["problem"]]
    whole = [(row, relaxed.structure, start) for row, relaxed, start in found if relaxed is not None and start is not None]
    valid = bonds_valid(AtomsBatch.from_crystals([heavy_crystal(structure) for _, structure, _ in whole])).tolist()
    kept = [entry for entry, fine in zip(whole, valid, strict=True) if fine == 1]
    if not kept:
        raise InputError(f"predicted {store} holds no relaxed crystal with valid bonds")
    measured = [one for one in known if np.isfinite(one.energy) and one.relaxed is not None]
    return Landscape(
        label=label,
        names=tuple(row["name"] for row, _, _ in kept),
        density_before=np.array([density_of(start) for _, _, start in kept]),
        energy_before=energies_of([start for _, _, start in kept], potential),
        density=np.array([row["density"] for row, _, _ in kept]),
        energy=np.array([row["energy_per_molecule_ev"] for row, _, _ in kept]),
        known=tuple(one.name for one in measured),
        known_density=np.array([density_of(one.relaxed.structure) for one in measured if one.relaxed]),
        known_energy=np.array([one.energy for one in measured]),
        n_left_out=len(rows) - len(kept),
    )


def density_of(structure: FullStructure) -> float:
    """g/cm3, of all atoms."""
    assert structure.cell is not None
    mass = sum(MASSES[SYMBOLS[number]] for number in full_numbers(structure.template).tolist())
    return float(GRAM_PER_CM3 * mass / abs(np.linalg.det(structure.cell)))


def energies_of(structures: Sequence[FullStructure], potential: Potential) -> np.ndarray:
    """eV per molecule as they are; NaN where the potential cannot say. [n]"""
    batch = FullBatch.pack(structures)
    energy = potential.prepare(batch).evaluate(batch.positions, batch.cell).energy
    return (energy / torch.tensor([structure.template.n_copies for structure in structures])).numpy()

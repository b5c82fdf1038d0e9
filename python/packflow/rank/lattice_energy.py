"""Energies per molecule: of the gas phase, of crystals against it, and of crystals against the best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch

from packflow.potential.interface import Potential
from packflow.rank.conformers import ConformerConfig, canonical_smiles, conformers
from packflow.rank.connectivity import connectivity
from packflow.rank.stereo import stereo_problem
from packflow.relax.relax import RelaxConfig, Relaxed, relax
from packflow.structure.full import FullBatch, FullStructure

KJ_MOL_PER_EV = 96.48533212


@dataclass(frozen=True)
class GasReference:
    """The most stable conformer of a molecule in vacuum that was found.

    smiles:       canonical, of the molecule.
    energy:       eV; NaN where there is none.
    structure:    the conformer, relaxed; None where there is none.
    n_conformers: that were relaxed.
    n_usable:     of them that converged and are still the molecule.
    problem:      why there is none, else empty.
    """

    smiles: str
    energy: float
    structure: FullStructure | None
    n_conformers: int
    n_usable: int
    problem: str = ""


@dataclass(frozen=True)
class GasConfig:
    """How gas-phase references are found.

    conformers: where the search starts.
    relax:      how they are relaxed; tighter than crystals, since an error here shifts all lattice energies of a molecule.
    """

    conformers: ConformerConfig = field(default_factory=ConformerConfig)
    relax: RelaxConfig = field(default_factory=lambda: RelaxConfig(cell="fixed", fmax=0.01))

    def __post_init__(self) -> None:
        """Refuse a cell that should move where there is none."""
        if self.relax.cell != "fixed" or self.relax.moving != "all":
            raise ValueError(f"relax must move all atoms in a fixed cell, got {self.relax.cell!r} and {self.relax.moving!r}")


@dataclass
class GasPhase:
    """Gas-phase references of molecules by one potential, each computed once.

    potential: what computes the energies of the crystals too.
    config:    how.
    device:    where conformers are relaxed.
    known:     references so far, by canonical SMILES.
    """

    potential: Potential
    config: GasConfig = field(default_factory=GasConfig)
    device: torch.device | str = "cpu"
    known: dict[str, GasReference] = field(default_factory=dict)

    def references(self, smiles: Iterable[str]) -> dict[str, GasReference]:
        """References of some molecules; those that are not known yet are relaxed together.

        Args:
            smiles: Of the molecules, any SMILES of each.

        Returns:
            By the given SMILES. A molecule without reference says so in `problem`.

        Raises:
            InputError: as `Molecule.from_smiles`.
        """
        keys = {text: canonical_smiles(text) for text in smiles}
        new = [key for key in dict.fromkeys(keys.values()) if key not in self.known]
        starts = [(key, start) for key in new for start in conformers(key, self.config.conformers)]
        ends: dict[str, list[Relaxed]] = {key: [] for key in new}
        for result in relax(self.potential, (start for _, start in starts), self.config.relax, self.device):
            ends[starts[result.index][0]].append(result)
        self.known |= {key: best_conformer(key, sorted(found, key=lambda r: r.index)) for key, found in ends.items()}
        return {text: self.known[key] for text, key in keys.items()}


def best_conformer(smiles: str, ends: list[Relaxed]) -> GasReference:
    """The reference among relaxed conformers: the lowest of those that converged and kept bonds and configuration."""
    if not ends:
        return GasReference(smiles, np.nan, None, 0, 0, "RDKit finds no geometry of the molecule")
    bonds = connectivity(FullBatch.pack([end.structure for end in ends])).reasons
    reasons = [
        end.problem or ("" if end.converged else f"not converged after {end.n_steps} steps") or bond or stereo_problem(end.structure)
        for end, bond in zip(ends, bonds, strict=True)
    ]
    usable = [end for end, reason in zip(ends, reasons, strict=True) if not reason]
    if not usable:
        problem = f"none of {len(ends)} conformers is usable; the first: {reasons[0]}"
        return GasReference(smiles, np.nan, None, len(ends), 0, problem)
    best = min(usable, key=lambda end: end.energy)
    return GasReference(smiles, best.energy, best.structure, len(ends), len(usable))


def lattice_energy_kj_mol(energy: float, n_copies: int, gas_energy: float) -> float:
    """Energy per molecule of a crystal above the gas phase, without vibrations; negative for a stable crystal.

    Args:
        energy: Of the cell, eV.
        n_copies: Molecules in the cell.
        gas_energy: Of one molecule in vacuum, eV.

    Returns:
        E_crystal / n_copies - E_gas in kJ/mol; NaN where either is.
    """
    return KJ_MOL_PER_EV * (energy / n_copies - gas_energy)


def relative_energy_kj_mol(energy: float, n_copies: int, reference: float) -> float:
    """Energy per molecule of a crystal above a reference crystal (paper, eq. 32), also of another number of molecules in the cell.

    Args:
        energy: Of the cell, eV.
        n_copies: Molecules in the cell.
        reference: Energy per molecule of the reference crystal, eV.

    Returns:
        kJ/mol; NaN where either is.
    """
    return KJ_MOL_PER_EV * (energy / n_copies - reference)

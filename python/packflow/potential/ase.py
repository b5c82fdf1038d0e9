"""ASE on both sides: any of its calculators as a potential, and a potential of ours as its calculator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import CalculationFailed, Calculator, CalculatorSetupError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from packflow.errors import InputError
from packflow.potential.foreign import ForeignError, PreparedForeign, foreign
from packflow.potential.interface import Evaluation, Potential
from packflow.structure.full import FullBatch, FullStructure, full_numbers

# Å; a cell too thin for a search of this reach is not given to a calculator
REACH = 10.0


class AsePotential:
    """A calculator of ASE as a potential, on the CPU, one structure after the other, in vacuum without a cell.

    A calculator that raises marks the structure with what it raised. One without a stress gives NaN for it, and no problem.

    name, cutoff (Å), max_atoms, device: as `Model`.
    """

    cutoff = REACH
    max_atoms = 1
    device = torch.device("cpu")

    def __init__(self, calculator: Any, name: str = "ase") -> None:  # noqa: ANN401, ASE has no type for what is like a calculator
        """Nothing is computed yet.

        Args:
            calculator: With `get_potential_energy`, `get_forces` and perhaps `get_stress`; or a class or function that makes one when
                called, which is done at once, and again after each time that one raised.
            name: As on the command line, and in problems.

        Raises:
            InputError: it is neither.
        """
        self.name = name
        self._make: Callable[[], Any] | None = calculator if callable(calculator) and not is_calculator(calculator) else None
        self._calculator = self._make() if self._make else calculator
        if not is_calculator(self._calculator):
            raise InputError(f"calculator must be an ASE calculator, or make one when called, got {self._calculator!r}")

    def prepare(self, batch: FullBatch) -> PreparedForeign:
        """As `Potential.prepare`."""
        return PreparedForeign(self, batch.to(self.device), [""] * len(batch))

    def compute(self, batch: FullBatch) -> Evaluation:
        """As `Model.compute`."""
        ends = batch.atom_ptr.tolist()
        found = []
        for s, periodic in enumerate(batch.periodic.tolist()):
            atoms = slice(ends[s], ends[s + 1])
            cell = batch.cell[s].numpy() if periodic else None
            found.append(self._one(Atoms(batch.atomic_numbers[atoms].numpy(), batch.positions[atoms].numpy(), cell=cell, pbc=periodic)))
        energy, forces, stress = (torch.from_numpy(np.concatenate(x)) for x in zip(*found, strict=True))
        return Evaluation(energy, forces, stress, [""] * len(batch))

    def _one(self, atoms: Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Energy [1], forces [n_atoms, 3] and stress [1, 3, 3]."""
        atoms.calc = self._calculator
        stress = np.full((3, 3), np.nan) if atoms.pbc.all() else np.zeros((3, 3))
        try:
            with foreign(self.name):
                energy, forces = atoms.get_potential_energy(), atoms.get_forces()
                if atoms.pbc.all():
                    with suppress(NotImplementedError):  # ASE's word for a calculator without a stress
                        stress = atoms.get_stress(voigt=False)
        except ForeignError:
            self._calculator = self._make() if self._make else self._calculator
            raise
        energies = np.array([float(energy)])
        return energies, np.array(forces, np.float64).reshape(len(atoms), 3), np.array(stress, np.float64).reshape(1, 3, 3)


def is_calculator(candidate: object) -> bool:
    """Whether this computes energies; a class does not, its instances do."""
    return hasattr(candidate, "get_potential_energy") and not isinstance(candidate, type)


def ase_atoms(structure: FullStructure) -> Atoms:
    """A structure as ASE's, in its order of atoms; a molecule in vacuum has no cell."""
    periodic = structure.cell is not None
    return Atoms(full_numbers(structure.template), structure.positions, cell=structure.cell, pbc=periodic)


class AseCalculator(Calculator):
    """A potential of ours as a calculator of ASE, for one structure.

        atoms = ase_atoms(structure)
        atoms.calc = AseCalculator(potential, structure)

    Positions and cell of the atoms may change, their elements, order and number may not. Some potentials want molecules whole: do not wrap
    atoms into the cell. There is no stress in vacuum.
    """

    def __init__(self, potential: Potential, structure: FullStructure, device: torch.device | str = "cpu") -> None:
        """Prepare the potential.

        Args:
            potential: Computes.
            structure: Says which atoms and bonds there are; its coordinates do not matter.
            device: Where the coordinates are handed over.

        Raises:
            InputError: the potential cannot compute this structure wherever its atoms are.
        """
        super().__init__()
        self.implemented_properties = ["energy", "free_energy", "forces", "stress"]
        batch = FullBatch.pack([structure]).to(device)
        self._prepared = potential.prepare(batch)
        if self._prepared.problems[0]:
            raise InputError(f"structure must be one that potential {potential.name} can compute: {self._prepared.problems[0]}")
        self._numbers, self._periodic, self._device = batch.atomic_numbers.tolist(), structure.cell is not None, device

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """As ASE's.

        Raises:
            CalculatorSetupError: these are not the atoms, or not the periodicity, of the structure.
            CalculationFailed: the potential has a problem where the atoms are.
        """
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        if self.atoms.numbers.tolist() != self._numbers:
            raise CalculatorSetupError(f"atoms must have the atomic numbers {self._numbers}, got {self.atoms.numbers.tolist()}")
        if set(self.atoms.pbc.tolist()) != {self._periodic}:
            raise CalculatorSetupError(f"pbc of the atoms must be {self._periodic} throughout, got {self.atoms.pbc.tolist()}")
        positions, cell = (torch.tensor(np.asarray(x), device=self._device) for x in (self.atoms.positions, self.atoms.cell[:]))
        found = self._prepared.evaluate(positions, cell[None])
        if found.problems[0]:
            raise CalculationFailed(found.problems[0])
        energy = found.energy.item()
        self.results = {"energy": energy, "free_energy": energy, "forces": found.forces.cpu().numpy()}
        if self._periodic:
            self.results["stress"] = full_3x3_to_voigt_6_stress(found.stress[0].cpu().numpy())

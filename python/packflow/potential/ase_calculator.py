"""Any potential of ours as an ASE calculator, for one structure at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from packflow.errors import StructureError
from packflow.potential.interface import Potential
from packflow.structure.full import FullBatch, FullStructure, full_numbers


def to_ase(structure: FullStructure) -> Atoms:
    """ASE atoms of a structure with its hydrogens, in its own frame and order."""
    periodic = structure.cell is not None
    return Atoms(numbers=full_numbers(structure.template), positions=structure.positions, cell=structure.cell, pbc=periodic)


class PotentialCalculator(Calculator):
    """Energy, forces and stress of the atoms of one structure; of a structure in vacuum the stress is zero."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012, as ASE declares it

    def __init__(self, potential: Potential, structure: FullStructure) -> None:
        """Look up parameters.

        Args:
            potential: Energies, forces and stress.
            structure: Whose atoms they will be, in this order; where they are does not matter.

        Raises:
            StructureError: the potential has no parameters for it.
        """
        super().__init__()
        self.batch = FullBatch.pack([structure])
        self.prepared = potential.prepare(self.batch)
        if self.prepared.problems[0]:
            raise StructureError("no potential", self.prepared.problems[0])

    def calculate(self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",), system_changes: Any = all_changes) -> None:  # noqa: ANN401
        """As ASE asks for it.

        Raises:
            StructureError: it cannot be evaluated where the atoms are.
        """
        super().calculate(atoms, list(properties), system_changes)
        positions = torch.from_numpy(np.ascontiguousarray(self.atoms.positions))
        found = self.prepared.evaluate(positions, torch.from_numpy(np.array(self.atoms.cell))[None])
        if found.problems[0]:
            raise StructureError("no energy", found.problems[0])
        self.results = {
            "energy": float(found.energy[0]),
            "forces": found.forces.numpy(),
            "stress": full_3x3_to_voigt_6_stress(found.stress[0].numpy()),
        }

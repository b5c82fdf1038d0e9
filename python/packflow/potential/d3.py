"""D3(BJ) dispersion of Grimme and co-workers (J. Comput. Chem. 2011, 32, 1456) by the package dftd3, one structure after the other."""

from __future__ import annotations

import numpy as np
import torch
from ase.units import Bohr, Hartree

from packflow.errors import InputError
from packflow.potential.foreign import foreign
from packflow.potential.interface import Evaluation
from packflow.structure.full import FullBatch

INSTALL = "pip install 'packflow-csp[sevennet]'"
# the elements with reference coefficients
ELEMENTS = range(1, 95)


class D3:
    """Two-body dispersion correction of a density functional."""

    def __init__(self, functional: str = "pbe") -> None:
        """Look up the damping parameters.

        Args:
            functional: Whose parameters, as dftd3 names it.

        Raises:
            InputError: dftd3 is not installed, or does not know the functional.
        """
        try:
            from dftd3.interface import RationalDampingParam
        except ImportError as error:
            raise InputError(f"D3 needs dftd3 ({error}): {INSTALL}") from error
        try:
            self._damping = RationalDampingParam(method=functional)
        except RuntimeError as error:
            raise InputError(f"functional must be one that dftd3 has D3(BJ) parameters for, got {functional!r} ({error})") from error

    def compute(self, batch: FullBatch) -> Evaluation:
        """Energy, forces and stress, on the device of the batch.

        Raises:
            ForeignError: dftd3 did.
        """
        positions, cells = batch.positions.cpu().numpy() / Bohr, batch.cell.cpu().numpy() / Bohr
        numbers, ends = batch.atomic_numbers.cpu().numpy(), batch.atom_ptr.tolist()
        found = [
            self._one(numbers[ends[s] : ends[s + 1]], positions[ends[s] : ends[s + 1]], cells[s] if periodic else None)
            for s, periodic in enumerate(batch.periodic.tolist())
        ]
        energy, forces, stress = (torch.from_numpy(np.concatenate(x)).to(batch.cell.device) for x in zip(*found, strict=True))
        return Evaluation(energy, forces, stress, [""] * len(batch))

    def _one(self, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Energy [1], forces [n_atoms, 3] and stress [1, 3, 3] of one structure in atomic units, in eV and Å."""
        from dftd3.interface import DispersionModel

        with foreign("dftd3"):
            periodic = None if cell is None else np.ones(3, dtype=bool)
            found = DispersionModel(numbers, positions, cell, periodic).get_dispersion(self._damping, grad=True)
        stress = np.zeros((3, 3))
        if cell is not None:
            stress = found["virial"] * Hartree / (abs(np.linalg.det(cell)) * Bohr**3)
        return np.array([float(found["energy"]) * Hartree]), -found["gradient"] * (Hartree / Bohr), 0.5 * (stress + stress.T)[None]

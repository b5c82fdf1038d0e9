"""What every potential does: energy, forces and stress of a packed batch; a structure that fails is marked, the others go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from packflow.structure.full import FullBatch


@dataclass(frozen=True)
class Evaluation:
    """What a potential says of a batch, float64, on the device of the positions.

    energy:   [n_structures] eV.
    forces:   [n_atoms, 3] eV/Å.
    stress:   [n_structures, 3, 3] eV/Å3, symmetric; positive where the cell wants to shrink (as ASE). Zero in vacuum.
    problems: [n_structures], why a structure could not be evaluated, empty where it could. Its numbers are NaN.
    """

    energy: Tensor
    forces: Tensor
    stress: Tensor
    problems: list[str]


class Prepared(Protocol):
    """A potential with all that it needs of some structures but their coordinates: parameters, neighbour lists that it keeps."""

    @property
    def problems(self) -> list[str]:
        """Why a structure cannot be evaluated wherever its atoms are (no parameters for it), empty where it can. [n_structures]"""
        ...

    def evaluate(self, positions: Tensor, cell: Tensor) -> Evaluation:
        """Energy, forces and stress.

        Args:
            positions: Å, float64; need not be in the cell, molecules whole. [n_atoms, 3]
            cell: Rows are the lattice vectors, Å, float64; ignored of a molecule in vacuum. [n_structures, 3, 3]
        """
        ...

    def select(self, structures: Tensor) -> Prepared:
        """The same for some of the structures, in the given order, repeats allowed; cheap, nothing is looked up again. [n] int64"""
        ...


class Potential(Protocol):
    """A way to compute energies."""

    @property
    def name(self) -> str:
        """As on the command line, such as "mmff"."""
        ...

    def prepare(self, batch: FullBatch) -> Prepared:
        """Look up what does not depend on coordinates. Never raises for a structure: it says so in `problems`."""
        ...

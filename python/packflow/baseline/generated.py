"""Crystals of other programs, as proposals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from packflow.structure import Crystal, Template
from packflow.structure.lattice import lattice_from_cell

NO_LATTICE = (1.0, 1.0, 1.0, 90.0, 90.0, 90.0)


@dataclass(frozen=True)
class Generated:
    """One proposal of a generator that is not ours.

    crystal:     heavy atoms and cell; as `no_crystal` if it has a problem.
    index:       its number in the set.
    seed:        of the set.
    problem:     why there is none; empty if there is one.
    space_group: number, 1 to 230: that PyXtal was asked for, or that Genarris found in it; 0 if there is a problem.
    """

    crystal: Crystal
    index: int
    seed: int
    problem: str
    space_group: int


def heavy_crystal(template: Template, positions: np.ndarray, cell: np.ndarray, n_heavy: int) -> Crystal:
    """The crystal of all atoms, hydrogens left out.

    Args:
        template: Molecule and number of copies per unit cell.
        positions: Cartesian, Å, of whole molecules, each heavy atoms first and in the order of the template. [n_copies, n_full, 3]
        cell: Rows are the lattice vectors, Å. [3, 3]
        n_heavy: Heavy atoms of one molecule.
    """
    fractional = positions[:, :n_heavy].reshape(-1, 3) @ np.linalg.inv(cell)
    return Crystal.from_fractional(template, fractional, lattice_from_cell(torch.from_numpy(cell)).numpy())


def no_crystal(template: Template) -> Crystal:
    """What stands where there is no crystal: all atoms at one place."""
    return Crystal(template, np.zeros((template.n_atoms, 3)), np.array(NO_LATTICE))

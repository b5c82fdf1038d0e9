"""Structures with all their atoms in a cell of any orientation, for what knows lattice parameters: files, sites, crystals."""

from __future__ import annotations

import numpy as np
import torch

from packflow.errors import InputError
from packflow.structure.crystal import Crystal
from packflow.structure.full import FullStructure, full_numbers
from packflow.structure.lattice import lattice_from_cell
from packflow.structure.sites import Sites


def lattice_and_fractional(structure: FullStructure) -> tuple[np.ndarray, np.ndarray]:
    """Lattice parameters and fractional coordinates, of the same handedness as the structure.

    Returns:
        a, b, c in Å, alpha, beta, gamma in degrees [6]; coordinates of whole molecules, not wrapped [n_atoms, 3].

    Raises:
        InputError: a molecule in vacuum, or a flat cell.
    """
    if structure.cell is None:
        raise InputError("structure must have a cell, got a molecule in vacuum")
    volume = float(np.linalg.det(structure.cell))
    if volume == 0.0:
        raise InputError("structure must have a cell with a volume, got a flat one")
    # reversed vectors span the same lattice; the parameters of a left-handed cell would be read as its mirror image
    cell = structure.cell if volume > 0 else -structure.cell
    return lattice_from_cell(torch.from_numpy(cell)).numpy(), structure.positions @ np.linalg.inv(cell)


def full_sites(structure: FullStructure, name: str) -> Sites:
    """All atoms as sites; raises as `lattice_and_fractional`, and StructureError as `Sites`."""
    lattice, fractional = lattice_and_fractional(structure)
    return Sites(name, full_numbers(structure.template), fractional, lattice, structure.template.molecule.smiles)


def heavy_atoms(structure: FullStructure) -> np.ndarray:
    """Rows of the heavy atoms, in the order of `Crystal`. [n_heavy_atoms] int64"""
    template = structure.template
    rows = np.arange(len(structure.positions)).reshape(template.n_copies, -1)
    return rows[:, : template.molecule.n_atoms].ravel()


def heavy_crystal(structure: FullStructure) -> Crystal:
    """The crystal without its hydrogens, molecules whole and centred; raises as `lattice_and_fractional`."""
    lattice, fractional = lattice_and_fractional(structure)
    return Crystal.from_fractional(structure.template, fractional[heavy_atoms(structure)], lattice)

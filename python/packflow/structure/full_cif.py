"""CIF of structures with all their atoms."""

from __future__ import annotations

from collections.abc import Mapping

import gemmi
import numpy as np

from packflow.structure.full import FullStructure, full_mol, full_numbers
from packflow.structure.full_frame import lattice_and_fractional
from packflow.structure.p1_cif import p1_block


def full_cif_text(structure: FullStructure, name: str, about: Mapping[str, str] | None = None) -> str:
    """CIF of a crystal with hydrogens in P1: cell, labelled atoms (molecules whole, in the structure's order) and bonds.

    Args:
        structure: A crystal; its cell may have any orientation, which a CIF does not keep.
        name: Of the data block; characters that a block name cannot hold become "_".
        about: More items; their names begin with "_".

    Raises:
        InputError: as `lattice_and_fractional`.
    """
    template = structure.template
    lattice, fractional = lattice_and_fractional(structure)
    mol = full_mol(template.molecule.smiles)
    ends = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()], dtype=np.int64).reshape(-1, 2).T
    first = np.arange(template.n_copies) * mol.GetNumAtoms()
    bonds = (ends[:, None] + first[:, None]).reshape(2, -1)
    block = p1_block(name, template, full_numbers(template), fractional, lattice, bonds)
    for key, value in (about or {}).items():
        block.set_pair(key, gemmi.cif.quote(value))
    return block.as_string()

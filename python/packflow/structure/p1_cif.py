"""CIF blocks of molecular crystals without symmetry: cell, atoms of whole molecules, bonds."""

from __future__ import annotations

from collections import Counter

import gemmi
import numpy as np
import torch

from packflow.elements import SYMBOLS
from packflow.structure.lattice import cell_from_lattice
from packflow.structure.template import Template


def atom_labels(atomic_numbers: np.ndarray) -> list[str]:
    """C1, C2, O1, ...: unique within the cell."""
    counts: Counter[str] = Counter()
    labels = []
    for number in atomic_numbers.tolist():
        symbol = SYMBOLS[number]
        counts[symbol] += 1
        labels.append(f"{symbol}{counts[symbol]}")
    return labels


def p1_block(
    name: str,
    template: Template,
    atomic_numbers: np.ndarray,  # [n_atoms]
    fractional: np.ndarray,  # [n_atoms, 3]
    lattice: np.ndarray,  # [6]
    bonds: np.ndarray,  # [2, n_bonds]
) -> gemmi.cif.Block:
    """A block in P1 with the SMILES, the number of molecules, cell, labelled atoms and bonds.

    Args:
        name: Of the data block; characters that a block name cannot hold become "_".
        template: Molecule and number of copies.
        atomic_numbers: Of the atoms that are listed. [n_atoms]
        fractional: Molecules whole. [n_atoms, 3]
        lattice: a, b, c in Å; alpha, beta, gamma in degrees. [6]
        bonds: Each once, between atoms as they lie here. [2, n_bonds]
    """
    cell = cell_from_lattice(torch.from_numpy(lattice)).numpy()
    block = gemmi.cif.Block("".join(c if c.isalnum() or c in "-_." else "_" for c in name))
    block.set_pair("_chemical_identifier_smiles", gemmi.cif.quote(template.molecule.smiles))
    block.set_pair("_cell_formula_units_Z", str(template.n_copies))
    keys = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    for key, value in zip(keys, lattice, strict=True):
        block.set_pair(f"_cell_{key}", f"{value:.6f}")
    block.set_pair("_cell_volume", f"{abs(np.linalg.det(cell)):.4f}")
    block.set_pair("_space_group_name_H-M_alt", "'P 1'")
    block.set_pair("_space_group_IT_number", "1")
    block.init_loop("_space_group_symop_", ["operation_xyz"]).add_row(["'x,y,z'"])
    labels = atom_labels(atomic_numbers)
    atoms = block.init_loop("_atom_site_", ["label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy"])
    for label, number, point in zip(labels, atomic_numbers.tolist(), fractional, strict=True):
        atoms.add_row([label, SYMBOLS[number], *(f"{x:.6f}" for x in point), "1"])
    first, second = bonds
    if len(first):
        lengths = np.linalg.norm((fractional[first] - fractional[second]) @ cell, axis=1)
        rows = block.init_loop("_geom_bond_", ["atom_site_label_1", "atom_site_label_2", "distance"])
        for i, j, length in zip(first.tolist(), second.tolist(), lengths, strict=True):
            rows.add_row([labels[i], labels[j], f"{length:.4f}"])
    return block

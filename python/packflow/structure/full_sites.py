"""From the atoms that a file lists, hydrogens included, to a FullStructure: the experimental crystal as potentials see it."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from packflow.errors import StructureError
from packflow.structure.bonds import find_bonds
from packflow.structure.full import FullStructure, full_mol
from packflow.structure.recognize import assign, perceive_smiles
from packflow.structure.sites import Sites


def full_structure(sites: Sites, smiles: str | None = None) -> FullStructure:
    """The crystal of one kind of molecule that the sites hold, with the hydrogens where they are listed.

    Args:
        sites: Contents of a unit cell, hydrogens included.
        smiles: Of the molecule; else that of the sites; else it is perceived.

    Raises:
        StructureError: as `packflow.structure.recognize.recognize`, or a heavy atom with another number of listed hydrogens
            than the SMILES says.
    """
    bonds = find_bonds(sites.atomic_numbers, sites.fractional, sites.cell)
    smiles = smiles or sites.smiles or perceive_smiles(sites, bonds)
    template, order, fractional = assign(sites, bonds, smiles)
    # [n, 2] heavy atom and hydrogen, with the shift from the one to the other
    hydrogens: dict[int, list[np.ndarray]] = defaultdict(list)
    for (i, j), shift in zip(bonds.index.tolist(), bonds.shift, strict=True):
        if sites.heavy[i] != sites.heavy[j]:
            heavy, hydrogen, step = (i, j, shift) if sites.heavy[i] else (j, i, -shift)
            hydrogens[heavy].append(sites.fractional[hydrogen] + step - sites.fractional[heavy])
    molecule = full_mol(smiles)
    of_molecule = [atom.GetNeighbors()[0].GetIdx() for atom in molecule.GetAtoms() if atom.GetAtomicNum() == 1]
    whole = []
    for copy in order.reshape(template.n_copies, -1):
        whole += list(fractional[copy])
        for place, heavy in enumerate(copy.tolist()):
            found, wanted = len(hydrogens[heavy]), of_molecule.count(place)
            if found != wanted:
                raise StructureError("other hydrogens", f"{found} are listed at an atom that has {wanted} in {smiles}")
        left = {heavy: iter(hydrogens[heavy]) for heavy in copy.tolist()}
        whole += [fractional[copy[place]] + next(left[int(copy[place])]) for place in of_molecule]
    return FullStructure(template, np.array(whole) @ sites.cell, sites.cell)

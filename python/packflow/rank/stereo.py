"""The configuration of molecules in space: which side stereocentres and double bonds have."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs

from packflow.structure.full import FullStructure, full_mol


@dataclass(frozen=True)
class StereoElements:
    """Where a molecule has a configuration, and which one its SMILES states.

    centers:      [n_centers, 4] int64, a stereocentre and its first three neighbours.
    center_sides: [n_centers] sign of the triple product of the neighbours' directions; 0 where the SMILES leaves it open.
    bonds:        [n_bonds, 4] int64, a neighbour, the double-bonded atoms, a neighbour of the second.
    bond_sides:   [n_bonds] 1 where the neighbours are on the same side, -1 on opposite sides, 0 where it is open.
    """

    centers: np.ndarray
    center_sides: np.ndarray
    bonds: np.ndarray
    bond_sides: np.ndarray


@lru_cache(maxsize=1024)
def stereo_elements(smiles: str) -> StereoElements:
    """Stereocentres and double bonds of a molecule, specified or not, by RDKit."""
    mol = Chem.Mol(full_mol(smiles))
    centers, center_sides, bonds, bond_sides = [], [], [], []
    with BlockLogs():
        found = list(Chem.FindPotentialStereo(mol))
    for element in found:
        if element.type == Chem.StereoType.Atom_Tetrahedral:
            atom = mol.GetAtomWithIdx(element.centeredOn)
            centers.append([atom.GetIdx(), *(n.GetIdx() for n in atom.GetNeighbors())][:4])
            # @, seen from the first neighbour: the others counterclockwise, so that the first three are right-handed
            sides = {Chem.ChiralType.CHI_TETRAHEDRAL_CCW: 1, Chem.ChiralType.CHI_TETRAHEDRAL_CW: -1}
            center_sides.append(sides.get(atom.GetChiralTag(), 0))
        elif element.type == Chem.StereoType.Bond_Double:
            bond = mol.GetBondWithIdx(element.centeredOn)
            i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            ends = list(bond.GetStereoAtoms()) or [_neighbor(mol, i, j), _neighbor(mol, j, i)]
            bonds.append([ends[0], i, j, ends[1]])
            same = {Chem.BondStereo.STEREOZ, Chem.BondStereo.STEREOCIS}
            opposite = {Chem.BondStereo.STEREOE, Chem.BondStereo.STEREOTRANS}
            bond_sides.append(int(bond.GetStereo() in same) - int(bond.GetStereo() in opposite))
    return StereoElements(
        np.array(centers, dtype=np.int64).reshape(-1, 4),
        np.array(center_sides, dtype=np.int64),
        np.array(bonds, dtype=np.int64).reshape(-1, 4),
        np.array(bond_sides, dtype=np.int64),
    )


def _neighbor(mol: Chem.Mol, atom: int, other: int) -> int:
    """The first neighbour of an atom but the other."""
    return int(next(n.GetIdx() for n in mol.GetAtomWithIdx(atom).GetNeighbors() if n.GetIdx() != other))


def sides_of(structure: FullStructure) -> tuple[np.ndarray, np.ndarray]:
    """Sides in each copy, as `StereoElements` counts them. [n_copies, n_centers], [n_copies, n_bonds]"""
    elements = stereo_elements(structure.template.molecule.smiles)
    copies = structure.positions.reshape(structure.template.n_copies, -1, 3)
    center, *others = (copies[:, elements.centers[:, k]] for k in range(4))
    a, b, c = (other - center for other in others)
    first, i, j, last = (copies[:, elements.bonds[:, k]] for k in range(4))
    axis = j - i
    normals = np.cross(axis, first - i), np.cross(axis, last - j)
    return np.sign((np.cross(a, b) * c).sum(-1)), np.sign((normals[0] * normals[1]).sum(-1))


def stereo_problem(structure: FullStructure, before: FullStructure | None = None) -> str:
    """Why a structure has not the configuration that it should have; empty if it has.

    Each copy must be the molecule of the SMILES or its mirror image (half the molecules of a racemic crystal are). What the SMILES leaves
    open must be as it was before.

    Args:
        structure: Finite coordinates.
        before: The same structure before it was relaxed.
    """
    elements = stereo_elements(structure.template.molecule.smiles)
    centers, bonds = sides_of(structure)
    stated, stated_bonds = elements.center_sides != 0, elements.bond_sides != 0
    product = centers[:, stated] * elements.center_sides[stated]
    wrong = (product != product[:, :1]).any(1) | (bonds[:, stated_bonds] != elements.bond_sides[stated_bonds]).any(1)
    if wrong.any():
        return f"molecule {int(wrong.argmax()) + 1} is another stereoisomer than {structure.template.molecule.smiles}"
    if before is not None:
        old_centers, old_bonds = sides_of(before)
        turned = (centers != old_centers).any(1) | (bonds != old_bonds).any(1)
        if turned.any():
            return f"a stereocentre or double bond of molecule {int(turned.argmax()) + 1} was turned over"
    return ""

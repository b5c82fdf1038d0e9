"""Bonds that a file states, carried over to all atoms of the unit cell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import gemmi
import numpy as np
from rdkit import Chem
from rdkit.rdBase import BlockLogs
from scipy.spatial import cKDTree

from packflow.structure.bonds import OVERLAP, TOLERANCE, PeriodicBonds, radii_of
from packflow.structure.mmcif import CORE_BOND_COLUMNS
from packflow.structure.sites import Sites

# letters of the CCDC -> RDKit; other kinds (delocalised, pi, polymeric) say nothing of bond orders
BOND_ORDERS = {"S": "SINGLE", "D": "DOUBLE", "T": "TRIPLE", "A": "AROMATIC"}
# Å beyond the sum of the covalent radii that a stated bond may have; twice what a bond found by distance may have
STRETCH = 2 * TOLERANCE
# Å; the atom of the unit cell that an image is: those within 0.4 Å of their own image are one atom to gemmi
SAME = 0.6
SYMMETRY_CODE = re.compile(r"(\d+)(?:_(\d)(\d)(\d))?")
# the code of an atom as it is listed
LISTED = "1_555"
# two labels, the symmetry code of each, and a letter of the CCDC
Row = tuple[str, str, str, str, str]


def with_stated_bonds(sites: Sites, block: gemmi.cif.Block) -> Sites:
    """The same sites with the bonds that the block states, if it states their types and they are usable for all atoms.

    Only tables with the CCDC's bond types are taken, which those of mmCIF have after `core_block`: other `_geom_bond` tables list what
    their authors chose. Where all bond orders are stated and the SMILES is not, it is made of them.

    Args:
        sites: Contents of the block's unit cell.
        block: With the names of core CIF.
    """
    rows = stated_rows(block)
    found = bonds_of_cell(sites, block, rows) if rows else None
    if found is None or not usable(sites, found[0]):
        return sites
    bonds, origin = found
    smiles = sites.smiles or smiles_of_orders(sites.atomic_numbers, bonds, [rows[k][4] for k in origin])
    return replace(sites, bonds=bonds, smiles=smiles)


def stated_rows(block: gemmi.cif.Block) -> list[Row]:
    """The block's table of bonds with their types; empty where types are not stated."""
    first, second, *codes, kind = CORE_BOND_COLUMNS
    found = []
    for row in block.find([first, second, kind, *(f"?{tag}" for tag in codes)]):
        code1, code2 = (row.str(k) if row.has(k) and not gemmi.cif.is_null(row[k]) else LISTED for k in (3, 4))
        found.append((row.str(0), row.str(1), code1, code2, row.str(2)))
    return found


def bonds_of_cell(sites: Sites, block: gemmi.cif.Block, rows: Sequence[Row]) -> tuple[PeriodicBonds, np.ndarray] | None:
    """Bonds between all sites, and the row that states each [n_bonds]; None where labels or symmetry codes do not say which atoms.

    Args:
        sites: Contents of the block's unit cell.
        block: Atoms and symmetry operations.
        rows: Bonds between listed atoms and their images.
    """
    structure = gemmi.make_small_structure_from_block(block)
    position_of = {site.label: site.fract.tolist() for site in structure.sites}
    ends = [image(position_of.get(row[k]), row[k + 2], list(structure.symops)) for row in rows for k in (0, 1)]
    if len(position_of) != len(structure.sites) or any(end is None for end in ends):
        return None
    points = np.array(ends, dtype=np.float64)
    images = [points, *(points @ np.array(g.mat.tolist()).T + g.vec.tolist() for g in structure.cell.images)]
    located = locate(np.concatenate(images), sites)
    if located is None:
        return None
    (i, j), offset = located[0].reshape(-1, 2).T, located[1].reshape(-1, 2, 3)
    shift = offset[:, 1] - offset[:, 0]
    # each bond once, from the lower row to the higher
    shift[i > j] *= -1
    bonds, first = np.unique(np.column_stack([np.minimum(i, j), np.maximum(i, j), shift]), axis=0, return_index=True)
    return PeriodicBonds(bonds[:, :2], bonds[:, 2:]), first % len(rows)


def image(fractional: list[float] | None, code: str, operations: Sequence[str]) -> list[float] | None:
    """Fractional coordinates after the symmetry code, such as 3_655: the third operation, then a step along a; None if it is none."""
    found = SYMMETRY_CODE.fullmatch(code)
    if found is None or fractional is None:
        return None
    number, steps = int(found[1]), [int(digit or 5) - 5 for digit in found.groups()[1:]]
    if not 1 <= number <= max(len(operations), 1):
        return None
    moved = gemmi.Op(operations[number - 1]).apply_to_xyz(fractional) if operations else fractional
    return [x + step for x, step in zip(moved, steps, strict=True)]


def locate(points: np.ndarray, sites: Sites) -> tuple[np.ndarray, np.ndarray] | None:
    """The sites at fractional points [n, 3], and the cells they are shifted by: int64 [n] and [n, 3]; None if one is at no site."""
    lengths = sites.lattice[:3]
    # twice, because the first remainder of a tiny negative number rounds to 1
    tree = cKDTree(sites.fractional % 1.0 % 1.0 * lengths, boxsize=lengths)
    _, rows = tree.query(points % 1.0 % 1.0 * lengths, p=np.inf, distance_upper_bound=SAME)
    if (rows == len(sites.atomic_numbers)).any():
        return None
    return rows.astype(np.int64), np.rint(points - sites.fractional[rows]).astype(np.int64)


def usable(sites: Sites, bonds: PeriodicBonds) -> bool:
    """Whether every hydrogen has a bond and no bond is of a length that none has."""
    i, j = bonds.index.T
    lengths = np.linalg.norm((sites.fractional[j] + bonds.shift - sites.fractional[i]) @ sites.cell, axis=1)
    radii = radii_of(sites.atomic_numbers)
    bonded = np.zeros(len(radii), dtype=bool)
    bonded[bonds.index] = True
    return bool((lengths > OVERLAP).all() and (lengths < radii[i] + radii[j] + STRETCH).all() and (bonded | sites.heavy).all())


def smiles_of_orders(atomic_numbers: np.ndarray, bonds: PeriodicBonds, kinds: Sequence[str]) -> str | None:
    """SMILES of the largest molecule that the bonds make; None where an order is not stated or they make no neutral molecule.

    Args:
        atomic_numbers: Hydrogens included; where none are listed they are what the valences lack. [n_sites]
        bonds: Between the sites.
        kinds: Letters of the CCDC, one a bond.
    """
    pairs = bonds.index.tolist()
    if not set(kinds) <= set(BOND_ORDERS) or len(set(map(tuple, pairs))) < len(pairs):
        return None
    mol = Chem.RWMol()
    for number in atomic_numbers.tolist():
        atom = Chem.Atom(number)
        atom.SetNoImplicit(bool((atomic_numbers == 1).any()))
        mol.AddAtom(atom)
    for (i, j), kind in zip(pairs, kinds, strict=True):
        mol.AddBond(i, j, Chem.BondType.names[BOND_ORDERS[kind]])
        if kind == "A":
            mol.GetAtomWithIdx(i).SetIsAromatic(True)
            mol.GetAtomWithIdx(j).SetIsAromatic(True)
    largest = max(Chem.GetMolFrags(mol, asMols=True, sanitizeFrags=False), key=lambda part: part.GetNumAtoms())
    with BlockLogs():
        try:
            Chem.SanitizeMol(largest)
        except ValueError:
            return None
        if any(atom.GetNumRadicalElectrons() for atom in largest.GetAtoms()):
            return None
        return str(Chem.MolToSmiles(Chem.RemoveHs(largest)))

"""Parameters for molecules with an atom that MMFF94 has no type for (boron, selenium, arsenic, hypervalent iodine): UFF in MMFF94's forms.

The whole molecule is described so, since increments of charge and bonds between typed and untyped atoms do not exist. Strengths, lengths,
angles and van der Waals pairs are those of UFF (Rappé et al., J. Am. Chem. Soc. 114, 10024 (1992)) as RDKit gives them, charges are
equilibrated. UFF has no hydrogen bonds: its pairs of a polar hydrogen and an acceptor are made shorter and shallower by the factors that
MMFF94 has for such pairs. Each bonded term has the curvature of UFF's at its minimum and the form of MMFF94's; UFF's sixfold torsions
(1 kcal/mol, shared by all torsions about a bond) are left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from rdkit import Chem
from rdkit.Chem import HybridizationType, rdForceFieldHelpers
from rdkit.rdBase import BlockLogs

from packflow.ops.bonded import BEND, COSINE_BEND, OUT_OF_PLANE, STRETCH, TORSION
from packflow.potential.charges import equilibrated_charges
from packflow.potential.mmff_parameters import (
    KCAL_PER_MOL,
    LINEAR,
    MoleculeParameters,
    Term,
    UntypedError,
    angles_of,
    known,
    molecule_parameters,
    planes_of,
    torsions_of,
)
from packflow.structure.full import full_mol

TETRAHEDRAL = math.degrees(math.acos(-1 / 3))
CHALCOGENS = {8, 16, 34}
HALOGENS = {9, 17, 35, 53}
ACCEPTORS = {7, 8, 9, 16, 17, 34, 35, 53}
POLAR = {7, 8}  # that make a hydrogen a donor
# Factors on radius and depth of a donor and an acceptor (Halgren, J. Comput. Chem. 17, 520 (1996)).
DONOR_ACCEPTOR = (0.8, 0.5)
TURNING = {HybridizationType.SP2, HybridizationType.SP3}


@lru_cache(maxsize=1024)
def fallback_parameters(smiles: str) -> MoleculeParameters:
    """Parameters of a molecule that `mmff_parameters` refuses.

    Raises:
        UntypedError: UFF has no type for one of its atoms either, an atom has five neighbors or more, or RDKit cannot embed it.
        InputError: as `full_mol`.
    """
    mol = with_uff_hybridizations(full_mol(smiles))
    crowded = next((atom for atom in mol.GetAtoms() if atom.GetDegree() > 4), None)
    if crowded is not None:
        raise UntypedError(f"neither MMFF94 nor the fallback covers {crowded.GetSymbol()} with {crowded.GetDegree()} neighbors: {smiles}")
    with BlockLogs():
        if not rdForceFieldHelpers.UFFHasAllMoleculeParams(mol):
            raise UntypedError(f"neither MMFF94 nor UFF has atom types for {smiles}")
    try:
        charges = equilibrated_charges(mol)
    except ValueError as error:
        raise UntypedError(f"MMFF94 has no atom types for {smiles}, and {error}") from error
    numbers = np.array([-1 if is_donor(atom) else atom.GetAtomicNum() for atom in mol.GetAtoms()])
    return molecule_parameters("uff", mol, charges, numbers, lambda i, j: uff_pair(mol, i, j), uff_terms(mol))


def is_donor(atom: Chem.Atom) -> bool:
    """Whether it is a hydrogen that can be given to a hydrogen bond."""
    return bool(atom.GetAtomicNum() == 1 and atom.GetNeighbors()[0].GetAtomicNum() in POLAR)


def uff_pair(mol: Chem.Mol, i: int, j: int) -> tuple[float, float]:
    """Radius (Å) and depth (kcal/mol) of two atoms."""
    radius, depth = rdForceFieldHelpers.GetUFFVdWParams(mol, i, j)
    atoms = mol.GetAtomWithIdx(i), mol.GetAtomWithIdx(j)
    if any(is_donor(one) and other.GetAtomicNum() in ACCEPTORS for one, other in (atoms, atoms[::-1])):
        return radius * DONOR_ACCEPTOR[0], depth * DONOR_ACCEPTOR[1]
    return radius, depth


def with_uff_hybridizations(mol: Chem.Mol) -> Chem.Mol:
    """A copy in which selenium of aromatic rings, and boron of two neighbors, have a hybridization that UFF has a type for."""
    mol = Chem.Mol(mol)
    for atom in mol.GetAtoms():
        if atom.GetSymbol() == "Se":
            atom.SetHybridization(HybridizationType.SP3)
        elif atom.GetSymbol() == "B" and atom.GetHybridization() == HybridizationType.SP:
            atom.SetHybridization(HybridizationType.SP2)
    return mol


def uff_terms(mol: Chem.Mol) -> Iterator[Term]:
    """Bonded terms; UFF's own units are kcal/mol, Å and radians."""
    for bond in mol.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        strength, length = known(rdForceFieldHelpers.GetUFFBondStretchParams(mol, i, j), f"the bond of atoms {i} and {j}")
        yield STRETCH, (i, j), (KCAL_PER_MOL * strength, length)
    for i, j, k in angles_of(mol):
        yield angle_term(mol, i, j, k)
    for plane in planes_of(mol):
        strength = rdForceFieldHelpers.GetUFFInversionParams(mol, *plane)
        if strength and mol.GetAtomWithIdx(plane[1]).GetHybridization() == HybridizationType.SP2:
            # UFF's strength is of the mean of the three ways to see the inversion.
            yield OUT_OF_PLANE, plane, (KCAL_PER_MOL * strength / 3,)
    about = Counter(frozenset(torsion[1:3]) for torsion in torsions_of(mol))
    for torsion in torsions_of(mol):
        multiples = torsion_multiples(mol, *torsion)
        if any(multiples):
            yield TORSION, torsion, tuple(KCAL_PER_MOL * v / about[frozenset(torsion[1:3])] for v in multiples)


def angle_term(mol: Chem.Mol, i: int, j: int, k: int) -> Term:
    """An angle: linear, square (halogens with several neighbors, octahedral atoms), or bent."""
    center = mol.GetAtomWithIdx(j)
    strength, angle = known(rdForceFieldHelpers.GetUFFAngleBendParams(mol, i, j, k), f"the angle of atoms {i}, {j} and {k}")
    strength *= KCAL_PER_MOL
    if center.GetAtomicNum() in HALOGENS:
        return COSINE_BEND, (i, j, k), (strength, 4.0, 1.0)
    if angle > LINEAR:
        return COSINE_BEND, (i, j, k), (strength, 1.0, -1.0)
    # Four neighbors are a tetrahedron, also about atoms whose only type is that of three (arsenic).
    return BEND, (i, j, k), (strength, TETRAHEDRAL if center.GetDegree() == 4 else angle)


def torsion_multiples(mol: Chem.Mol, i: int, j: int, k: int, last: int) -> tuple[float, float, float]:
    """Strengths V1, V2 and V3 of a torsion, kcal/mol, by UFF's rules (equations 15 to 17 and the exceptions after them)."""
    ends, middle = (mol.GetAtomWithIdx(i), mol.GetAtomWithIdx(last)), (mol.GetAtomWithIdx(j), mol.GetAtomWithIdx(k))
    kinds = [atom.GetHybridization() for atom in middle]
    if not set(kinds) <= TURNING:
        return 0.0, 0.0, 0.0
    strength = rdForceFieldHelpers.GetUFFTorsionParams(mol, i, j, k, last) or 0.0
    bond = mol.GetBondBetweenAtoms(j, k)
    chalcogens = [atom.GetAtomicNum() in CHALCOGENS for atom in middle]
    if bond.GetIsAromatic() or kinds[0] == kinds[1] == HybridizationType.SP2:
        return 0.0, strength, 0.0
    if kinds[0] == kinds[1]:
        return (0.0, -strength, 0.0) if all(chalcogens) else (0.0, 0.0, strength)
    of_sp3 = chalcogens[kinds.index(HybridizationType.SP3)]
    of_sp2 = chalcogens[kinds.index(HybridizationType.SP2)]
    if of_sp3 and not of_sp2:
        return 0.0, -strength, 0.0
    if ends[kinds.index(HybridizationType.SP2)].GetHybridization() == HybridizationType.SP2:
        return 0.0, 0.0, strength
    return 0.0, 0.0, 0.0

"""Which hydrogens of a molecule can turn, and what turning costs within the molecule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from rdkit import Chem

SP, SP2 = Chem.HybridizationType.SP, Chem.HybridizationType.SP2
# kcal/mol, three-fold barriers of the central atom on an sp3 carbon: ethane, methylamine, methanol, methylsilane, methylphosphine,
# methanethiol (microwave and infrared spectra, as any table of rotational barriers has them); others as carbon
BARRIERS = {6: 2.9, 7: 2.0, 8: 1.1, 14: 1.7, 15: 2.0, 16: 1.3, 34: 1.0}
# kcal/mol, a methyl eclipses the double bond at its neighbor (propene 2.0, acetaldehyde 1.2)
ECLIPSED_BARRIER = -1.5
# kcal/mol, a hydroxyl in the plane of its neighbor: phenol 3.4, carboxylic acids higher and with hydrogen syn to the carbonyl, oximes anti
PLANAR_BARRIER, ACID_BARRIER = 3.4, 8.0
SYN_TO_CARBONYL, ANTI_TO_NITROGEN = -4.0, 4.0
# degrees at the oxygen of a hydroxyl on a planar atom, by neutron diffraction of phenols and acids; RDKit takes 120
HYDROXYL_ANGLE = 110.0


@dataclass(frozen=True)
class Rotors:
    """Groups of hydrogens that turn, atoms as rows of the full molecule.

    The axis runs from the mean of the heavy neighbors to the center: the bond of a hydroxyl, and for the hydrogen of a pyramidal amine
    the line about which half a turn is its inversion.

    The cost of turning is c1 (1 + cos f)/2 + c2 (1 - cos 2f)/2 + c3 (1 + cos 3f)/2 of the dihedral f of the first hydrogen, the axis
    and the reference atom.

    centers:   [n_rotors] int64, the heavy atom.
    neighbors: [n_rotors, 2] int64, its heavy neighbors, the same twice where there is one.
    first:     [n_rotors] int64, its first hydrogen.
    periods:   [n_rotors] degrees until the group is what it was: 120 of three hydrogens, else 360.
    flips:     [n_rotors] bool, only half a turn makes sense.
    reference: [n_rotors] int64, a neighbor of the neighbor; -1 where turning costs nothing.
    costs:     [n_rotors, 3] c1, c2, c3, kcal/mol.
    bends:     [n_rotors] degrees between the axis reversed and the hydrogen's bond, where RDKit has it wrong, else 0.
    of_atom:   [n_full] int64, the rotor that each hydrogen belongs to, -1 of all other atoms.
    """

    centers: np.ndarray
    neighbors: np.ndarray
    first: np.ndarray
    periods: np.ndarray
    flips: np.ndarray
    reference: np.ndarray
    costs: np.ndarray
    bends: np.ndarray
    of_atom: np.ndarray

    @classmethod
    def of(cls, mol: Chem.Mol) -> Rotors:
        """The rotors of a molecule with its hydrogens as atoms, by center."""
        found = [(atom, kept) for atom in mol.GetAtoms() if (kept := heavy_neighbors(atom)) and turns(atom, kept)]
        terms = [_cost(atom, kept) for atom, kept in found]
        hydrogens = [[h.GetIdx() for h in atom.GetNeighbors() if h.GetAtomicNum() == 1] for atom, _ in found]
        of_atom = np.full(mol.GetNumAtoms(), -1, dtype=np.int64)
        for rotor, rows in enumerate(hydrogens):
            of_atom[rows] = rotor
        return cls(
            centers=_integers(atom.GetIdx() for atom, _ in found),
            neighbors=_integers(n.GetIdx() for _, kept in found for n in (kept[0], kept[-1])).reshape(-1, 2),
            first=_integers(min(rows) for rows in hydrogens),
            periods=np.array([120.0 if len(rows) == 3 else 360.0 for rows in hydrogens]),
            flips=np.array([len(kept) == 2 for _, kept in found], dtype=bool),
            reference=_integers(reference for reference, _ in terms),
            costs=np.array([costs for _, costs in terms]).reshape(-1, 3),
            bends=np.array([HYDROXYL_ANGLE if _is_planar_hydroxyl(atom) else 0.0 for atom, _ in found]),
            of_atom=of_atom,
        )


def heavy_neighbors(atom: Chem.Atom) -> list[Chem.Atom]:
    """Neighbors but hydrogens, by index."""
    return sorted((n for n in atom.GetNeighbors() if n.GetAtomicNum() > 1), key=lambda n: int(n.GetIdx()))


def turns(atom: Chem.Atom, neighbors: list[Chem.Atom]) -> bool:
    """Whether the hydrogens of an atom can turn: on one single bond, or one on a pyramidal nitrogen or phosphorus between two.

    Planar nitrogen (amides, anilines) has its hydrogens where they must be.
    """
    n_hydrogens = atom.GetDegree() - len(neighbors)
    if atom.GetAtomicNum() == 1 or n_hydrogens == 0:
        return False
    if len(neighbors) == 2:
        return n_hydrogens == 1 and atom.GetDegree() == 3 and _is_pyramidal(atom)
    if len(neighbors) > 2 or atom.GetOwningMol().GetBondBetweenAtoms(atom.GetIdx(), neighbors[0].GetIdx()).GetBondTypeAsDouble() > 1:
        return False
    return n_hydrogens == 3 or (n_hydrogens == 2 and _is_pyramidal(atom)) or (n_hydrogens == 1 and atom.GetDegree() == 2)


def _is_pyramidal(atom: Chem.Atom) -> bool:
    """Three bonds and a lone pair that no double bond takes up."""
    return atom.GetAtomicNum() in (7, 15, 33) and atom.GetFormalCharge() == 0 and atom.GetHybridization() not in (SP, SP2)


def _is_planar_hydroxyl(atom: Chem.Atom) -> bool:
    return atom.GetAtomicNum() == 8 and atom.GetFormalCharge() == 0 and atom.GetHybridization() == SP2


def _cost(atom: Chem.Atom, neighbors: list[Chem.Atom]) -> tuple[int, tuple[float, float, float]]:
    """The reference atom, or -1, and c1, c2, c3 of a rotor."""
    bearer = neighbors[0]
    others = [n for n in heavy_neighbors(bearer) if n.GetIdx() != atom.GetIdx()]
    if len(neighbors) == 2 or bearer.GetHybridization() == SP or not others:
        return -1, (0.0, 0.0, 0.0)
    mol = atom.GetOwningMol()
    double = [n for n in others if mol.GetBondBetweenAtoms(bearer.GetIdx(), n.GetIdx()).GetBondType() == Chem.BondType.DOUBLE]
    reference = (double or others)[0]
    if bearer.GetHybridization() != SP2:
        return int(reference.GetIdx()), (0.0, 0.0, BARRIERS.get(atom.GetAtomicNum(), BARRIERS[6]))
    if atom.GetAtomicNum() == 8:
        return int(reference.GetIdx()), _hydroxyl_cost(bearer, reference, bool(double))
    return int(reference.GetIdx()), (0.0, 0.0, ECLIPSED_BARRIER if double and atom.GetDegree() == 4 else 0.0)


def _hydroxyl_cost(bearer: Chem.Atom, reference: Chem.Atom, double: bool) -> tuple[float, float, float]:
    """Of a hydroxyl on a planar atom, whose double bond leads to `reference` if there is one."""
    if double and bearer.GetAtomicNum() == 6 and reference.GetAtomicNum() == 8:
        return SYN_TO_CARBONYL, ACID_BARRIER, 0.0
    if double and bearer.GetAtomicNum() == 7:
        return ANTI_TO_NITROGEN, PLANAR_BARRIER, 0.0
    return 0.0, PLANAR_BARRIER, 0.0


def _integers(values: Iterable[int]) -> np.ndarray:
    return np.array(list(values), dtype=np.int64)

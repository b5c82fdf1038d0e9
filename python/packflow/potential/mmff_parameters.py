"""Everything MMFF94s knows of one molecule: charges, van der Waals pairs, bonded terms; looked up in RDKit, once per molecule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
import torch
from rdkit import Chem
from rdkit.Chem import rdForceFieldHelpers
from rdkit.ForceField.rdForceField import MMFFMolProperties

from packflow.ops import BondedTerms
from packflow.ops.bonded import BEND, COSINE_BEND, MAX_TERM_ATOMS, N_TERM_PARAMETERS, OUT_OF_PLANE, STRETCH, STRETCH_BEND, TORSION
from packflow.structure.full import full_mol

KCAL_PER_MOL = 4184 / 96485.33212  # eV
# eV in MMFF94's unit of force constants, mdyn Å (Halgren, J. Comput. Chem. 17, 490 (1996)).
MDYNE_ANGSTROM = 143.9325 * KCAL_PER_MOL
# Share of the Coulomb energy that MMFF94 counts between atoms three bonds apart; nearer ones do not interact.
COULOMB_1_4 = 0.75
# Bonds that RDKit turns torsions about: neither at a triple bond nor at the end of the molecule.
TURNING_BOND = Chem.MolFromSmarts("[!$(*#*)&!D1]~[!$(*#*)&!D1]")
LINEAR = 179.5  # degrees
CHARGE_TOLERANCE = 1e-4  # e

# Kind, atoms, parameters as in `packflow.ops.BondedTerms`.
Term = tuple[int, tuple[int, ...], tuple[float, ...]]


class UntypedError(ValueError):
    """A force field has no parameters for a molecule; says why."""


def known(found: tuple[float, ...] | None, what: str) -> tuple[float, ...]:
    """What a force field says of some atoms; raises UntypedError where it says nothing."""
    if found is None:
        raise UntypedError(f"the force field has no parameters for {what}")
    return found


@dataclass(frozen=True)
class MoleculeParameters:
    """Parameters of one molecule in the atom order of `full_mol`.

    model:         which force field they are of: "mmff94s" or "uff".
    charges:       [n_atoms] float64, e.
    types:         [n_atoms] int64, rows of the two tables.
    radius:        [n_types, n_types] float64, distance of the deepest van der Waals energy of a pair, Å.
    depth:         [n_types, n_types] float64, that energy, eV.
    special_index: [n_special, 2] int64, pairs of atoms at most three bonds apart, i < j.
    special_share: [n_special, 2] float64, share of their van der Waals and of their Coulomb energy that counts.
    terms:         bonded terms, of one structure.
    """

    model: str
    charges: np.ndarray
    types: np.ndarray
    radius: np.ndarray
    depth: np.ndarray
    special_index: np.ndarray
    special_share: np.ndarray
    terms: BondedTerms


@lru_cache(maxsize=1024)
def mmff_parameters(smiles: str) -> MoleculeParameters:
    """MMFF94s parameters of a molecule.

    Raises:
        UntypedError: MMFF94 has no type for one of its atoms, or RDKit finds wrong ones.
        InputError: as `full_mol`.
    """
    mol = Chem.Mol(full_mol(smiles))
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol, mmffVariant="MMFF94s")
    if properties is None:
        raise UntypedError(f"MMFF94 has no atom types for {smiles}")
    types = np.array([properties.GetMMFFAtomType(i) for i in range(mol.GetNumAtoms())])
    charges = np.array([properties.GetMMFFPartialCharge(i) for i in range(mol.GetNumAtoms())])
    if abs(charges.sum() - Chem.GetFormalCharge(mol)) > CHARGE_TOLERANCE:
        # as of carbon dioxide, whose oxygens RDKit takes for those of a carboxylate
        raise UntypedError(f"RDKit's MMFF94 types of {smiles} are wrong: charges add up to {charges.sum():.3f} e")
    terms = mmff_terms(mol, properties)
    return molecule_parameters("mmff94s", mol, charges, types, lambda i, j: properties.GetMMFFVdWParams(i, j)[2:], terms)


def molecule_parameters(
    model: str,
    mol: Chem.Mol,
    charges: np.ndarray,
    types: np.ndarray,
    pair: Callable[[int, int], tuple[float, float]],
    terms: Iterable[Term],
) -> MoleculeParameters:
    """Parameters from what a force field says.

    Args:
        model: Its name.
        mol: With hydrogens.
        charges: e. [n_atoms]
        types: Equal numbers for atoms with equal van der Waals parameters. [n_atoms]
        pair: Radius (Å) and depth (kcal/mol) of two atoms.
        terms: Bonded ones.
    """
    _, first_of, type_of = np.unique(types, return_index=True, return_inverse=True)
    pairs = [pair(int(i), int(j)) for i in first_of for j in first_of]
    tables = np.array(pairs, dtype=np.float64).reshape(len(first_of), len(first_of), 2)
    special_index, special_share = special_pairs(mol)
    return MoleculeParameters(
        model=model,
        charges=charges,
        types=type_of.astype(np.int64),
        radius=np.ascontiguousarray(tables[..., 0]),
        depth=tables[..., 1] * KCAL_PER_MOL,
        special_index=special_index,
        special_share=special_share,
        terms=packed(list(terms)),
    )


def packed(terms: list[Term]) -> BondedTerms:
    """Terms of one molecule as tensors, kinds together."""
    terms = sorted(terms, key=lambda term: term[0])
    atoms = [(*on, *[on[0]] * (MAX_TERM_ATOMS - len(on))) for _, on, _ in terms]
    parameters = [(*by, *[0.0] * (N_TERM_PARAMETERS - len(by))) for _, _, by in terms]
    return BondedTerms(
        kind=torch.tensor([kind for kind, _, _ in terms], dtype=torch.uint8),
        atoms=torch.tensor(atoms, dtype=torch.int32).reshape(-1, MAX_TERM_ATOMS),
        parameters=torch.tensor(parameters, dtype=torch.float64).reshape(-1, N_TERM_PARAMETERS),
        term_ptr=torch.tensor([0, len(terms)], dtype=torch.int32),
    )


def special_pairs(mol: Chem.Mol) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of atoms at most three bonds apart, and the shares of their energies that count. [n, 2], [n, 2]"""
    distance = np.triu(Chem.GetDistanceMatrix(mol))
    index = np.argwhere((distance > 0) & (distance <= 3)).astype(np.int64)
    apart = distance[index[:, 0], index[:, 1]]
    return index, np.where((apart == 3)[:, None], [1.0, COULOMB_1_4], 0.0).reshape(-1, 2)


def neighbors_of(mol: Chem.Mol) -> list[list[int]]:
    """Atoms bonded to each atom."""
    return [[other.GetIdx() for other in atom.GetNeighbors()] for atom in mol.GetAtoms()]


def angles_of(mol: Chem.Mol) -> Iterator[tuple[int, int, int]]:
    """Two atoms bonded to the one in the middle, each such pair once."""
    for j, around in enumerate(neighbors_of(mol)):
        for i, k in combinations(around, 2):
            yield i, j, k


def planes_of(mol: Chem.Mol) -> Iterator[tuple[int, int, int, int]]:
    """The three ways to lift one bond, the last, out of the plane of the other two, at each atom with three neighbors."""
    for j, around in enumerate(neighbors_of(mol)):
        if len(around) == 3:
            a, b, c = around
            yield from ((a, j, b, c), (a, j, c, b), (b, j, c, a))


def torsions_of(mol: Chem.Mol) -> Iterator[tuple[int, int, int, int]]:
    """Chains of four atoms about the bonds that RDKit turns torsions about."""
    neighbors = neighbors_of(mol)
    for j, k in mol.GetSubstructMatches(TURNING_BOND):
        for i in neighbors[j]:
            for last in neighbors[k]:
                if i != k and last not in (i, j):
                    yield i, j, k, last


def mmff_terms(mol: Chem.Mol, properties: MMFFMolProperties) -> Iterator[Term]:
    """Bonded terms of MMFF94."""
    lengths = {}
    for bond in mol.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        _, strength, length = known(properties.GetMMFFBondStretchParams(mol, i, j), f"the bond of atoms {i} and {j}")
        lengths[i, j] = lengths[j, i] = length
        yield STRETCH, (i, j), (MDYNE_ANGSTROM * strength, length)
    for i, j, k in angles_of(mol):
        _, strength, angle = known(properties.GetMMFFAngleBendParams(mol, i, j, k), f"the angle of atoms {i}, {j} and {k}")
        if angle > LINEAR:
            yield COSINE_BEND, (i, j, k), (MDYNE_ANGSTROM * strength, 1.0, -1.0)
            continue
        yield BEND, (i, j, k), (MDYNE_ANGSTROM * strength, angle)
        mixed = properties.GetMMFFStretchBendParams(mol, i, j, k)
        if mixed is not None:
            yield STRETCH_BEND, (i, j, k), (MDYNE_ANGSTROM * mixed[1], MDYNE_ANGSTROM * mixed[2], lengths[i, j], lengths[j, k], angle)
    for plane in planes_of(mol):
        strength = properties.GetMMFFOopBendParams(mol, *plane)
        if strength:
            yield OUT_OF_PLANE, plane, (MDYNE_ANGSTROM * strength,)
    for torsion in torsions_of(mol):
        found = properties.GetMMFFTorsionParams(mol, *torsion)
        if found is not None and any(found[1:]):
            yield TORSION, torsion, tuple(KCAL_PER_MOL * v for v in found[1:])

"""Conformers of a molecule in vacuum, by RDKit: where the search for its gas-phase minimum starts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom
from rdkit.rdBase import BlockLogs
from scipy.spatial.transform import Rotation

from packflow.structure.full import FullStructure, full_mol
from packflow.structure.molecule import Molecule, heavy_atom_mol
from packflow.structure.template import Template

# most rotors, and conformers for them: 50, 200 and 300 after Ebejer et al. (J. Chem. Inf. Model. 2012, 52, 1146); rigid ones pucker at most
N_CONFORMERS = ((0, 10), (7, 50), (12, 200))
MOST_CONFORMERS = 300
# Å, standard deviation of each coordinate
DISPLACEMENT = 0.03


@dataclass(frozen=True)
class ConformerConfig:
    """Which conformers are made.

    n_conformers: of each molecule, twice as many if it has hydroxyls; by default as many as `n_conformers_of` says.
    seed:         of RDKit's random numbers.
    """

    n_conformers: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.n_conformers is not None and self.n_conformers < 1:
            raise ValueError(f"n_conformers must be at least 1 or None, got {self.n_conformers}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")


@lru_cache(maxsize=1024)
def canonical_smiles(smiles: str) -> str:
    """The same for every SMILES of a molecule; stereoisomers, tautomers and charge states differ.

    Raises:
        InputError: as `Molecule.from_smiles`.
    """
    return str(Chem.MolToSmiles(heavy_atom_mol(smiles)))


def n_rotors(smiles: str) -> int:
    """Acyclic single bonds whose turning makes another conformer.

    Not those to atoms without another neighbour, to triple-bonded atoms, and to groups of three hydrogens. A hydroxyl counts.
    """
    mol = full_mol(smiles)
    single = [b for b in mol.GetBonds() if b.GetBondType() == Chem.BondType.SINGLE and not b.IsInRing()]
    return sum(all(_turns(atom, other) for atom, other in (_ends(b), _ends(b)[::-1])) for b in single)


def _ends(bond: Chem.Bond) -> tuple[Chem.Atom, Chem.Atom]:
    return bond.GetBeginAtom(), bond.GetEndAtom()


def _turns(atom: Chem.Atom, other: Chem.Atom) -> bool:
    """Whether turning the neighbours of an atom about its bond to the other moves any of them to another place."""
    numbers = [n.GetAtomicNum() for n in atom.GetNeighbors() if n.GetIdx() != other.GetIdx()]
    return bool(numbers) and atom.GetHybridization() != Chem.HybridizationType.SP and numbers != [1, 1, 1]


def n_conformers_of(smiles: str) -> int:
    """10 for a rigid molecule, 50 for up to 7 rotors, 200 for up to 12, else 300."""
    rotors = n_rotors(smiles)
    return next((n for most, n in N_CONFORMERS if rotors <= most), MOST_CONFORMERS)


def conformers(smiles: str, config: ConformerConfig | None = None) -> list[FullStructure]:
    """Conformers of one molecule in vacuum, not relaxed; some may be equal.

    By RDKit's ETKDGv3, whose torsions are those of crystals. What is most stable in vacuum, such as the hydroxyl of an acid that turns to
    the rest of the molecule, is rare there, so each conformer comes once more with hydroxyls and thiols that point anywhere. All atoms are
    moved a little, so that a relaxation does not stay on a saddle point, such as a planar NH2. RDKit could leave out equal conformers, but
    then also those that differ in where a hydroxyl points.

    Stereocentres and double bonds are as the SMILES says; those that it leaves open come in any configuration.

    Args:
        smiles: Of the molecule.
        config: How many, and the seed.

    Returns:
        Molecules without a cell, in the atom order of the SMILES; none where RDKit finds no geometry.

    Raises:
        InputError: as `Molecule.from_smiles`.
    """
    config = config or ConformerConfig()
    template = Template(Molecule.from_smiles(smiles), 1)
    random = np.random.default_rng(config.seed)
    found = _embedded(smiles, config.n_conformers or n_conformers_of(smiles), config.seed)
    if hydroxyls(smiles):
        found += [_with_turned_hydroxyls(smiles, positions, random) for positions in found]
    return [FullStructure(template, positions + DISPLACEMENT * random.normal(size=positions.shape), None) for positions in found]


def _embedded(smiles: str, n: int, seed: int) -> list[np.ndarray]:
    """Positions of n conformers, Å; none where RDKit finds no geometry. [n_atoms, 3] each"""
    mol = Chem.Mol(full_mol(smiles))
    parameters: Any = rdDistGeom.ETKDGv3()  # its attributes have wrong types in RDKit's stubs
    parameters.randomSeed = seed + 1  # RDKit multiplies it by the number of the conformer: 0 would make them all equal
    found: list[int] = []
    with BlockLogs():
        for parameters.useRandomCoords in (False, True):
            found = found or list(rdDistGeom.EmbedMultipleConfs(mol, n, parameters))
    return [mol.GetConformer(c).GetPositions().astype(float) for c in found]


@lru_cache(maxsize=1024)
def hydroxyls(smiles: str) -> tuple[tuple[int, int, int], ...]:
    """Hydrogens on oxygen or a heavier chalcogen that turn about its bond to another atom: that atom, the chalcogen, the hydrogen."""
    found = []
    for atom in full_mol(smiles).GetAtoms():
        neighbors = sorted(n.GetIdx() for n in atom.GetNeighbors())  # hydrogens come last
        kinds = [n.GetAtomicNum() == 1 for n in atom.GetNeighbors()]
        if atom.GetAtomicNum() in (8, 16, 34) and sorted(kinds) == [False, True]:
            found.append((neighbors[0], atom.GetIdx(), neighbors[1]))
    return tuple(found)


def _with_turned_hydroxyls(smiles: str, positions: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Positions with hydroxyls and thiols turned by random angles. [n_atoms, 3]"""
    turned = positions.copy()
    for other, atom, hydrogen in hydroxyls(smiles):
        axis = positions[atom] - positions[other]
        turn = Rotation.from_rotvec(random.uniform(0.0, 2.0 * np.pi) * axis / np.linalg.norm(axis))
        turned[hydrogen] = positions[atom] + turn.apply(positions[hydrogen] - positions[atom])
    return turned

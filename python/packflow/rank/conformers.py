"""Conformers of a molecule in vacuum, by RDKit: where the search for its gas-phase minimum starts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdDistGeom
from rdkit.rdBase import BlockLogs

from packflow.structure.full import FullStructure, full_mol
from packflow.structure.molecule import Molecule, heavy_atom_mol
from packflow.structure.template import Template

# most rotors, and conformers for them: 50, 200 and 300 after Ebejer et al. (J. Chem. Inf. Model. 2012, 52, 1146); rigid ones pucker at most
N_CONFORMERS = ((0, 10), (7, 50), (12, 200))
MOST_CONFORMERS = 300


@dataclass(frozen=True)
class ConformerConfig:
    """Which conformers are made.

    n_conformers: of each molecule; by default as many as `n_conformers_of` says.
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
    """Conformers of one molecule in vacuum by RDKit's ETKDGv3, not relaxed; some may be equal.

    RDKit can leave out equal ones, but then also those that differ in where a hydroxyl points.

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
    mol = Chem.Mol(full_mol(smiles))
    template = Template(Molecule.from_smiles(smiles), 1)
    parameters: Any = rdDistGeom.ETKDGv3()  # its attributes have wrong types in RDKit's stubs
    parameters.randomSeed = config.seed + 1  # RDKit multiplies it by the number of the conformer: 0 would make them all equal
    wanted = config.n_conformers or n_conformers_of(smiles)
    with BlockLogs():
        found = list(rdDistGeom.EmbedMultipleConfs(mol, wanted, parameters))
        if not found:
            parameters.useRandomCoords = True
            found = list(rdDistGeom.EmbedMultipleConfs(mol, wanted, parameters))
    return [FullStructure(template, mol.GetConformer(c).GetPositions().astype(float), None) for c in found]

"""What knowing nothing of packing gives: molecules anywhere, turned anyhow, in cells of any shape and the right density."""

from __future__ import annotations

import numpy as np
import torch
from rdkit.Chem import AddHs
from rdkit.Chem.rdDistGeom import EmbedMolecule
from rdkit.rdBase import BlockLogs
from scipy.spatial.transform import Rotation

from packflow.structure import Crystal, Template
from packflow.structure.lattice import volume
from packflow.structure.molecule import heavy_atom_mol

LENGTHS, ANGLES = (0.6, 1.6), (75.0, 105.0)


def conformer(template: Template, seed: int) -> np.ndarray:
    """Heavy atoms of one conformer by RDKit's distance geometry, centered, Å. [n_atoms of the molecule, 3]"""
    mol = AddHs(heavy_atom_mol(template.molecule.smiles))
    with BlockLogs():
        if EmbedMolecule(mol, randomSeed=seed) and EmbedMolecule(mol, randomSeed=seed, useRandomCoords=True):
            raise RuntimeError(f"{template.molecule.smiles} cannot be embedded")
    positions = mol.GetConformer().GetPositions()[: template.molecule.n_atoms]
    return positions - positions.mean(0)


def random_crystal(reference: Crystal, seed: int) -> Crystal:
    """As many molecules as in the reference and a cell of its volume; all else random."""
    template, random = reference.template, np.random.default_rng(seed)
    lattice = np.concatenate([random.uniform(*LENGTHS, 3), random.uniform(*ANGLES, 3)])
    wanted, got = (volume(torch.from_numpy(x)).item() for x in (reference.lattice, lattice))
    lattice[:3] *= (wanted / got) ** (1 / 3)
    empty = Crystal(template, np.zeros((template.n_atoms, 3)), lattice)
    turns = Rotation.random(template.n_copies, random)
    centers = random.random((template.n_copies, 3)) @ empty.cell
    copies = [turn.apply(conformer(template, seed)) + center for turn, center in zip(turns, centers, strict=True)]
    positions = np.concatenate(copies)
    return Crystal(template, positions - positions.mean(0), lattice)

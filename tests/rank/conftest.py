"""Crystals with hydrogens, results of relaxations that are made by hand, and changes of cell that change no crystal."""

from dataclasses import replace

import numpy as np
import pytest

from packflow import Molecule, Template
from packflow.relax.relax import Relaxed
from packflow.structure.cif import read_cif
from packflow.structure.full import FullStructure, full_mol
from packflow.structure.full_sites import full_structure


@pytest.fixture(scope="session")
def full_crystal(cif_folder, smiles_of):
    """A function from a COD number to the measured crystal with its hydrogens."""
    return lambda cod: full_structure(read_cif(cif_folder / f"{cod}.cif")[0], smiles_of[cod])


@pytest.fixture(scope="session")
def urea(full_crystal):
    return full_crystal("2019369")


@pytest.fixture(scope="session")
def ended():
    """A function that makes the result of a relaxation: by default a converged one."""

    def make(structure, energy=-1.0, converged=True, problem="", n_steps=10, index=0):
        return Relaxed(index, structure, energy, 0.01, 1e-4 * np.eye(3), n_steps, converged, problem)

    return make


@pytest.fixture(scope="session")
def swollen():
    """A function that makes the crystal with its rigid molecules further apart, by a factor of the cell's lengths."""

    def make(structure, factor):
        molecules = structure.positions.reshape(structure.template.n_copies, -1, 3)
        centers = molecules.mean(1, keepdims=True)
        return replace(structure, positions=(molecules + (factor - 1) * centers).reshape(-1, 3), cell=factor * structure.cell)

    return make


@pytest.fixture(scope="session")
def other_setting():
    """A function that describes the same crystal otherwise: twice the cell, turned, moved, molecules in another order, left-handed."""

    def make(structure):
        n = structure.template.n_copies
        copies = structure.positions.reshape(n, -1, 3)
        doubled = np.concatenate([copies, copies - structure.cell[0]])[::-1] + structure.cell[2]
        basis = np.array([[1.0, 1.0, 0.0], [2.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
        assert round(np.linalg.det(basis)) == -2
        turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
        turn *= np.linalg.det(turn)
        # the two halves must differ by a vector that the doubled lattice has not
        assert not np.allclose(np.array([1.0, 0.0, 0.0]) @ np.linalg.inv(basis) % 1.0 % 1.0, 0.0)
        template = replace(structure.template, n_copies=2 * n)
        return FullStructure(template, doubled.reshape(-1, 3) @ turn + [1.0, -7.0, 2.0], basis @ structure.cell @ turn)

    return make


@pytest.fixture(scope="session")
def apart():
    """A function that puts molecules without cell side by side into a large one."""

    def make(molecules, length=30.0):
        smiles = molecules[0].template.molecule.smiles
        copies = [m.positions - m.positions.mean(0) + [0.0, 0.0, k * length / len(molecules)] for k, m in enumerate(molecules)]
        return FullStructure(Template(Molecule.from_smiles(smiles), len(copies)), np.concatenate(copies), length * np.eye(3))

    return make


@pytest.fixture(scope="session")
def atom_of():
    """A function that finds the k-th atom of a copy with a symbol: its row in the structure."""

    def find(structure, symbol, k=0, copy=0):
        mol = full_mol(structure.template.molecule.smiles)
        found = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetSymbol() == symbol]
        return copy * mol.GetNumAtoms() + found[k]

    return find

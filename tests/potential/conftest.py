"""Crystals with hydrogens, from the test CIFs and from X23 where it is on this machine."""

from pathlib import Path

import numpy as np
import pytest

from packflow import Molecule, Template
from packflow.structure.cif import read_cif
from packflow.structure.full import FullStructure, n_full_atoms
from packflow.structure.full_sites import full_structure

X23 = Path(__file__).parents[3] / "shared" / "data" / "x23"


@pytest.fixture(scope="session")
def crystal_of(cif_folder, smiles_of):
    """A function from a COD number to the crystal with its hydrogens."""
    return lambda cod: full_structure(read_cif(cif_folder / f"{cod}.cif")[0], smiles_of[cod])


@pytest.fixture(scope="session")
def gas_of():
    """A function that takes the first molecule of a crystal into vacuum."""

    def alone(crystal):
        template = Template(crystal.template.molecule, 1)
        return FullStructure(template, crystal.positions[: n_full_atoms(template)], None)

    return alone


@pytest.fixture(scope="session")
def scattered():
    """A function that makes a structure of a SMILES with atoms at random places some Å apart, in a cube or in vacuum."""

    def make(smiles, n_copies=1, periodic=True, seed=0):
        template = Template(Molecule.from_smiles(smiles), n_copies)
        n_atoms = n_full_atoms(template)
        side = int(np.ceil(n_atoms ** (1 / 3)))
        grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)[:n_atoms]
        positions = 1.6 * grid + np.random.default_rng(seed).uniform(-0.1, 0.1, size=(n_atoms, 3))
        return FullStructure(template, positions, (1.6 * side + 1.0) * np.eye(3) if periodic else None)

    return make


@pytest.fixture(scope="session")
def x23_folder():
    """The X23 benchmark, which may not be redistributed."""
    if not X23.exists():
        pytest.skip(f"{X23} is not on this machine")
    return X23


@pytest.fixture
def evaluate():
    """A function that evaluates structures with a potential."""

    def run(potential, batch):
        return potential.prepare(batch).evaluate(batch.positions, batch.cell)

    return run

"""Crystals with hydrogens, from the test CIFs and from X23 where it is on this machine, loose ones, and what any potential must do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit.Chem import AllChem

from packflow import Molecule, Template
from packflow.structure.cif import read_cif
from packflow.structure.full import FullBatch, FullStructure, full_mol, n_full_atoms
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


CORNERS = np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope="session")
def loose():
    """A function that makes a crystal of one or two turned molecules in a skewed cell of about the given length, or a molecule in vacuum.

    Molecules are whole; the origin is anywhere.
    """

    def make(smiles, n_copies=1, length=None, seed=0):
        mol = AllChem.AddHs(full_mol(smiles))
        assert AllChem.EmbedMolecule(mol, randomSeed=1) == 0
        inside = mol.GetConformer().GetPositions()
        inside -= inside.mean(0)
        random = np.random.default_rng(seed)
        cell = None if length is None else length * (np.eye(3) + 0.05 * random.normal(size=(3, 3)))
        copies = []
        for corner in CORNERS[:n_copies]:
            turned = inside @ np.linalg.qr(random.normal(size=(3, 3)))[0]
            copies.append(turned + (0 if cell is None else corner @ cell) + [20.0, -7.0, 3.0])
        return FullStructure(Template(Molecule.from_smiles(smiles), n_copies), np.concatenate(copies), cell)

    return make


@pytest.fixture(scope="session")
def mixed(loose):
    """A batch of urea, carbon dioxide in vacuum and formamide."""
    return FullBatch.pack([loose("NC(N)=O", 2, 6.0), loose("O=C=O"), loose("NC=O", 2, 5.5, 3)])


@pytest.fixture(scope="session")
def check_single():
    """A function that checks that structures alone, by `select` and by `prepare`, give what they give in a batch."""

    def check(potential, batch, tolerance):
        prepared = potential.prepare(batch)
        together = prepared.evaluate(batch.positions, batch.cell)
        assert together.problems == [""] * len(batch)
        assert all(x.dtype == torch.float64 for x in (together.energy, together.forces, together.stress))
        for s in range(len(batch)):
            alone = batch.select(torch.tensor([s]))
            atoms = batch.structure_index == s
            for one in (prepared.select(torch.tensor([s])), potential.prepare(alone)):
                found = one.evaluate(alone.positions, alone.cell)
                assert found.problems == [""]
                torch.testing.assert_close(found.energy, together.energy[s : s + 1], rtol=0, atol=tolerance)
                torch.testing.assert_close(found.forces, together.forces[atoms], rtol=0, atol=tolerance)
                torch.testing.assert_close(found.stress, together.stress[s : s + 1], rtol=0, atol=tolerance)
            assert bool((together.stress[s] == 0).all()) == (not batch.periodic[s])
        turned = torch.tensor([2, 0, 2])
        rows = batch.select(turned)
        again = prepared.select(turned).evaluate(rows.positions, rows.cell)
        torch.testing.assert_close(again.energy, together.energy[turned], rtol=0, atol=tolerance)

    return check


@pytest.fixture(scope="session")
def check_derivatives():
    """A function that checks forces and stress of all structures together against differences of the energy, along random directions.

    Errors are relative to the derivative that is largest in the batch, so that float32 noise in a small one is not judged.
    """

    def check(potential, batch, tolerance, step=5e-3):
        prepared = potential.prepare(batch)
        found = prepared.evaluate(batch.positions, batch.cell)
        generator = torch.Generator().manual_seed(1)
        direction = torch.randn(batch.positions.shape, generator=generator, dtype=torch.float64)
        direction /= direction.norm(dim=1, keepdim=True)
        strain = torch.randn(len(batch), 3, 3, generator=generator, dtype=torch.float64)
        strain = 0.5 * (strain + strain.mT) * batch.periodic[:, None, None]

        def difference(move):
            energies = [prepared.evaluate(*move(sign * step)).energy for sign in (1, -1)]
            return (energies[0] - energies[1]) / (2 * step)

        def strained(size):
            grow = torch.eye(3, dtype=torch.float64) + 0.5 * size * strain
            return torch.einsum("ni,nij->nj", batch.positions, grow[batch.structure_index]), batch.cell @ grow

        work = torch.zeros(len(batch), dtype=torch.float64).index_add(0, batch.structure_index, -(found.forces * direction).sum(1))
        slope = difference(lambda size: (batch.positions + size * direction, batch.cell))
        assert ((slope - work).abs() <= tolerance * work.abs().max()).all(), (slope, work)
        work = 0.5 * (found.stress * strain).sum((1, 2)) * torch.linalg.det(batch.cell).abs()
        slope = difference(strained)
        assert ((slope - work).abs() <= tolerance * work.abs().max()).all(), (slope, work)

    return check


@pytest.fixture(scope="session")
def check_failures():
    """A function that checks that bad structures in the middle of a batch are marked, and the others are what they are without them."""

    def numbers_of(found, batch, s):
        return torch.cat([found.energy[s : s + 1], found.forces[batch.structure_index == s].ravel(), found.stress[s].ravel()])

    def check(potential, batch, tolerance):
        rows = torch.tensor([0, 0, 2, 1, 0, 2, 1])
        many = batch.select(rows)
        positions, cell = many.positions.clone(), many.cell.clone()
        positions[many.atom_ptr[1]] = torch.nan
        cell[2, 2] = 0
        cell[4] *= 0.1
        positions[many.atom_ptr[6]] = torch.inf
        found = potential.prepare(many).evaluate(positions, cell)
        expected = potential.prepare(batch).evaluate(batch.positions, batch.cell)
        assert [bool(problem) for problem in found.problems] == [False, True, True, False, True, False, True]
        assert "finite" in found.problems[1]
        assert "finite" in found.problems[6]
        assert "Å3 per atom" in found.problems[4]
        for s, problem in enumerate(found.problems):
            numbers, wanted = numbers_of(found, many, s), numbers_of(expected, batch, int(rows[s]))
            if problem:
                assert numbers.isnan().all()
            else:
                torch.testing.assert_close(numbers, wanted, rtol=0, atol=tolerance)

    return check

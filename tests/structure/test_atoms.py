"""AtomsBatch: joining, selecting, and where it comes from."""

import numpy as np
import pytest
import torch

from packflow.structure import AtomsBatch, Crystal, CrystalBatch, Molecule, Template


@pytest.fixture
def crystals():
    rng = np.random.default_rng(0)
    made = []
    for smiles, n_copies in (("CO", 2), ("C", 1), ("c1ccccc1", 3)):
        template = Template(Molecule.from_smiles(smiles), n_copies)
        made.append(Crystal(template, rng.normal(size=(template.n_atoms, 3)), np.array([7.0, 8, 9, 80, 95, 100])))
    return made


def same(x, y):
    return all(torch.equal(getattr(x, name), getattr(y, name)) for name in x.__dataclass_fields__)


def test_from_crystals(crystals):
    atoms = AtomsBatch.from_crystals(crystals)
    assert atoms.sizes.tolist() == [4, 1, 18]
    assert atoms.atom_ptr.tolist() == [0, 4, 5, 23]
    assert atoms.atomic_numbers[:5].tolist() == [6, 8, 6, 8, 6]
    assert atoms.n_hydrogens[:5].tolist() == [3, 1, 3, 1, 4]
    assert atoms.has_bonds.all()
    assert atoms.bond_index.shape == (2, 2 * (2 + 18))
    assert torch.equal(atoms.cell[2], torch.from_numpy(crystals[2].cell))
    assert atoms.positions.dtype == torch.float64


def test_from_batch_is_from_crystals_in_single_precision(crystals):
    atoms, single = AtomsBatch.from_crystals(crystals), AtomsBatch.from_batch(CrystalBatch.pack(crystals))
    assert torch.equal(single.bond_index, atoms.bond_index)
    torch.testing.assert_close(single.positions, atoms.positions.float())
    torch.testing.assert_close(single.cell, atoms.cell.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0], [1, 1, 2, 2], []])
def test_select_is_joining_those_crystals(crystals, order):
    atoms = AtomsBatch.from_crystals(crystals)
    assert same(atoms.select(torch.tensor(order, dtype=torch.int64)), AtomsBatch.from_crystals([crystals[k] for k in order]))


def test_select_by_flags(crystals):
    atoms = AtomsBatch.from_crystals(crystals)
    assert same(atoms.select(torch.tensor([True, False, True])), AtomsBatch.from_crystals([crystals[0], crystals[2]]))


def test_join_mixes_precisions(crystals):
    atoms = AtomsBatch.from_crystals(crystals[:1])
    joined = AtomsBatch.join([AtomsBatch.from_batch(CrystalBatch.pack(crystals[:1])), atoms])
    assert joined.positions.dtype == torch.float64
    assert len(joined) == 2
    assert torch.equal(joined.positions[4:], atoms.positions)
    assert len(AtomsBatch.join([])) == 0

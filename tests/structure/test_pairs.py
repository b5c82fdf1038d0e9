"""Near pairs of a molecule against a walk over its bonds, and their distances against real ones."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from packflow.structure import Molecule, Template, TemplateBatch
from packflow.structure.pairs import MOST_BONDS_APART

SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "C1CC1C#N", "FC(F)(F)[Si](C)(C)C", "C12C3C4C1C5C2C3C45", "[NH3+][C@@H](CBr)C(=O)[O-]"]


def bonds_apart(molecule, start):
    """Number of bonds from an atom to every other, by walking."""
    reached, edge, steps = {start: 0}, [start], 0
    while edge:
        steps += 1
        bonded = {j for i, j in molecule.bond_index.T.tolist() if i in edge} - reached.keys()
        reached |= dict.fromkeys(bonded, steps)
        edge = list(bonded)
    return reached


@pytest.mark.parametrize("smiles", SMILES)
def test_all_pairs_up_to_three_bonds_apart(smiles):
    molecule = Molecule.from_smiles(smiles)
    expected = {
        (i, j): steps for i in range(molecule.n_atoms) for j, steps in bonds_apart(molecule, i).items() if 0 < steps <= MOST_BONDS_APART
    }
    pairs = [tuple(pair) for pair in molecule.pair_index.T.tolist()]
    assert pairs == sorted(expected)
    assert molecule.pair_features[:, 0].tolist() == [expected[pair] for pair in pairs]


@pytest.mark.parametrize("smiles", SMILES[:3])
def test_an_embedded_molecule_lies_in_the_ranges(smiles):
    """RDKit's embedding is made from these ranges, with hydrogens, and may leave them by hundredths of an Å."""
    molecule = Molecule.from_smiles(smiles)
    embedded = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(embedded, randomSeed=1) == 0
    x = embedded.GetConformer().GetPositions()
    i, j = molecule.pair_index
    distance = np.linalg.norm(x[i] - x[j], axis=1)
    _, smallest, largest = molecule.pair_features.T
    assert (distance > smallest - 0.1).all()
    assert (distance < largest + 0.1).all()
    assert (largest - smallest)[molecule.pair_features[:, 0] == 1].max() < 0.05


def test_benzene():
    molecule = Molecule.from_smiles("c1ccccc1")
    apart, smallest, largest = molecule.pair_features.T
    middle = (smallest + largest) / 2
    for bonds, distance in ((1, 1.39), (2, 2.42), (3, 2.79)):
        assert middle[apart == bonds] == pytest.approx(distance, abs=0.05)


def test_a_single_atom_has_no_pairs():
    molecule = Molecule.from_smiles("C")
    assert molecule.pair_index.shape == (2, 0)
    assert molecule.pair_features.shape == (0, 3)


def test_copies_and_batches_shift_the_pairs():
    acid, benzene = (Molecule.from_smiles(smiles) for smiles in ("CC(=O)O", "c1ccccc1"))
    batch = TemplateBatch.pack([Template(acid, 2), Template(benzene, 1)])
    expected = np.concatenate([acid.pair_index, acid.pair_index + 4, benzene.pair_index + 8], axis=1)
    assert np.array_equal(batch.pair_index.numpy(), expected)
    features = np.concatenate([acid.pair_features, acid.pair_features, benzene.pair_features])
    assert np.array_equal(batch.pair_features.numpy(), features)

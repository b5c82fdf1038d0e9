"""Molecules: features, atom order, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from safetensors.numpy import load_file

from packflow.errors import InputError
from packflow.structure import Molecule, Template, TemplateBatch
from packflow.structure.molecule import one_molecule

PARITY = Path(__file__).parents[3] / "shared" / "parity" / "inputs.safetensors"
PARITY_CELLS = (("CC(=O)Oc1ccccc1C(=O)O", 4), ("N#Cc1sc(Cl)cc1/C=C/C(F)(F)F", 2), ("[NH3+][C@@H](CBr)C(=O)[O-]", 3))


def test_aspirin():
    aspirin = Molecule.from_smiles("CC(=O)Oc1ccccc1C(=O)O")
    assert aspirin.n_atoms == 13
    methyl, carbonyl = aspirin.atom_features[:2].tolist()
    assert methyl == [5, 4, 0, 3, 5, 3, 2, 0, 0, 0]  # C, 4 neighbours, no ring, 3 implicit H, neutral, 3 H, SP3
    assert carbonyl == [5, 3, 0, 0, 5, 0, 1, 0, 0, 0]
    ring_carbon = aspirin.atom_features[4].tolist()
    assert ring_carbon == [5, 3, 1, 0, 5, 0, 1, 1, 0, 1]
    assert aspirin.bond_index.shape == (2, 26)
    assert aspirin.bond_index[:, :4].T.tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]
    assert aspirin.bond_features[:4].tolist() == [[0, 0], [0, 0], [1, 1], [1, 1]]


def test_each_directed_edge_has_its_own_bond():
    mol = Molecule.from_smiles("C#CC=CC(=O)Nc1ccccc1")
    rdkit_mol = Chem.MolFromSmiles(mol.smiles)
    kinds = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")
    for (i, j), (kind, conjugated) in zip(mol.bond_index.T.tolist(), mol.bond_features.tolist(), strict=True):
        bond = rdkit_mol.GetBondBetweenAtoms(i, j)
        assert (kinds[kind], conjugated) == (str(bond.GetBondType()), int(bond.GetIsConjugated()))


@pytest.mark.skipif(not PARITY.exists(), reason="the released code's numbers (../shared/parity) are not here")
def test_released_code():
    fixtures = load_file(PARITY)
    batch = TemplateBatch.pack([Template(Molecule.from_smiles(smiles), n_copies) for smiles, n_copies in PARITY_CELLS])
    np.testing.assert_array_equal(batch.atomic_numbers, fixtures["atom_types"])
    np.testing.assert_array_equal(batch.atom_features, fixtures["node_features"])
    np.testing.assert_array_equal(batch.bond_index, fixtures["edge_index"])
    np.testing.assert_array_equal(batch.bond_features, fixtures["bond_features_aligned"])
    np.testing.assert_array_equal(batch.crystal_index, fixtures["batch"])


@pytest.mark.parametrize(("smiles", "n_atoms"), [("C", 1), ("O", 1), ("[2H]C([2H])([2H])O", 2), ("[H]O[H]", 1), ("[H]/C=C/Cl", 3)])
def test_hydrogens_are_never_atoms(smiles, n_atoms):
    mol = Molecule.from_smiles(smiles)
    assert mol.n_atoms == n_atoms
    assert (mol.atomic_numbers > 1).all()


def test_molecule_without_bonds():
    methane = Molecule.from_smiles("C")
    assert methane.bond_index.shape == (2, 0)
    assert methane.bond_features.shape == (0, 2)


@pytest.mark.parametrize(
    ("smiles", "message"),
    [
        ("CC(", "cannot be parsed"),
        ("", "cannot be parsed"),
        ("c1cccc1", "not a valid molecule"),
        ("C(C)(C)(C)(C)C", "not a valid molecule"),
        ("[Na+].[Cl-]", "only crystals of one kind of molecule"),
        ("CCO.O", "only crystals of one kind of molecule"),
        ("[H][H]", "no heavy atom"),
        ("C[Sn](C)(C)C", "unsupported element Sn"),
    ],
)
def test_refused(smiles, message):
    with pytest.raises(InputError, match=message) as caught:
        Molecule.from_smiles(smiles)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("n_copies", [0, -1])
def test_template_without_molecules(n_copies):
    with pytest.raises(InputError, match="n_copies must be at least 1"):
        Template(Molecule.from_smiles("C"), n_copies)


def test_template_repeats_the_molecule():
    mol = Molecule.from_smiles("OCC#N")
    template = Template(mol, 3)
    assert template.n_atoms == 12
    np.testing.assert_array_equal(template.atomic_numbers.reshape(3, -1), [mol.atomic_numbers] * 3)
    np.testing.assert_array_equal(template.bond_index[:, 6:12], mol.bond_index + 4)
    np.testing.assert_array_equal(template.bond_features.reshape(3, -1, 2), [mol.bond_features] * 3)


@pytest.mark.parametrize(
    ("smiles", "one"),
    [
        ("OCC", "OCC"),
        ("OCC.C(C)O.OCC", "CCO"),
        ("C[C@H](F)Cl.C[C@H](F)Cl", "C[C@H](F)Cl"),
        ("C[C@H](F)Cl.C[C@@H](F)Cl", "CC(F)Cl"),
        ("[Na+].[Cl-]", "[Na+].[Cl-]"),
        ("C1.C1", "CC"),
        ("CC(.CC", "CC(.CC"),
    ],
    ids=["one", "three", "one hand", "both hands", "salt", "dot inside a molecule", "unreadable"],
)
def test_one_molecule(smiles, one):
    assert one_molecule(smiles) == one

"""Numbers of conformers, their reproducibility, and that they are the molecule that was asked for."""

import numpy as np
import pytest
from rdkit import Chem

from packflow import InputError
from packflow.rank.conformers import ConformerConfig, canonical_smiles, conformers, hydroxyls, n_conformers_of, n_rotors
from packflow.structure.full import full_mol

ROTORS = {
    "CC": 0,
    "CO": 0,
    "CCO": 1,
    "CCCC": 1,
    "c1ccccc1": 0,
    "c1ccccc1-c1ccccc1": 1,
    "CC#CC": 0,
    "CC(=O)Nc1ccc(O)cc1": 3,
    "OCC(O)CO": 5,
    "C[NH3+]": 0,
    "C1CCCCC1": 0,
    "CC=C": 0,
}


@pytest.mark.parametrize("smiles", ROTORS)
def test_rotors_counted_by_hand(smiles):
    assert n_rotors(smiles) == ROTORS[smiles]


@pytest.mark.parametrize(("smiles", "n"), [("CC", 10), ("CCO", 50), ("O" + "C" * 8 + "O", 200), ("O" + "C" * 14 + "O", 300)])
def test_number_by_rotors(smiles, n):
    assert n_conformers_of(smiles) == n


def test_conformers_differ_and_come_again():
    first, again = (conformers("OCC(O)CO", ConformerConfig(8)) for _ in range(2))
    other = conformers("OCC(O)CO", ConformerConfig(8, seed=1))
    assert len(first) == 16  # with hydroxyls turned once more
    assert len(conformers("CCC", ConformerConfig(8))) == 8
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(first, again, strict=True))
    assert not any(np.allclose(a.positions, b.positions) for a, b in zip(first, other, strict=True))
    spans = {tuple(np.round(np.sort(np.linalg.norm(c.positions - c.positions.mean(0), axis=1)), 2)) for c in first}
    assert len(spans) > 4


@pytest.mark.parametrize("smiles", ["N[C@@H](C)C(=O)O", "C/C=C\\C(F)=O", "C[C@H](O)[C@@H](O)C", "C[S@](=O)CC", "O[C@H]1CC[C@@H](C)CC1"])
def test_stereochemistry_is_kept(smiles):
    """Read back from the coordinates by RDKit."""
    for conformer in conformers(smiles, ConformerConfig(5)):
        mol = Chem.Mol(full_mol(smiles))
        Chem.RemoveStereochemistry(mol)
        shape = Chem.Conformer(mol.GetNumAtoms())
        shape.SetPositions(conformer.positions)
        mol.AddConformer(shape)
        Chem.AssignStereochemistryFrom3D(mol)
        assert Chem.MolToSmiles(Chem.RemoveHs(mol)) == canonical_smiles(smiles)


def test_atoms_are_in_the_order_of_the_smiles():
    one = conformers("OC", ConformerConfig(1))[0]
    oxygen, carbon, *hydrogens = one.positions
    assert np.linalg.norm(hydrogens[0] - oxygen) < 1.05 < np.linalg.norm(hydrogens[0] - carbon)
    assert one.cell is None


def test_canonical_smiles():
    assert canonical_smiles("OCC") == canonical_smiles("C(C)O")
    assert canonical_smiles("N[C@@H](C)C(=O)O") != canonical_smiles("N[C@H](C)C(=O)O")
    with pytest.raises(InputError, match="cannot be parsed"):
        canonical_smiles("C(")


@pytest.mark.parametrize(("arguments", "name"), [({"n_conformers": 0}, "n_conformers"), ({"seed": -1}, "seed")])
def test_bad_configuration(arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        ConformerConfig(**arguments)


def torsion(x, a, b, c, d):
    axis = (x[c] - x[b]) / np.linalg.norm(x[c] - x[b])
    first, last = (v - (v @ axis) * axis for v in (x[a] - x[b], x[d] - x[c]))
    return np.degrees(np.arctan2(np.cross(first, last) @ axis, first @ last))


def test_hydroxyls_point_anywhere_once_more():
    """Acetic acid: syn by RDKit, then anywhere, as ETKDG never makes it; bonds and angles stay."""
    found = conformers("CC(=O)O", ConformerConfig(20))
    assert hydroxyls("CC(=O)O") == ((1, 3, 7),)
    angles = np.abs([torsion(c.positions, 2, 1, 3, 7) for c in found])
    assert angles[:20].max() < 40
    assert angles[20:].max() > 140
    assert angles[20:].min() < 30
    lengths = [np.linalg.norm(c.positions[7] - c.positions[3]) for c in found]
    assert np.allclose(lengths, 0.99, atol=0.15)
    bends = [np.linalg.norm(c.positions[7] - c.positions[1]) for c in found]
    assert np.allclose(bends, np.median(bends), atol=0.25)


@pytest.mark.parametrize(("smiles", "n"), [("O", 0), ("CO", 1), ("CS", 1), ("COC", 0), ("C[OH2+]", 0), ("OO", 2), ("CN", 0)])
def test_hydroxyls_counted_by_hand(smiles, n):
    assert len(hydroxyls(smiles)) == n

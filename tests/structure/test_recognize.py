"""Molecules found in unit cells, in their own atom order."""

import numpy as np
import pytest
from ase.data import atomic_numbers
from pymatgen.core import Structure
from rdkit import Chem

from packflow.errors import StructureError
from packflow.structure.bonds import find_bonds, whole_molecules
from packflow.structure.cif import read_cif, to_pymatgen
from packflow.structure.recognize import recognize
from packflow.structure.sites import Sites

N_COPIES = {"1010060": 4, "2019369": 2, "2022073": 2, "2100665": 2, "4037663": 3, "4501703": 2, "7221763": 2}
CUBE = np.array([10.0, 10, 10, 90, 90, 90])


@pytest.mark.parametrize("cod", sorted(N_COPIES))
def test_open_crystals(cod, cif_folder, smiles_of):
    (sites,) = read_cif(cif_folder / f"{cod}.cif")
    for cell in (sites, sites.niggli()):
        crystal = recognize(cell, smiles_of[cod])
        template = crystal.template
        assert template.n_copies == N_COPIES[cod]
        assert np.abs(crystal.positions.mean(0)).max() < 1e-9
        heavy = cell.heavy
        np.testing.assert_array_equal(np.sort(template.atomic_numbers), np.sort(cell.atomic_numbers[heavy]))
        i, j = template.bond_index
        assert np.linalg.norm(crystal.positions[i] - crystal.positions[j], axis=1).max() < 2.1
        # the same crystal: all periodic distances agree with those of the sites
        reference = Structure(cell.cell, cell.atomic_numbers[heavy], cell.fractional[heavy])
        found, expected = (np.sort(s.distance_matrix, axis=None) for s in (to_pymatgen(crystal), reference))
        np.testing.assert_allclose(found, expected, atol=1e-6)


def flat(smiles):
    return Chem.MolToSmiles(Chem.MolFromSmiles(smiles), isomericSmiles=False)


def test_smiles_is_perceived(cif_folder, smiles_of):
    for cod, smiles in smiles_of.items():
        (sites,) = read_cif(cif_folder / f"{cod}.cif")
        # carbon dioxide has no hydrogens; in dimethyl sulfoxide S=O or S+-O- is a matter of taste
        if cod not in ("1010060", "2242302"):
            assert flat(recognize(sites).template.molecule.smiles) == flat(smiles)


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("NC(N)=S", "another connectivity"),
        ("NCN=O", "another connectivity"),
        ("CC(N)=O", "another connectivity"),
        ("NCO", "another molecule"),
        ("CC(", "unusable SMILES"),
    ],
)
def test_another_molecule(cif_folder, smiles, reason):
    with pytest.raises(StructureError) as caught:
        recognize(read_cif(cif_folder / "2019369.cif")[0], smiles)
    assert caught.value.reason == reason


def make_sites(symbols, positions, lattice=CUBE):
    numbers = np.array([atomic_numbers[s] for s in symbols])
    return Sites("test", numbers, np.array(positions, dtype=float) / lattice[:3], lattice)


def test_polymer_is_refused():
    chain = make_sites("CCCC", [[0, 0, 0], [1.5, 0, 0], [3.0, 0, 0], [4.5, 0, 0]], np.array([6.0, 10, 10, 90, 90, 90]))
    with pytest.raises(StructureError, match="infinite network"):
        recognize(chain, "CCCC")


def test_overlap_is_refused():
    with pytest.raises(StructureError, match="overlapping atoms"):
        recognize(make_sites("CN", [[0, 0, 0], [0.2, 0, 0]]), "CN")


def test_bond_through_the_cell_wall():
    bonds = find_bonds(np.array([6, 8]), np.array([[0.98, 0.5, 0.5], [0.10, 0.5, 0.5]]), 10 * np.eye(3))
    assert bonds.index.tolist() == [[0, 1]]
    assert bonds.shift.tolist() == [[1, 0, 0]]
    molecules, offset = whole_molecules(2, bonds)
    assert molecules == [[0, 1]]
    assert offset.tolist() == [[0, 0, 0], [1, 0, 0]]


def test_shifts_count_from_unwrapped_atoms():
    fractional = np.array([[2.98, -0.5, 0.5], [-0.90, 1.5, 0.5]])
    (shift,) = find_bonds(np.array([6, 8]), fractional, 10 * np.eye(3)).shift
    assert np.linalg.norm((fractional[1] + shift - fractional[0]) * 10) == pytest.approx(1.2)


def test_hydrogens_do_not_bond_each_other():
    assert len(find_bonds(np.array([1, 1]), np.array([[0, 0, 0], [0.074, 0, 0]]), 10 * np.eye(3)).index) == 0


def test_niggli_cell_of_a_mirrored_basis():
    """A left-handed basis would turn the crystal into its mirror image."""
    sites = make_sites("CNOF", [[0, 0, 0], [1.4, 0, 0], [2.0, 1.2, 0], [2.5, 1.5, 1.3]], np.array([9.0, 7, 5, 90, 90, 90]))
    reduced = sites.niggli()

    def chirality(s):
        x = (s.fractional - s.fractional[0]) @ s.cell
        return np.sign(np.linalg.det(x[1:]))

    np.testing.assert_allclose(reduced.lattice[:3], [5, 7, 9])
    assert chirality(reduced) == chirality(sites)

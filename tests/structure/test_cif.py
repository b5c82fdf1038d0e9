"""CIF in through gemmi and out to gemmi, pymatgen and ASE."""

import warnings

import ase.io
import gemmi
import numpy as np
import pytest
from pymatgen.core import Structure

from packflow.errors import InputError, StructureError
from packflow.structure import Crystal, Molecule, Template
from packflow.structure.cif import blocks_of, cif_text, from_ase, from_pymatgen, read_cif, sites_of, to_ase, to_pymatgen
from packflow.structure.recognize import recognize

HEADER = """data_test
_cell_length_a   '10.0(2)'
_cell_length_b   11.00(1)
_cell_length_c   12
_cell_angle_alpha 90
_cell_angle_beta "100.5(3)"
_cell_angle_gamma 90
_space_group_name_H-M_alt 'P 1 21/c 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
"""


def sites(text):
    return sites_of(blocks_of(text)[0], "test")


def test_quotes_and_uncertainties():
    read = sites(HEADER + "C1 C '0.1234(5)' 0.2(1) \"0.3\"\n")
    np.testing.assert_allclose(read.lattice, [10, 11, 12, 90, 100.5, 90])
    assert len(read.atomic_numbers) == 4
    np.testing.assert_allclose(read.fractional[0], [0.1234, 0.2, 0.3])


def test_special_positions_are_merged():
    assert len(sites(HEADER + "C1 C 0 0 0\nO1 O 0.25 0.3 0.4\n").atomic_numbers) == 2 + 4


def test_atoms_listed_twice_are_merged():
    both = sites(HEADER + "C1 C 0.1 0.2 0.3\nC2 C -0.1 -0.2 -0.3\n")
    assert len(both.atomic_numbers) == 4
    different = sites(HEADER + "C1 C 0.1 0.2 0.3\nN1 N -0.1 -0.2 -0.3\n")
    assert len(different.atomic_numbers) == 8
    across_the_wall = sites(HEADER + "C1 C 0.1 0.2 -1e-17\nC2 C 0.1 0.2 0.9999\n")
    assert len(across_the_wall.atomic_numbers) == 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HEADER + "C1 C ? 0.2 0.3\n", "missing coordinates"),
        (HEADER.replace("_cell_length_c   12", "_cell_length_c   ?") + "C1 C 0 0 0\n", "no valid cell"),
        (HEADER.replace("_cell_length_c   12", "_cell_length_c   0.2") + "C1 C 0 0 0\n", "no valid cell"),
        (HEADER.replace('"100.5(3)"', "179.99") + "C1 C 0 0 0\n", "no valid cell"),
        (HEADER.replace("_space_group_name_H-M_alt 'P 1 21/c 1'\n", "") + "C1 C 0 0 0\n", "no symmetry"),
        (HEADER.replace("P 1 21/c 1", "P nonsense") + "C1 C 0 0 0\n", "no symmetry"),
        (HEADER + "Xx Sn 0 0 0\n", "unsupported element"),
        (HEADER.replace("_atom_site_fract_z", "_atom_site_fract_z\n_atom_site_occupancy") + "C1 C 0 0 0.1 0.5\n", "disorder"),
    ],
)
def test_unusable(text, reason):
    with pytest.raises(StructureError) as caught:
        sites(text)
    assert caught.value.reason == reason


def test_operations_that_are_no_group():
    operations = "loop_\n_space_group_symop_operation_xyz\n'x,y,z'\n'x+1/2,-y+1/2,-z'\n'-x,y+1/2,-z+1/2'\n"
    with pytest.raises(StructureError, match="do not form a group"):
        sites(HEADER.replace("_space_group_name_H-M_alt 'P 1 21/c 1'\n", operations) + "C1 C 0.1 0.2 0.3\n")


@pytest.mark.parametrize("text", ["", "data_x\n_cell_length_a 3\n", "not a cif", "data_x\nloop_\n_atom_site_label\n"])
def test_no_structure(text):
    with pytest.raises(StructureError):
        blocks_of(text)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="is not a file"):
        read_cif(tmp_path / "none.cif")


@pytest.fixture(scope="module")
def urea(cif_folder):
    return recognize(read_cif(cif_folder / "2019369.cif")[0], "NC(N)=O")


def test_gemmi_reads_what_we_write(urea):
    block = gemmi.cif.read_string(cif_text(urea, "urea 1")).sole_block()
    small = gemmi.make_small_structure_from_block(block)
    assert len(small.get_all_unit_cell_sites()) == urea.template.n_atoms
    np.testing.assert_allclose(small.cell.parameters, urea.lattice, atol=1e-5)
    labels = [site.label for site in small.sites]
    assert len(set(labels)) == len(labels)
    bonds = block.find("_geom_bond_", ["atom_site_label_1", "atom_site_label_2", "distance"])
    assert len(bonds) == urea.template.bond_index.shape[1] // 2
    for row in bonds:
        i, j = labels.index(row[0]), labels.index(row[1])
        assert np.linalg.norm(urea.positions[i] - urea.positions[j]) == pytest.approx(float(row[2]), abs=1e-4)


def test_pymatgen_and_ase_read_what_we_write(urea, tmp_path):
    path = tmp_path / "urea.cif"
    path.write_text(cif_text(urea, "urea"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen's remarks on rounded coordinates
        structure = Structure.from_file(path)
    atoms = ase.io.read(path)
    expected = np.sort(urea.template.atomic_numbers)
    np.testing.assert_array_equal(np.sort(structure.atomic_numbers), expected)
    np.testing.assert_array_equal(np.sort(atoms.numbers), expected)
    assert structure.volume == pytest.approx(atoms.get_volume()) == pytest.approx(abs(np.linalg.det(urea.cell)), abs=1e-3)


def test_conversions_keep_all_distances(urea):
    atoms, structure = to_ase(urea), to_pymatgen(urea)
    np.testing.assert_allclose(atoms.get_all_distances(mic=True), structure.distance_matrix, atol=1e-6)
    for back in (from_ase(atoms), from_pymatgen(structure)):
        crystal = recognize(back, "NC(N)=O")
        np.testing.assert_allclose(crystal.lattice, urea.lattice, atol=1e-6)
        distances = to_ase(crystal).get_all_distances(mic=True)
        np.testing.assert_allclose(np.sort(distances, axis=None), np.sort(structure.distance_matrix, axis=None), atol=1e-6)


def test_written_crystal_is_read_back_the_same(urea):
    back = recognize(sites(cif_text(urea, "urea")))
    np.testing.assert_allclose(back.lattice, urea.lattice, atol=1e-5)
    assert back.template.molecule.smiles == urea.template.molecule.smiles


def test_molecule_without_bonds_is_written():
    methane = Crystal(Template(Molecule.from_smiles("C"), 1), np.zeros((1, 3)), np.array([4.0, 4, 4, 90, 90, 90]))
    assert len(gemmi.make_small_structure_from_block(gemmi.cif.read_string(cif_text(methane, "m")).sole_block()).sites) == 1


def test_ase_atoms_must_be_periodic():
    with pytest.raises(InputError, match="periodic"):
        from_ase(ase.Atoms("C"))

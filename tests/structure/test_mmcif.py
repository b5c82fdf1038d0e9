"""mmCIF of small molecules gives the atoms that core CIF gives, or a reason why not."""

import numpy as np
import pytest

from packflow.errors import StructureError
from packflow.structure.cif import blocks_of, sites_of
from packflow.structure.molecule import one_molecule
from packflow.structure.recognize import recognize

HEAD = """data_ABCDEF01
_cell.entry_id ABCDEF01
_cell.length_a 10.0(2)
_cell.length_b '11.00(1)'
_cell.length_c 12
_cell.angle_alpha 90
_cell.angle_beta 100.5
_cell.angle_gamma 90
"""
NAMED = "_symmetry.space_group_name_H-M 'P 1 21/c 1'\n"
IDENTITY = "_pdbx_struct_oper_list.id 1\n_pdbx_struct_oper_list.symmetry_operation x,y,z\n"
LISTED = """loop_
_pdbx_struct_oper_list.id
_pdbx_struct_oper_list.type
_pdbx_struct_oper_list.symmetry_operation
1 'identity' x,y,z
2 other '-X, 0.5+Y, 1/2-Z'
3 other -x,-y,-z
4 other "x,1/2-y,1/2+z"
"""
ATOMS = """loop_
_atom_site.type_symbol
_atom_site.label_atom_id
_atom_site.label_alt_id
_atom_site.fract_x
_atom_site.fract_y
_atom_site.fract_z
_atom_site.occupancy
C C1 . 0.1234(5) '0.2(1)' 0.3 1
D D1 . 0.2 0.2 0.3 1.0
"""


def sites(text):
    return sites_of(blocks_of(text)[0], "test")


@pytest.mark.parametrize("symmetry", [NAMED, LISTED, NAMED + LISTED, NAMED + IDENTITY], ids=["name", "list", "both", "name and identity"])
def test_symmetry_is_expanded(symmetry):
    read = sites(HEAD + symmetry + ATOMS)
    np.testing.assert_allclose(read.lattice, [10, 11, 12, 90, 100.5, 90])
    assert read.atomic_numbers.tolist() == [6] * 4 + [1] * 4
    expected = [[0.1234, 0.2, 0.3], [0.8766, 0.7, 0.2], [0.8766, 0.8, 0.7], [0.1234, 0.3, 0.8]]
    wrapped = read.fractional[:4] % 1
    np.testing.assert_allclose(wrapped[np.lexsort(wrapped.T)], np.array(expected)[np.lexsort(np.array(expected).T)], atol=1e-9)


def test_identity_alone_is_p1():
    assert len(sites(HEAD + IDENTITY + ATOMS).atomic_numbers) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HEAD + ATOMS, "no symmetry"),
        (HEAD + LISTED.replace("-x,-y,-z", "-x,-y,q") + ATOMS, "invalid symmetry"),
        (HEAD + LISTED.replace("3 other -x,-y,-z\n", "") + ATOMS, "invalid symmetry"),
        (HEAD + LISTED + ATOMS.replace("C1 .", "C1 A"), "disorder"),
        (HEAD + LISTED + ATOMS.replace("0.3 1.0", "0.3 0.5"), "disorder"),
        (HEAD + LISTED + ATOMS.replace("0.2 0.2", "? ?"), "missing coordinates"),
        (HEAD.replace("_cell.length_c 12", "") + LISTED + ATOMS, "no valid cell"),
        (HEAD.replace("beta 100.5", "beta 180") + LISTED + ATOMS, "no valid cell"),
        (HEAD + LISTED + ATOMS[:-4], "not readable as CIF"),
        (HEAD + LISTED + ATOMS.replace("fract", "Cartn"), "no atoms"),
        (HEAD + LISTED, "no atoms"),
    ],
    ids=["none", "operation", "no group", "alternative", "occupancy", "coordinates", "cell", "flat", "truncated", "Cartesian", "no atoms"],
)
def test_reasons(text, reason):
    with pytest.raises(StructureError) as caught:
        sites(text)
    assert caught.value.reason == reason


def test_crystals_are_those_of_core_cif(cif_folder, smiles_of, mmcif_of):
    """With and without bonds, molecules on symmetry elements once each; SMILES joined for each copy, as the released code writes them."""
    for path in sorted(cif_folder.glob("*.cif")):
        smiles = smiles_of[path.stem]
        expected = recognize(sites(path.read_text()), smiles)
        for bonds in (True, False):
            read = sites(mmcif_of(path, f"{smiles}.{smiles}", bonds))
            assert (read.bonds is not None) == bonds
            assert read.smiles == one_molecule(smiles + "." + smiles)
            found = recognize(read, smiles)
            assert found.template.n_copies == expected.template.n_copies, path.name
            # which side of a ring comes first depends on the order of the bonds
            ours, theirs = (np.sort(np.linalg.norm(crystal.positions, axis=1)) for crystal in (found, expected))
            np.testing.assert_allclose(ours, theirs, atol=1e-4, err_msg=path.name)


def test_cut_anywhere_is_read_or_refused(cif_folder, smiles_of, mmcif_of):
    text = mmcif_of(cif_folder / "2019369.cif", smiles_of["2019369"])
    n_atoms, n_refused = len(sites(text).atomic_numbers), 0
    for end in range(0, len(text), 5):
        try:
            assert len(sites(text[:end]).atomic_numbers) <= n_atoms
        except StructureError:
            n_refused += 1
    assert 0 < n_refused < len(text) / 5

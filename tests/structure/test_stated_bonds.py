"""Bonds of a file reach every atom of the cell, and are those that distances give where both know them."""

from dataclasses import replace

import numpy as np
import pytest

from packflow.errors import StructureError
from packflow.structure.bonds import PeriodicBonds, find_bonds
from packflow.structure.cif import blocks_of, sites_of
from packflow.structure.recognize import recognize
from packflow.structure.stated_bonds import smiles_of_orders


def read(text):
    return sites_of(blocks_of(text)[0], "test")


def keys(bonds):
    """Bonds as a set, whichever end comes first."""
    ends = [(i, j, *shift) for (i, j), shift in zip(bonds.index.tolist(), bonds.shift.tolist(), strict=True)]
    return {max(end, (end[1], end[0], *(-x for x in end[2:]))) for end in ends}


def test_all_crystals(cif_folder, smiles_of, mmcif_of):
    """Molecules on inversion centres, mirror planes, threefold axes and in centred cells are among them."""
    for path in sorted(cif_folder.glob("*.cif")):
        sites = read(mmcif_of(path, smiles_of[path.stem]))
        assert sites.bonds is not None, path.name
        assert keys(sites.bonds) == keys(find_bonds(sites.atomic_numbers, sites.fractional, sites.cell)), path.name
        reduced = sites.niggli()
        assert keys(reduced.bonds) == keys(find_bonds(reduced.atomic_numbers, reduced.fractional, reduced.cell)), path.name


TRIFLUOROIODOMETHANE = """data_cf3i
_cell.length_a 9
_cell.length_b 9
_cell.length_c 9
_cell.angle_alpha 90
_cell.angle_beta 90
_cell.angle_gamma 90
loop_
_pdbx_struct_oper_list.id
_pdbx_struct_oper_list.symmetry_operation
1 x,y,z
2 -x,-y,-z
loop_
_atom_site.label_atom_id
_atom_site.type_symbol
_atom_site.fract_x
_atom_site.fract_y
_atom_site.fract_z
C1 C 0.25 0.25 0.25
I1 I 0.54 0.25 0.25
F1 F 0.20 0.38 0.25
F2 F 0.20 0.19 0.36
F3 F 0.20 0.19 0.14
loop_
_struct_conn.conn_type_id
_struct_conn.ptnr1_label_atom_id
_struct_conn.ptnr2_label_atom_id
_struct_conn.ptnr2_symmetry
_struct_conn.pdbx_value_order
covale C1 I1 . sing
covale C1 F1 ? sing
covale C1 F2 1_555 sing
covale C1 F3 1_555 sing
hydrog I1 F3 2_555 ?
"""


def test_a_stated_bond_may_be_longer_than_distances_tell():
    """2.61 Å: the radii and the tolerance of a found bond give 2.45 Å."""
    sites = read(TRIFLUOROIODOMETHANE)
    assert len(sites.bonds.index) == 8
    assert sites.smiles == "FC(F)(F)I"
    assert recognize(sites).template.n_copies == 2
    with pytest.raises(StructureError, match="another molecule"):
        recognize(replace(sites, bonds=None))


def test_orders_go_with_their_bonds():
    """Carbonyl fluoride; the bonds come in another order than the atoms."""
    text = TRIFLUOROIODOMETHANE.replace("I1 I 0.54", "O1 O 0.39").replace("F3 F 0.20 0.19 0.14\n", "").replace("C1 F3 1_555", "C1 O1 1_555")
    text = text.replace("covale C1 I1 . sing\n", "").replace("O1 1_555 sing", "O1 1_555 doub").replace("hydrog I1 F3", "hydrog O1 F1")
    assert read(text).smiles == "O=C(F)F"


def test_distances_decide_where_stated_bonds_make_another_molecule(cif_folder, smiles_of, mmcif_of):
    sites = read(mmcif_of(cif_folder / "2019369.cif", smiles_of["2019369"]))
    fewer = PeriodicBonds(sites.bonds.index[1:], sites.bonds.shift[1:])
    assert recognize(replace(sites, bonds=fewer)).template.n_copies == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("covale C1 F1 ?", "covale C1 F9 ?"),
        ("covale C1 F1 ?", "covale C1 F1 3_555"),
        ("covale C1 F1 ?", "covale C1 F1 elsewhere"),
        ("covale C1 F1 ?", "covale C1 F1 1_655"),
        ("F3 F 0.20 0.19 0.14", "F3 F 0.20 0.19 0.14\nF3 F 0.20 0.19 0.08"),
        ("F3 F 0.20", "H1 H 0.70 0.7 0.7\nF3 F 0.20"),
        ("_struct_conn.conn_type_id", "_struct_conn.id"),
    ],
    ids=["no such atom", "no such operation", "no symmetry code", "too long", "label twice", "hydrogen without bond", "no types"],
)
def test_unusable_bonds_are_not_stated(old, new):
    assert old in TRIFLUOROIODOMETHANE
    sites = read(TRIFLUOROIODOMETHANE.replace(old, new, 1))
    assert sites.bonds is None
    assert sites.smiles is None


def test_authors_tables_of_core_cif_are_left_alone(cif_folder):
    """COD files list bonds without types, some of them hydrogen bonds."""
    for path in sorted(cif_folder.glob("*.cif")):
        assert read(path.read_text()).bonds is None


PYRROLE = ([6, 6, 6, 6, 7, 1, 1, 1, 1, 1], [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (0, 5), (1, 6), (2, 7), (3, 8), (4, 9)])


@pytest.mark.parametrize(
    ("numbers", "pairs", "kinds", "smiles"),
    [
        ([6, 8, 7, 1, 1, 1], [(0, 1), (0, 2), (0, 3), (2, 4), (2, 5)], "DSSSS", "NC=O"),
        ([6, 8, 7], [(0, 1), (0, 2)], "DS", "NC=O"),
        (*PYRROLE, "AAAAASSSSS", "c1cc[nH]c1"),
        ([6, 7, 6, 7], [(0, 1), (2, 3)], "TT", "C#N"),
        ([6, 8, 7, 1, 1, 1], [(0, 1), (0, 2), (0, 3), (2, 4), (2, 5)], "?SSSS", None),
        ([6, 8, 7, 1, 1, 1], [(0, 1), (0, 2), (0, 3), (2, 4), (2, 5)], "SSSSS", None),
        ([6, 8, 1, 1], [(0, 1), (0, 2), (0, 3)], "TSS", None),
        ([6, 8], [(0, 1), (0, 1)], "DD", None),
    ],
    ids=["formamide", "without hydrogens", "aromatic", "two copies", "unknown order", "radical", "five bonds", "chain of images"],
)
def test_smiles_of_bond_orders(numbers, pairs, kinds, smiles):
    bonds = PeriodicBonds(np.array(pairs), np.zeros((len(pairs), 3), dtype=np.int64))
    assert smiles_of_orders(np.array(numbers), bonds, list(kinds)) == smiles

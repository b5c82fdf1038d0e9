"""Space groups and Z' against what the Crystallography Open Database states."""

import numpy as np
import pytest

from packflow.data.filters import PAPER_SPACE_GROUPS
from packflow.structure.cif import read_cif
from packflow.structure.sites import Sites
from packflow.structure.symmetry import symmetry_of

PAPER_SYMBOLS = "P1,P-1,P21,C2,Pc,Cc,P21/m,C2/m,P2/c,P21/c,P21/n,C2/c,P21212,P212121,Pca21,Pna21,Pbcn,Pbca,Pnma,R-3,I41/a"


def stated_number(path):
    import gemmi

    block = gemmi.cif.read_string(path.read_text()).sole_block()
    return gemmi.make_small_structure_from_block(block).spacegroup.number


def test_as_stated(cif_folder):
    paths = sorted(cif_folder.glob("*.cif"))
    assert len(paths) == 16
    for path in paths:
        sites = read_cif(path)[0]
        for cell in (sites, sites.niggli()):
            assert symmetry_of(cell).number == stated_number(path), path.name


@pytest.mark.parametrize(("file", "n_copies", "z_prime"), [("2019369", 2, 0.25), ("4501703", 4, 1)])
def test_z_prime_does_not_depend_on_the_cell(cif_folder, file, n_copies, z_prime):
    sites = read_cif(cif_folder / f"{file}.cif")[0]
    assert symmetry_of(sites).z_prime(n_copies) == z_prime
    doubled = Sites(
        name="doubled",
        atomic_numbers=np.tile(sites.atomic_numbers, 2),
        fractional=np.concatenate([sites.fractional, sites.fractional + np.array([1, 0, 0])]) / [2, 1, 1],
        lattice=sites.lattice * [2, 1, 1, 1, 1, 1],
    )
    assert symmetry_of(doubled).z_prime(2 * n_copies) == z_prime


def test_no_symmetry_where_atoms_coincide():
    sites = Sites("x", np.array([6, 6]), np.zeros((2, 3)), np.array([5.0, 6, 7, 90, 90, 90]))
    assert symmetry_of(sites) is None


def test_numbers_of_the_paper():
    import gemmi

    numbers = {gemmi.find_spacegroup_by_name(symbol).number for symbol in PAPER_SYMBOLS.split(",")}
    assert numbers == set(PAPER_SPACE_GROUPS)

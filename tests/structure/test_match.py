"""The right oxygen is the one with the hydrogen."""

import numpy as np
import pytest

from packflow.structure.cif import read_cif
from packflow.structure.molecule import HYDROGEN_COUNTS
from packflow.structure.recognize import recognize
from packflow.structure.sites import Sites

MALONIC_ACID = "4116140", "O=C(O)CC(=O)O"


def oxygen_distances(crystal):
    """C-O lengths by the bond's type: all double, all single."""
    i, j = crystal.template.bond_index[:, ::2]
    kinds = crystal.template.bond_features[::2, 0]
    lengths = np.linalg.norm(crystal.positions[i] - crystal.positions[j], axis=1)
    numbers = crystal.template.atomic_numbers
    to_oxygen = (numbers[i] == 8) | (numbers[j] == 8)
    return lengths[to_oxygen & (kinds == 1)], lengths[to_oxygen & (kinds == 0)]


@pytest.mark.parametrize("with_hydrogens", [True, False])
def test_acid(cif_folder, with_hydrogens):
    """Measured in malonic acid: C=O 1.22 Å, C-OH 1.29 to 1.31 Å. As a graph of elements both oxygens are the same."""
    cod, smiles = MALONIC_ACID
    (sites,) = read_cif(cif_folder / f"{cod}.cif")
    if not with_hydrogens:
        keep = sites.heavy
        sites = Sites(sites.name, sites.atomic_numbers[keep], sites.fractional[keep], sites.lattice)
    double, single = oxygen_distances(recognize(sites, smiles))
    assert len(double) == len(single) == 4
    assert double.max() < 1.26 < single.min()


def test_every_atom_has_its_hydrogens(cif_folder, smiles_of):
    """Hydrogens are nearest to the heavy atom whose features count them."""
    for cod, smiles in smiles_of.items():
        (sites,) = read_cif(cif_folder / f"{cod}.cif")
        if sites.heavy.all():
            continue
        crystal = recognize(sites, smiles)
        inverse = np.linalg.inv(crystal.cell)
        heavy_of = crystal.positions @ inverse
        # same cell as the sites, but centred: find the shift by the first atom's element-wise nearest site
        hydrogen = sites.fractional[~sites.heavy]
        heavy = sites.fractional[sites.heavy]
        delta = hydrogen[:, None] - heavy[None]
        distances = np.linalg.norm((delta - np.round(delta)) @ crystal.cell, axis=-1)
        counts = np.bincount(distances.argmin(1), minlength=len(heavy))
        shift = place(heavy_of, heavy, crystal.template.atomic_numbers, sites.atomic_numbers[sites.heavy])
        expected = np.minimum(counts[shift], len(HYDROGEN_COUNTS))
        np.testing.assert_array_equal(crystal.template.atom_features[:, 5], expected, err_msg=cod)


def place(fractional, heavy, numbers, heavy_numbers):
    """Row of `heavy` of each atom of `fractional`, which is `heavy` in another order, shifted and unwrapped."""
    for first in np.flatnonzero(heavy_numbers == numbers[0]):
        delta = (fractional - fractional[0] + heavy[first])[:, None] - heavy[None]
        distance = np.abs(delta - np.round(delta)).max(-1)
        rows = distance.argmin(1)
        if distance.min(1).max() < 1e-5 and len(set(rows)) == len(rows) and (heavy_numbers[rows] == numbers).all():
            return rows
    raise AssertionError("not the same atoms")

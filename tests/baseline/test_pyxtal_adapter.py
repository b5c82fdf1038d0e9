"""PyXtal's crystals as ours, where PyXtal is installed; and what is said where it is not."""

import sys
import warnings

import numpy as np
import pytest
import spglib
from ase.neighborlist import primitive_neighbor_list

from packflow.baseline import PackingConfig, random_packings
from packflow.baseline.conformer import conformer_of
from packflow.baseline.pyxtal_adapter import contact_limits, pyxtal_packings, pyxtal_volume
from packflow.baseline.sites import sites_of
from packflow.errors import InputError
from packflow.metrics import bonds_valid_percent
from packflow.structure import AtomsBatch, Molecule, Template
from packflow.structure.packing_volume import packing_volume

TEMPLATE = Template(Molecule.from_smiles("CC(=O)Oc1ccccc1C(=O)O"), 4)


def space_group(crystal):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cell = crystal.cell, crystal.fractional, crystal.template.atomic_numbers
        return spglib.get_symmetry_dataset(cell, symprec=1e-3).number


@pytest.mark.filterwarnings("ignore")
def test_both_make_crystals_of_the_groups_that_were_asked_for(pyxtal):
    theirs = pyxtal_packings(TEMPLATE, (14, 19), 4, seed=1)
    ours = random_packings(TEMPLATE, 4, seed=1, config=PackingConfig(space_groups=(14, 19), volume_factor=2.0))
    assert [packing.space_group for packing in theirs] == [14, 19, 14, 19]
    assert sorted(packing.space_group for packing in ours) == [14, 14, 19, 19]
    for packing in (*theirs, *ours):
        assert space_group(packing.crystal) == packing.space_group
    assert (bonds_valid_percent(AtomsBatch.from_crystals([packing.crystal for packing in theirs])) == 100).all()
    again = pyxtal_packings(TEMPLATE, (14, 19), 1, seed=1)[0]
    np.testing.assert_array_equal(again.crystal.positions, theirs[0].crystal.positions)


@pytest.mark.filterwarnings("ignore")
def test_a_crystals_volume(pyxtal, capfd):
    """Factors far below 1 give cells as dense as crystals, and PyXtal prints nothing on the way."""
    urea = Template(Molecule.from_smiles("NC(N)=O"), 4)
    volume = 1.1 * packing_volume(urea.molecule)
    for packing in pyxtal_packings(urea, (14, 19, 33), 3, volume_factor=volume / pyxtal_volume(urea)):
        assert np.linalg.det(packing.cell) == pytest.approx(4 * volume)
    assert capfd.readouterr().out == ""


@pytest.mark.filterwarnings("ignore")
def test_limits_of_contacts_are_the_radii_of_random_packing(pyxtal):
    conformer = conformer_of("NC(N)=O", 0)
    limits = contact_limits(conformer, 0.85)
    for number, radius in zip(conformer.atomic_numbers.tolist(), conformer.radii.tolist(), strict=True):
        assert limits.get_tol(number, 6) == pytest.approx(0.85 * (radius + 1.7))
    urea = Template(Molecule.from_smiles("NC(N)=O"), 4)
    loose, strict = (nearest(pyxtal_packings(urea, (14, 19, 33), 6, volume_factor=0.7, scale=scale), conformer) for scale in (None, 0.85))
    assert loose.mean() < 0.7 < 0.8 < strict.mean()


def nearest(packings, conformer):
    """Least distance between atoms of two molecules over the sum of their radii, in each packing; by ASE."""
    found = []
    for packing in packings:
        n = packing.positions.shape[1]
        i, j, d, shift = primitive_neighbor_list("ijdS", (True,) * 3, packing.cell, packing.positions.reshape(-1, 3), 4.0)
        between = (i // n != j // n) | (shift != 0).any(1)
        found.append((d / (conformer.radii[i % n] + conformer.radii[j % n]))[between].min())
    return np.array(found)


@pytest.mark.filterwarnings("ignore")
def test_what_is_not_found_is_raised_or_kept(pyxtal):
    """Four molecules without symmetry do not fit Fm-3m."""
    with pytest.raises(InputError, match="n_copies 4 of the molecule in space group 225: PyXtal finds no crystal in 20 attempts"):
        pyxtal_packings(TEMPLATE, (225,), 1)
    found = pyxtal_packings(TEMPLATE, (225, 19), 2, attempts=1, keep_failed=True)
    assert [packing.problem for packing in found] == [
        "n_copies 4 of the molecule in space group 225: PyXtal finds no crystal in 1 attempts",
        "",
    ]
    assert np.isnan(found[0].cell).all()
    assert found[1].positions.shape == (4, 21, 3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", [2, 14, 15, 47, 61, 62, 88, 139, 148, 166, 194, 225])
def test_number_of_wyckoff_positions(pyxtal, number):
    """Ours are found by their stabilizers, PyXtal's are those of the International Tables."""
    from pyxtal.symmetry import Group

    multiplicities = [position.multiplicity for position in Group(number).Wyckoff_positions]
    for multiplicity in set(multiplicities):
        assert len(sites_of(number, multiplicity)) == multiplicities.count(multiplicity)


def test_without_pyxtal(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyxtal", None)
    with pytest.raises(InputError, match="PyXtal is not installed: pip install pyxtal"):
        pyxtal_packings(TEMPLATE, (14,), 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_samples": 0}, "n_samples must be"),
        ({"attempts": 0}, "attempts must be"),
        ({"volume_factor": 0.0}, "volume_factor must be"),
        ({"seed": -1}, "seed must be"),
        ({"space_groups": ()}, "space_groups must name"),
    ],
)
def test_bad_arguments(change, message):
    with pytest.raises(InputError, match=message):
        pyxtal_packings(TEMPLATE, **{"space_groups": (14,), **change})

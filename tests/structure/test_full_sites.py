"""Crystals with their hydrogens from the contents of unit cells."""

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Structure

from packflow.errors import StructureError
from packflow.structure.bonds import PeriodicBonds, find_bonds
from packflow.structure.cif import read_cif
from packflow.structure.full import full_mol, full_numbers
from packflow.structure.full_sites import full_structure, hydrogens_of
from packflow.structure.recognize import recognize
from packflow.structure.sites import Sites

N_COPIES = {"1010060": 4, "1511801": 4, "2012828": 2, "2019369": 2, "2022073": 2, "2203632": 1, "4037663": 3, "4116140": 2, "7238218": 2}
UREA = "2019369"


@pytest.fixture
def sites_of(cif_folder):
    return lambda cod: read_cif(cif_folder / f"{cod}.cif")[0]


@pytest.mark.parametrize("cod", sorted(N_COPIES))
def test_open_crystals(cod, sites_of, smiles_of):
    sites = sites_of(cod)
    found = full_structure(sites, smiles_of[cod])
    numbers = full_numbers(found.template)
    assert found.template.n_copies == N_COPIES[cod]
    assert sorted(numbers.tolist()) == sorted(sites.atomic_numbers.tolist())
    # whole, and bonded as the molecule is
    mol = full_mol(smiles_of[cod])
    molecules = found.positions.reshape(found.template.n_copies, -1, 3)
    for bond in mol.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        longest = 1.2 if 1 in (mol.GetAtomWithIdx(i).GetAtomicNum(), mol.GetAtomWithIdx(j).GetAtomicNum()) else 2.1
        assert (np.linalg.norm(molecules[:, i] - molecules[:, j], axis=1) < longest).all()
    # in the cell, by the mean of their atoms
    centers = molecules.mean(1) @ np.linalg.inv(found.cell)
    assert (centers > -1e-9).all()
    assert (centers < 1 + 1e-9).all()
    # the same crystal: all periodic distances agree
    ours = Structure(found.cell, numbers, found.positions @ np.linalg.inv(found.cell))
    theirs = Structure(sites.cell, sites.atomic_numbers, sites.fractional)
    np.testing.assert_allclose(*(np.sort(s.distance_matrix, axis=None) for s in (ours, theirs)), atol=1e-6)


@pytest.mark.parametrize("cod", [UREA, "4116140", "7238218"])
def test_heavy_atoms_are_those_of_recognize(cod, sites_of, smiles_of):
    """Malonic acid has two kinds of oxygen that only the hydrogens tell apart."""
    sites = sites_of(cod)
    found, crystal = full_structure(sites, smiles_of[cod]), recognize(sites, smiles_of[cod])
    heavy = found.positions[full_numbers(found.template) > 1].reshape(found.template.n_copies, -1, 3)
    expected = crystal.positions.reshape(heavy.shape)
    for ours, theirs in zip(heavy, expected, strict=True):
        np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], atol=1e-6)


def test_the_molecule_is_perceived(sites_of, smiles_of):
    found = full_structure(sites_of(UREA))
    assert found.template.molecule.smiles == "NC(N)=O"
    assert found.template.n_copies == 2


def test_order_and_cell_of_the_sites_do_not_matter(sites_of, smiles_of):
    """The same molecules, whatever atom comes first and wherever the cell begins."""
    sites = sites_of("4116140")
    order = np.random.default_rng(0).permutation(len(sites.atomic_numbers))
    moved = replace(sites, atomic_numbers=sites.atomic_numbers[order], fractional=sites.fractional[order] + [0.37, -4.2, 9.9], bonds=None)
    for other in (moved, moved.niggli()):
        shapes = []
        for structure in (full_structure(sites, smiles_of["4116140"]), full_structure(other, smiles_of["4116140"])):
            numbers = full_numbers(structure.template)[: len(structure.positions) // structure.template.n_copies]
            for molecule in structure.positions.reshape(structure.template.n_copies, -1, 3):
                # hydrogens of one carbon may come in either order
                centered = np.linalg.norm(molecule - molecule.mean(0), axis=1)
                shapes.append(np.sort(centered + 100 * numbers))
        np.testing.assert_allclose(shapes[: len(shapes) // 2], shapes[len(shapes) // 2 :], atol=1e-3)


def test_stated_bonds_are_used_if_they_fit(sites_of, smiles_of):
    sites = sites_of(UREA)
    stated = replace(sites, bonds=find_bonds(sites.atomic_numbers, sites.fractional, sites.cell))
    nonsense = replace(sites, bonds=PeriodicBonds(stated.bonds.index[:1], stated.bonds.shift[:1]))
    expected = full_structure(replace(sites, bonds=None), smiles_of[UREA]).positions
    for given in (stated, nonsense):
        np.testing.assert_array_equal(full_structure(given, smiles_of[UREA]).positions, expected)


def test_a_hydrogen_in_a_strong_bond_belongs_to_the_atom_that_it_fits_best():
    """In reach of nitrogen and oxygen, once with the cell's face between; nearest to oxygen by distance, to nitrogen by radii."""
    lattice = np.array([10.0, 10, 10, 90, 90, 90])
    x = np.array([[0.2, 5, 5], [1.38, 5, 5], [2.55, 5, 5], [6, 5, 9.5], [6, 5, 10.4], [6, 5, 1.7]])
    sites = Sites("test", np.array([7, 1, 8, 8, 1, 7]), x / 10, lattice)
    assert len(find_bonds(sites.atomic_numbers, sites.fractional, sites.cell).index) == 4
    found = hydrogens_of(sites)
    assert [(heavy, [h for h, _ in hydrogens]) for heavy, hydrogens in sorted(found.items())] == [(0, [1]), (3, [4])]
    # beside its atom, which it was not in the cell
    wrapped = replace(sites, fractional=sites.fractional % 1)
    ((hydrogen, shift),) = hydrogens_of(wrapped)[3]
    assert shift.tolist() == [0, 0, 1]
    length = np.linalg.norm((wrapped.fractional[hydrogen] + shift - wrapped.fractional[3]) @ sites.cell)
    assert length == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: (s.heavy, "NC(N)=O"), "hydrogens: none are listed, NC"),
        (lambda s: (np.arange(len(s.heavy)) != np.flatnonzero(~s.heavy)[0], "NC(N)=O"), r"has 1, atom \d of NC\(N\)=O has 2"),
        (lambda s: (s.heavy | True, "NC(N)O"), r"site \d+ \(C\) has 0, atom 1 of NC\(N\)O has 1"),
        (lambda s: (s.heavy | True, "NC(N)=S"), "another connectivity"),
        (lambda s: (s.heavy, None), "none is given"),
    ],
)
def test_refused(sites_of, change, message):
    sites = sites_of(UREA)
    keep, smiles = change(sites)
    part = replace(sites, atomic_numbers=sites.atomic_numbers[keep], fractional=sites.fractional[keep], bonds=None)
    with pytest.raises(StructureError, match=message):
        full_structure(part, smiles)

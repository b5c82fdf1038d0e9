"""Random packings against ASE (contacts), spglib (symmetry) and RDKit (molecules)."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
import spglib
from ase.neighborlist import primitive_neighbor_list

from packflow.baseline import PackingConfig, random_packings, shortlist
from packflow.baseline.random_packing import packings_at
from packflow.baseline.tries import all_positions
from packflow.errors import InputError
from packflow.metrics import bonds_valid_percent
from packflow.structure import AtomsBatch, Molecule, Template
from packflow.structure.packing_volume import packing_volume

BENZENE, ASPIRIN, OXALIC, ALANINE = "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "OC(=O)C(=O)O", "C[C@H](N)C(=O)O"
CASES = [(BENZENE, 2, 12), (BENZENE, 4, 12), (ASPIRIN, 4, 8), (OXALIC, 3, 6), (ALANINE, 4, 6), ("NC(N)=O", 5, 2), ("CCO", 16, 4)]


def template(smiles, n_copies):
    return Template(Molecule.from_smiles(smiles), n_copies)


def worst_contact(packing, positions=None):
    """Smallest distance of atoms of different molecules over the sum of their van der Waals radii, by ASE."""
    atoms = all_positions(packing.placement, packing.conformer, packing.arrangement)
    n = atoms.shape[1]
    i, j, d, shift = primitive_neighbor_list("ijdS", (True,) * 3, packing.arrangement.cell, atoms.reshape(-1, 3), 4.0)
    between = (i // n != j // n) | (shift != 0).any(1)
    radii = packing.conformer.radii
    return (d / (radii[i % n] + radii[j % n]))[between].min()


@pytest.fixture(scope="module")
def packings():
    return {(smiles, n): random_packings(template(smiles, n), n_samples, seed=1) for smiles, n, n_samples in CASES}


@pytest.mark.parametrize(("smiles", "n_copies", "n_samples"), CASES)
def test_no_contacts_and_the_symmetry_that_was_asked_for(packings, smiles, n_copies, n_samples):
    for packing in packings[smiles, n_copies]:
        assert not packing.problem
        assert worst_contact(packing) >= 0.85
        positions = all_positions(packing.placement, packing.conformer, packing.arrangement).reshape(-1, 3)
        fractional = positions @ np.linalg.inv(packing.arrangement.cell)
        numbers = np.tile(packing.conformer.atomic_numbers, n_copies)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            found = spglib.get_symmetry_dataset((packing.arrangement.cell, fractional, numbers), symprec=1e-3)
        assert found.number == packing.space_group
        assert packing.z_prime == Fraction(n_copies, packing.placement.group.order)


@pytest.mark.parametrize(("smiles", "n_copies", "n_samples"), CASES)
def test_crystals_are_those_packings(packings, smiles, n_copies, n_samples):
    crystals = [packing.crystal for packing in packings[smiles, n_copies]]
    assert [crystal.template.n_copies for crystal in crystals] == [n_copies] * n_samples
    for packing in packings[smiles, n_copies]:
        crystal = packing.crystal
        np.testing.assert_allclose(crystal.positions.mean(0), 0, atol=1e-9)
        assert np.linalg.det(crystal.cell) == pytest.approx(np.linalg.det(packing.arrangement.cell))
        # the molecules are rigid: distances between heavy atoms are those of the conformer, in each copy
        heavy = packing.conformer.positions[: packing.conformer.n_heavy]
        wanted = np.linalg.norm(heavy[:, None] - heavy, axis=-1)
        for copy in crystal.positions.reshape(n_copies, -1, 3):
            np.testing.assert_allclose(np.linalg.norm(copy[:, None] - copy, axis=-1), wanted, atol=1e-8)
    assert (bonds_valid_percent(AtomsBatch.from_crystals(crystals)) == 100).all()


def test_groups_have_their_turns(packings):
    groups = [packing.space_group for packing in packings[ASPIRIN, 4]]
    assert len(set(groups)) >= 6
    special = [p for p in packings[BENZENE, 4] if p.z_prime < 1]
    assert special, "benzene lies on special positions"
    improper = [p for p in packings[ALANINE, 4] if not p.placement.group.sohncke]
    assert not improper, "one enantiomer packs without mirror images"


def test_a_proposal_depends_on_seed_and_index_alone(packings):
    many = packings[ASPIRIN, 4]
    (third,) = packings_at(template(ASPIRIN, 4), [3], seed=1)
    np.testing.assert_array_equal(third.crystal.positions, many[3].crystal.positions)
    assert third.space_group == many[3].space_group
    other = random_packings(template(ASPIRIN, 4), 1, seed=2)[0]
    assert not np.allclose(other.crystal.lattice, many[0].crystal.lattice)


def test_volumes_are_around_the_expected_one():
    """Without growth, and with radii so small that the first try fits."""
    config = PackingConfig(scale=0.3, growth=0.0, space_groups=(19,))
    found = random_packings(template(ASPIRIN, 4), 60, seed=0, config=config)
    wanted = 4 * packing_volume(found[0].crystal.template.molecule)
    ratios = np.array([np.linalg.det(p.arrangement.cell) for p in found]) / wanted
    assert abs(ratios.mean() - 1) < 0.03
    assert 0.03 < ratios.std() < 0.08


def test_every_number_of_copies_has_groups():
    config = PackingConfig(max_tries=1, max_groups=1, scale=0.1)
    for n_copies in range(1, 17):
        (found,) = random_packings(template("CC(C)O", n_copies), 1, seed=0, config=config)
        assert found.crystal.template.n_copies == n_copies
        assert sum(site.n_copies for site in found.placement.sites) == n_copies


def test_conformers_take_turns():
    found = random_packings(template("CCCCCO", 2), 4, seed=0, config=PackingConfig(n_conformers=2))
    shapes = [packing.conformer.positions for packing in found]
    assert shapes[0] is shapes[2]
    assert shapes[1] is shapes[3]
    assert not np.allclose(shapes[0], shapes[1])


def test_what_cannot_be_packed_says_so():
    config = PackingConfig(max_tries=1, max_groups=2, growth=0.0, volume_factor=0.6)
    (found,) = random_packings(template(ASPIRIN, 4), 1, config=config)
    assert found.problem == "no packing: molecules touch in all of 2000 tries in 2 of 26 space groups"
    assert found.n_tries == 2000
    assert np.isfinite(found.crystal.positions).all()
    assert worst_contact(found) < 0.85


def test_shortlist_takes_the_same_number_of_each_group(packings):
    pool = packings[BENZENE, 4] + packings[BENZENE, 2]
    groups = {packing.space_group for packing in pool}
    kept = shortlist(pool, len(groups) + 1, seed=0)
    counts = [sum(p.space_group == group for p in kept) for group in groups]
    assert sorted(counts)[:-1] == [1] * (len(groups) - 1)
    assert len(kept) == len(groups) + 1
    assert len({id(packing) for packing in kept}) == len(kept)
    assert len(shortlist(pool, len(pool), seed=0)) == len(pool)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_samples": 0}, "n_samples must be at least 1, got 0"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"config": PackingConfig(space_groups=(14,))}, "n_copies must be compatible with the given space_groups, got 3"),
        ({"config": PackingConfig(space_groups=(0, 14))}, "space_groups must be numbers from 1 to 230"),
    ],
)
def test_bad_arguments(change, message):
    with pytest.raises(InputError, match=message):
        random_packings(template(ASPIRIN, 3), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": 0.0}, "scale must be a positive number, got 0.0"),
        ({"volume_factor": float("nan")}, "volume_factor must be a positive number"),
        ({"growth": -0.1}, "growth must be 0 or more"),
        ({"max_tries": 0}, "max_tries must be at least 1, got 0"),
    ],
)
def test_bad_configuration(change, message):
    with pytest.raises(InputError, match=message):
        PackingConfig(**change)


def test_molecule_that_cannot_be_embedded():
    """Norbornane with one bridgehead inside out."""
    with pytest.raises(InputError, match="cannot be embedded"):
        random_packings(template("C1C[C@H]2CC[C@H]1C2", 2), 1)

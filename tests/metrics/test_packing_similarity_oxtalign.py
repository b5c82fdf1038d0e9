"""oxtalign -> packing_similarity: molecules that match and their RMSD are the same, pair by pair."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import oxtalign
import pytest
import torch
from scipy.spatial.transform import Rotation

from packflow.data.dataset import CrystalDataset
from packflow.elements import SYMBOLS
from packflow.metrics import packing_similarities
from packflow.metrics.packing_overlay import oxtalign_structure
from packflow.structure import Crystal, Molecule, Template
from packflow.structure.cif import read_cif
from packflow.structure.lattice import lattice_from_cell
from packflow.structure.recognize import recognize
from packflow.structure.sites import Sites

# rigid, flexible and symmetric molecules, one to eight of them in a cell: DMSO, urea, a triazine, benzene, a bromoisoxazole ...
MEASURED = ("2242302", "2019369", "2012828", "4501703", "7221763", "7238218", "2007371", "4037663")
DATASET = Path("/work/runs/data")
# Å; both sides compute in float64
SAME = 1e-9


def by_oxtalign(structure):
    if isinstance(structure, Crystal):
        return oxtalign_structure(structure)
    elements = [SYMBOLS[z] for z in structure.atomic_numbers.tolist()]
    return oxtalign.from_arrays(elements, structure.fractional, cell=structure.lattice)


def assert_same(pairs, n_molecules=15, tolerance=1.0, mirror=True):
    """Our results of all pairs at once are oxtalign's one by one; returns how many molecules match."""
    structures = [structure for pair in pairs for structure in pair]
    places = torch.arange(len(structures)).reshape(-1, 2)
    found = packing_similarities(structures, places, n_molecules, tolerance, mirror)
    for k, (reference, other) in enumerate(pairs):
        assert not found.problems[k]
        wanted = oxtalign.compare(by_oxtalign(reference), by_oxtalign(other), n=n_molecules, mol_rmsd_tol=tolerance, allow_inversion=mirror)
        assert found.n_matched[k] == wanted.n_matched, k
        np.testing.assert_allclose(found.rmsd[k], wanted.rmsd_n, atol=SAME, err_msg=str(k))
    return found.n_matched.tolist()


@pytest.fixture(scope="module")
def measured(cif_folder, smiles_of):
    return {cod: recognize(read_cif(cif_folder / f"{cod}.cif")[0], smiles_of[cod]) for cod in MEASURED}


def noisy(crystal, size, rng):
    return replace(crystal, positions=crystal.positions + size * rng.normal(size=crystal.positions.shape))


def strained(crystal):
    return replace(crystal, positions=crystal.positions * 1.04, lattice=crystal.lattice * [1.04, 1.04, 1.04, 1, 1, 1])


def repacked(crystal, rng):
    """Molecules turned and moved at random."""
    copies = crystal.positions.reshape(crystal.template.n_copies, -1, 3)
    centroids = copies.mean(1, keepdims=True)
    turned = [copy @ Rotation.random(random_state=rng).as_matrix() for copy in copies - centroids]
    return replace(crystal, positions=(turned + centroids + rng.normal(size=centroids.shape)).reshape(-1, 3))


def doubled(crystal, rng):
    """A supercell whose molecules differ: Z' is twice what it was."""
    positions = np.concatenate([crystal.positions, crystal.positions + crystal.cell[1]])
    template = replace(crystal.template, n_copies=2 * crystal.template.n_copies)
    return noisy(Crystal(template, positions, crystal.lattice * [1, 2, 1, 1, 1, 1]), 0.05, rng)


@pytest.mark.parametrize("cod", MEASURED)
def test_variants_of_measured_crystals(measured, cod):
    crystal, rng = measured[cod], np.random.default_rng(int(cod))
    mirrored = replace(crystal, positions=-crystal.positions)
    others = [crystal, mirrored, noisy(crystal, 0.1, rng), noisy(mirrored, 0.35, rng), strained(crystal), repacked(crystal, rng)]
    matched = assert_same([(crystal, other) for other in others])
    assert matched[:3] == [15] * 3
    assert matched[-1] < 15


@pytest.mark.parametrize("cod", ["2019369", "7238218", "4501703"])
def test_several_independent_molecules(measured, cod):
    crystal, rng = measured[cod], np.random.default_rng(7)
    large = doubled(crystal, rng)
    assert_same([(crystal, large), (large, crystal), (large, repacked(large, rng))])


@pytest.mark.parametrize(
    ("n_molecules", "tolerance", "mirror"), [(1, 1.0, True), (4, 0.3, False), (8, 2.0, True), (30, 1.0, False), (20, 0.15, True)]
)
def test_options(measured, n_molecules, tolerance, mirror):
    rng = np.random.default_rng(1)
    pairs = [(c, other) for cod in MEASURED[:3] for c in [measured[cod]] for other in (noisy(c, 0.15, rng), repacked(c, rng))]
    assert_same(pairs, n_molecules, tolerance, mirror)


def random_crystal(smiles, shape, n_copies, rng, volume_per_atom=23.0):
    """Rigid molecules anywhere in P1."""
    cell = np.diag(rng.uniform(0.8, 1.25, 3)) + np.tril(rng.uniform(-0.25, 0.25, (3, 3)), -1)
    cell *= (volume_per_atom * n_copies * len(shape) / np.linalg.det(cell)) ** (1 / 3)
    copies = [shape @ Rotation.random(random_state=rng).as_matrix() + rng.random(3) @ cell for _ in range(n_copies)]
    lattice = lattice_from_cell(torch.from_numpy(cell)).numpy()
    return Crystal.from_fractional(Template(Molecule.from_smiles(smiles), n_copies), np.concatenate(copies) @ np.linalg.inv(cell), lattice)


BENT = np.array([[-1.2, 0.0, 0.3], [0.0, 0.5, 0.0], [1.2, 0.0, -0.1]])
TETRAHEDRON = np.array([[1.02, 1.0, 1.01], [0, 0, 0], [1, -1, -1.03], [-1, 1.04, -1], [-1, -1, 1.0]]) * 1.02
RING = 1.39 * np.array([[np.cos(k), np.sin(k), 0.01 * k] for k in np.arange(6) * np.pi / 3])


@pytest.mark.parametrize(
    ("smiles", "shape"), [("CCC", BENT), ("ClC(Cl)(Cl)Cl", TETRAHEDRON), ("c1ccccc1", RING)], ids=["bent", "cage", "ring"]
)
@pytest.mark.parametrize("n_copies", [1, 2, 5])
def test_random_packings_of_symmetric_molecules(smiles, shape, n_copies):
    rng = np.random.default_rng(n_copies)
    one, other = (random_crystal(smiles, shape, n_copies, rng) for _ in range(2))
    sparse = random_crystal(smiles, shape, 1, rng, volume_per_atom=3000.0)
    matched = assert_same([(one, other), (one, noisy(one, 0.1, rng)), (sparse, one)])
    assert matched[1] == 15
    # fewer molecules near than the cluster has
    assert_same([(one, sparse)], n_molecules=4)


def mixture(rng, noise=0.0):
    """Three molecules of two species on the places of a grid, in any order of the atoms."""
    shapes = [np.array([[-1.2, 0.2, 0.0], [0.0, -0.4, 0.0], [1.2, 0.2, 0.1]]), np.vstack([BENT, [0.1, 1.8, 0.6]]), BENT[:, [1, 2, 0]]]
    numbers = [[8, 6, 8], [7, 6, 7, 17], [8, 6, 8]]
    turns = Rotation.random(3, random_state=5).as_matrix()
    places = np.array([[1.0, 1, 1], [5.5, 1, 5], [1.5, 5, 6]])
    atoms = np.concatenate([x @ turn + place for x, turn, place in zip(shapes, turns, places, strict=True)])
    atoms = atoms + noise * rng.normal(size=atoms.shape)
    order = rng.permutation(len(atoms))
    cell = np.array([[9.0, 0, 0], [0.5, 8.6, 0], [-0.4, 0.7, 8.8]])
    lattice = lattice_from_cell(torch.from_numpy(cell)).numpy()
    return Sites("mixture", np.concatenate(numbers)[order], (atoms @ np.linalg.inv(cell))[order], lattice)


def test_two_species():
    rng = np.random.default_rng(2)
    one = mixture(rng)
    matched = assert_same([(one, mixture(rng)), (one, mixture(rng, 0.05)), (mixture(rng, 0.1), mixture(rng, 0.15))])
    assert matched == [15, 15, 15]


def test_stretched_bonds(measured):
    """Roles of the two differ where a bond is found in one alone, and atoms are exchanged by element."""
    crystal = measured["4501703"]
    rng = np.random.default_rng(3)
    one, other = (Sites("sites", c.template.atomic_numbers, c.fractional, c.lattice) for c in (crystal, noisy(crystal, 0.14, rng)))
    bonds = [{len(molecule.bonds) for molecule in by_oxtalign(sites).molecules} for sites in (one, other)]
    assert bonds[0] != bonds[1]
    assert_same([(one, other), (other, one)])


@pytest.mark.slow
def test_a_dataset():
    """Three hundred pairs of known and computed crystals of one molecule each."""
    if not DATASET.exists():
        pytest.skip("the dataset /work/runs/data is not here")
    dataset, rng = CrystalDataset.open(DATASET), np.random.default_rng(0)
    pairs = []
    while len(pairs) < 300:
        of_molecule = np.flatnonzero(dataset.molecule_index == rng.integers(len(dataset.smiles)))
        if len(of_molecule) < 2:
            continue
        i, j = rng.choice(of_molecule, 2, replace=False).tolist()
        if dataset[i].template.molecule.n_atoms > 4:
            pairs += [(dataset[i], dataset[j]), (dataset[i], noisy(dataset[i], 0.2, rng))]
    assert len(set(assert_same(pairs))) > 5

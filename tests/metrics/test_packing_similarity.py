"""RMSD_15: a crystal is itself in every description of it, and another one is not."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from packflow.errors import StructureError
from packflow.metrics import packing_similarities, packing_similarity
from packflow.structure import Crystal, Molecule, Template
from packflow.structure.cif import blocks_of, read_cif, sites_of, to_ase
from packflow.structure.lattice import lattice_from_cell
from packflow.structure.recognize import recognize
from packflow.structure.sites import Sites

OPEN_CRYSTALS = Path(__file__).parents[3] / "shared" / "data" / "open_crystals.zip"
LINEAR = "1010060"  # carbon dioxide
CHECKED = ("2019369", "2007371", "2012828", "4037663", "7221763", "7238218")


@pytest.fixture(scope="module")
def crystals(cif_folder, smiles_of):
    return {cod: recognize(read_cif(cif_folder / f"{cod}.cif")[0], smiles) for cod, smiles in smiles_of.items() if cod != LINEAR}


def crystal_of(template, positions, cell):
    """A crystal in any frame."""
    lattice = lattice_from_cell(torch.from_numpy(cell)).numpy()
    return Crystal.from_fractional(template, positions @ np.linalg.inv(cell), lattice)


def other_cell(crystal):
    change = np.array([[1, 1, 0], [0, 1, -1], [1, 1, 1]])  # determinant 1
    return crystal_of(crystal.template, crystal.positions, change @ crystal.cell)


def supercell(crystal):
    positions = np.concatenate([crystal.positions, crystal.positions + crystal.cell[0]])
    return crystal_of(replace(crystal.template, n_copies=2 * crystal.template.n_copies), positions, crystal.cell * [[2], [1], [1]])


def moved(crystal):
    return replace(crystal, positions=crystal.positions + np.array([20.0, -3, 7]))


def mirrored(crystal):
    return replace(crystal, positions=-crystal.positions)


def other_order(crystal):
    """Copies in another order, each shifted by lattice vectors."""
    copies = crystal.positions.reshape(crystal.template.n_copies, -1, 3)[::-1]
    shifts = np.arange(3 * len(copies)).reshape(-1, 1, 3) % 5 - 2
    return replace(crystal, positions=(copies + shifts @ crystal.cell).reshape(-1, 3))


def as_sites(crystal):
    """Heavy atoms in a random order, molecules broken by the faces of the cell."""
    order = np.random.default_rng(0).permutation(crystal.template.n_atoms)
    return Sites("shuffled", crystal.template.atomic_numbers[order], crystal.fractional[order] % 1.0, crystal.lattice)


def turned(crystal):
    """ASE atoms in a frame of their own."""
    atoms = to_ase(crystal)
    atoms.rotate(40, (1, 2, 3), rotate_cell=True)
    return atoms


@pytest.mark.parametrize("change", [other_cell, supercell, moved, mirrored, other_order, as_sites, turned])
@pytest.mark.parametrize("cod", CHECKED)
def test_every_description_of_a_crystal_is_the_same(crystals, cod, change):
    for pair in ((crystals[cod], change(crystals[cod])), (change(crystals[cod]), crystals[cod])):
        found = packing_similarity(*pair)
        assert found.same
        assert found.n_matched == found.n_molecules == 15
        assert found.rmsd < 1e-5


def test_crystals_and_their_files_are_the_same(crystals, cif_folder):
    for cod, crystal in crystals.items():
        for reference in (crystal, cif_folder / f"{cod}.cif", str(cif_folder / f"{cod}.cif")):
            found = packing_similarity(reference, crystal)
            assert found.n_matched == 15, cod
            assert found.rmsd < 1e-4, cod  # the Crystal's cell is made of rounded parameters


def test_strain_and_noise_are_measured(crystals):
    crystal = crystals["7238218"]
    strained = replace(crystal, positions=crystal.positions * 1.01, lattice=crystal.lattice * [1.01, 1.01, 1.01, 1, 1, 1])
    found = packing_similarity(crystal, strained)
    assert found.same
    # 1 % of the cluster's radius of gyration, 5 to 8 Å
    assert 0.03 < found.rmsd < 0.12
    noise = np.random.default_rng(0).normal(size=crystal.positions.shape)
    rmsds = [packing_similarity(crystal, replace(crystal, positions=crystal.positions + scale * noise)).rmsd for scale in (0.01, 0.1)]
    # one coordinate has this deviation, three have sqrt(3) of it; the rigid motion takes a little away
    assert rmsds[0] == pytest.approx(0.01 * 3**0.5, rel=0.25)
    assert rmsds[1] == pytest.approx(0.1 * 3**0.5, rel=0.25)


def test_another_packing_does_not_match(crystals):
    crystal = crystals["7238218"]
    copies = crystal.positions.reshape(crystal.template.n_copies, -1, 3)
    centroids = copies.mean(1, keepdims=True)
    turns = np.linalg.qr(np.random.default_rng(0).normal(size=(len(copies), 3, 3)))[0]
    repacked = replace(crystal, positions=((copies - centroids) @ turns + centroids).reshape(-1, 3))
    found = packing_similarity(crystal, repacked)
    assert 1 <= found.n_matched < 8
    assert not found.same


def test_options_count(crystals):
    crystal = crystals["2019369"]
    noisy = replace(crystal, positions=crystal.positions + 0.2 * np.random.default_rng(0).normal(size=crystal.positions.shape))
    assert packing_similarity(crystal, noisy, n_molecules=30).n_molecules == 30
    assert packing_similarity(crystal, noisy).same
    assert not packing_similarity(crystal, noisy, tolerance=0.1).same
    chiral = Crystal(
        Template(Molecule.from_smiles("FC(Cl)Br"), 1),
        np.array([[1.2, 0.2, 0.1], [0, 0, 0], [-0.5, 1.6, 0], [-0.6, -0.9, 1.5]]),
        np.array([4.6, 5.1, 5.8, 81, 94, 103]),
    )
    assert packing_similarity(chiral, mirrored(chiral)).rmsd < 1e-9
    assert packing_similarity(chiral, mirrored(chiral), mirror=False).rmsd > 0.1


def broken(crystal):
    """Structures that cannot be compared, by the reason that is given."""
    random = np.random.default_rng(0).random((100, 3))
    line = np.array([[0.0, 0, 0], [1.2, 0, 0], [2.4, 0, 0]])
    bent = np.array([[0.0, 0, 0], [1.2, 1, 0], [2.4, 0, 0]])
    return {
        "missing coordinates": replace(crystal, positions=crystal.positions * np.nan),
        "no valid cell": replace(crystal, lattice=np.array([9.0, 9, 9, 90, 90, 180])),
        "too large": replace(crystal, lattice=np.array([9.0, 9, 1e120, 90, 90, 90])),
        "too sparse, too thin or n_molecules too large": replace(crystal, lattice=np.array([2000.0, 2000, 1.2, 90, 90, 90])),
        "another molecule": Crystal(Template(Molecule.from_smiles("CCC"), 1), bent, np.full(6, 80.0)),
        "linear molecule": Crystal(Template(Molecule.from_smiles("O=C=O"), 1), line, np.array([5.0, 5, 5, 90, 90, 90])),
        "no molecules": Sites("chain", np.full(2, 6), np.array([[0.0, 0, 0], [0.5, 0, 0]]), np.array([2.8, 8, 8, 90, 90, 90])),
        "too dense": Sites("collapsed", np.full(100, 6), random, np.array([5.0, 5, 5, 90, 90, 90])),
        "no heavy atoms": Sites("hydrogen", np.ones(2, dtype=np.int64), random[:2], np.array([5.0, 5, 5, 90, 90, 90])),
    }


REASONS = tuple(broken(Crystal(Template(Molecule.from_smiles("C"), 1), np.zeros((1, 3)), np.ones(6))))


@pytest.mark.parametrize("reason", REASONS)
def test_what_cannot_be_compared_says_why(crystals, reason):
    crystal = crystals["2019369"]
    other = broken(crystal)[reason]
    for pair in [(other, other)] if reason != "another molecule" else [(crystal, other), (other, crystal)]:
        with pytest.raises(StructureError) as caught:
            packing_similarity(*pair)
        assert caught.value.reason == reason


def test_pairs_that_cannot_be_compared_are_marked(crystals):
    crystal = crystals["2019369"]
    structures = [crystal, other_cell(crystal), *broken(crystal).values()]
    pairs = torch.tensor([[0, 1], *([0, k] for k in range(2, len(structures))), [1, 0]])
    found = packing_similarities(structures, pairs)
    n_broken = len(REASONS)
    assert found.n_matched.tolist() == [15, *[-1] * n_broken, 15]
    assert found.rmsd.isnan().tolist() == [False, *[True] * n_broken, False]
    assert found.same.tolist() == [True, *[False] * n_broken, True]
    assert [bool(problem) for problem in found.problems] == [False, *[True] * n_broken, False]
    one = packing_similarity(crystal, structures[1])
    assert (found.n_matched[0], found.rmsd[0]) == (one.n_matched, one.rmsd)


def test_no_pairs(crystals):
    found = packing_similarities([], torch.zeros(0, 2, dtype=torch.int64))
    assert found.n_matched.shape == found.rmsd.shape == (0,)


def test_bad_arguments(crystals, tmp_path):
    crystal = crystals["2019369"]
    with pytest.raises(ValueError, match="n_molecules must be an integer of at least 1, got 0"):
        packing_similarity(crystal, crystal, n_molecules=0)
    with pytest.raises(ValueError, match="tolerance must be a positive number"):
        packing_similarity(crystal, crystal, tolerance=0.0)
    with pytest.raises(ValueError, match="pairs must have shape"):
        packing_similarities([crystal], torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="pairs must lie between 0 and 0, got 0 to 1"):
        packing_similarities([crystal], torch.tensor([[0, 1]]))
    with pytest.raises(ValueError, match=r"nothing\.cif is not a file"):
        packing_similarity(tmp_path / "nothing.cif", crystal)


@pytest.fixture(scope="module")
def open_crystal():
    """A function that reads a structure of the shared open crystals by its COD number."""
    if not OPEN_CRYSTALS.exists():
        pytest.skip("the open crystals (../shared/data/open_crystals.zip) are not here")
    archive = zipfile.ZipFile(OPEN_CRYSTALS)

    def read(cod):
        name = next(name for name in archive.namelist() if f"_{cod}" in name)
        return sites_of(blocks_of(archive.read(name).decode(errors="replace"))[0], cod)

    with archive:
        yield read


# Benzene I (Pbca) and II (P2_1/c), glycylglycine, all measured more than once
SAME = [("2100348", "2100350"), ("2100348", "4501702"), ("4501702", "2100349"), ("4501703", "4501704"), ("2100437", "2100438")]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_measured_twice_is_the_same(open_crystal, one, two):
    found = packing_similarity(open_crystal(one), open_crystal(two))
    assert found.same
    assert found.rmsd < 0.35  # other temperatures and pressures


@pytest.mark.parametrize(("one", "two"), [("2100348", "4501703"), ("4501704", "4501702")])
def test_polymorphs_are_different(open_crystal, one, two):
    assert packing_similarity(open_crystal(one), open_crystal(two)).n_matched < 12

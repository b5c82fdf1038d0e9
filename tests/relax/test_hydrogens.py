"""Hydrogens: where RDKit puts them, only hydrogens move, and what cannot be done is said."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import AllChem

from packflow import Crystal, Molecule, Template
from packflow.relax.hydrogens import ATOMS_AT_ONCE, add_hydrogens
from packflow.relax.hydrogens_molecule import HYDROGEN_BONDS, hydrogen_table
from packflow.structure.cif import read_cif
from packflow.structure.full import full_mol, full_numbers
from packflow.structure.molecule import heavy_atom_mol
from packflow.structure.recognize import recognize

MOLECULES = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "alanine zwitterion": "C[C@H]([NH3+])C(=O)[O-]",
    "nitro": "Cc1ccc([N+](=O)[O-])cc1O",
    "sulfoxide": "CS(=O)CCS",
    "boronic acid": "OB(O)c1ccccc1",
    "secondary amine": "C[C@@H](O)[C@H]1CCCCN1",
    "alkyne": "C#CCBr",
    "water": "O",
    "no hydrogens": "FC(F)(F)C#N",
    "selenol": "C[SeH]",
}


def embedded(smiles: str, seed: int = 1) -> np.ndarray:
    """Heavy atoms of a conformer, centred. [n_heavy, 3]"""
    mol = Chem.Mol(full_mol(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=seed)
    x = mol.GetConformer().GetPositions()[: heavy_atom_mol(smiles).GetNumAtoms()]
    return x - x.mean(0)


def packing(smiles: str, n_copies: int = 3, seed: int = 0, spacing: float = 0.0) -> Crystal:
    """Copies turned at random, in a row of boxes as large as the molecule and `spacing` Å."""
    rng, x = np.random.default_rng(seed), embedded(smiles)
    side = 2 * np.linalg.norm(x, axis=1).max() + 3.0 + spacing
    copies = [x @ np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(n_copies)]
    # improper turns would make the other enantiomer
    copies = [c if same_hand(c, x) else -c for c in copies]
    lattice = np.array([side * n_copies, side, side, 85.0, 95.0, 100.0])
    template = Template(Molecule.from_smiles(smiles), n_copies)
    at_origin = Crystal(template, np.concatenate(copies), lattice)
    centers = (np.arange(n_copies)[:, None] + 0.5) / n_copies * [1, 0, 0] + [0, 0.5, 0.5]
    return replace(at_origin, positions=at_origin.positions + np.repeat(centers @ at_origin.cell, len(x), axis=0))


def same_hand(one: np.ndarray, other: np.ndarray) -> bool:
    return len(one) < 4 or np.linalg.det(one.T @ other) >= 0


def hydrogenated(crystal, **options):
    (result,) = add_hydrogens([crystal], **options)
    assert result.problem == ""
    return result


def alone(smiles, heavy):
    """The definition: RDKit on one copy."""
    mol = heavy_atom_mol(smiles)
    conformer = Chem.Conformer(len(heavy))
    for atom, x in enumerate(heavy.tolist()):
        conformer.SetAtomPosition(atom, x)
    conformer.Set3D(True)
    mol.AddConformer(conformer)
    return Chem.AddHs(mol, addCoords=True)


@pytest.fixture(scope="module")
def measured(cif_folder, smiles_of):
    return {cod: recognize(read_cif(cif_folder / f"{cod}.cif")[0], smiles) for cod, smiles in smiles_of.items()}


@pytest.mark.parametrize("smiles", MOLECULES.values(), ids=MOLECULES)
def test_placed_as_rdkit_does_copy_by_copy(smiles):
    crystal = packing(smiles)
    structure = hydrogenated(crystal, turn=False).structure
    expected = [alone(smiles, copy) for copy in crystal.positions.reshape(3, -1, 3)]
    assert np.abs(structure.positions - np.concatenate([mol.GetConformer().GetPositions() for mol in expected])).max() < 1e-8
    assert full_numbers(crystal.template).tolist() == [a.GetAtomicNum() for mol in expected for a in mol.GetAtoms()]
    assert np.array_equal(structure.cell, crystal.cell)


@pytest.mark.parametrize("smiles", MOLECULES.values(), ids=MOLECULES)
def test_formula_lengths_and_heavy_atoms(smiles):
    crystal = packing(smiles)
    structure = hydrogenated(crystal).structure
    table, n_heavy = hydrogen_table(smiles), crystal.template.molecule.n_atoms
    copies = structure.positions.reshape(3, -1, 3)
    assert np.array_equal(copies[:, :n_heavy].reshape(-1, 3), crystal.positions)
    # every hydrogen is nearest to the atom that the SMILES gives it to, at a neutron length
    for copy in copies:
        distances = np.linalg.norm(copy[n_heavy:, None] - copy[:n_heavy], axis=2)
        assert distances.argmin(1).tolist() == table.bearer[n_heavy:].tolist()
        expected = [HYDROGEN_BONDS[int(table.numbers[b])] for b in table.bearer[n_heavy:]]
        assert np.abs(distances.min(1) - expected).max(initial=0) < 0.06
    wanted = [a.GetTotalNumHs() for a in heavy_atom_mol(smiles).GetAtoms()]
    assert np.bincount(table.bearer[n_heavy:], minlength=n_heavy).tolist() == wanted


@pytest.mark.parametrize(("smiles", "length"), [("C[SiH3]", 1.48), ("CPC", 1.42)])
def test_bonds_that_rdkit_makes_too_short(smiles, length):
    crystal = packing(smiles)
    x, table = hydrogenated(crystal, turn=False).structure.positions.reshape(3, -1, 3), hydrogen_table(smiles)
    expected = np.stack([alone(smiles, copy).GetConformer().GetPositions() for copy in crystal.positions.reshape(3, -1, 3)])
    for h in np.nonzero(table.numbers == 1)[0]:
        ours, rdkits = x[:, h] - x[:, table.bearer[h]], expected[:, h] - expected[:, table.bearer[h]]
        on_carbon = table.numbers[table.bearer[h]] == 6
        wanted = rdkits if on_carbon else length * rdkits / np.linalg.norm(rdkits, axis=1, keepdims=True)
        assert np.abs(ours - wanted).max() < 1e-8


def test_many_molecules_at_once_are_as_each_alone():
    crystals = [packing(smiles, n, seed=n) for n in (1, 2, 4) for smiles in MOLECULES.values()] * 12
    assert sum(c.template.n_atoms for c in crystals) > ATOMS_AT_ONCE
    for crystal, result in zip(crystals, add_hydrogens(crystals), strict=True):
        one = hydrogenated(crystal)
        assert np.array_equal(result.structure.positions, one.structure.positions)
        assert result.n_turned == one.n_turned
        assert np.array_equal(result.clash_index, one.clash_index)
        assert result.structure.template is crystal.template


def test_nothing_in_nothing_out():
    assert add_hydrogens([]) == []


@pytest.mark.parametrize("cod", ["2022073", "4037663", "2007371", "4116140", "7238218", "1511801", "2203632", "7221763"])
def test_order_and_image_of_molecules_do_not_matter(measured, cod):
    """Dense packings with hydrogen bonds: each rotor has others to mind, and symmetry makes many of equal cost."""
    crystal = measured[cod]
    n = crystal.template.n_copies
    rng = np.random.default_rng(0)
    order, shifts = rng.permutation(n), rng.integers(-3, 4, (n, 1, 3)) @ crystal.cell
    copies = crystal.positions.reshape(n, -1, 3)
    expected, found = hydrogenated(crystal), hydrogenated(replace(crystal, positions=(copies[order] + shifts).reshape(-1, 3)))
    placed = expected.structure.positions.reshape(n, -1, 3)[order] + shifts
    assert np.abs(found.structure.positions.reshape(n, -1, 3) - placed).max() < 1e-9
    assert found.n_turned == expected.n_turned
    assert np.allclose(np.sort(found.clash_distances), np.sort(expected.clash_distances))


def test_rounding_does_not_decide_where_methyls_are():
    """A molecule in a plane of the frame: RDKit itself turns the methyls of some copies, by what is left of a zero."""
    acetone = np.array([[0, -1.29, -0.7], [0, 0, 0.1], [0, 1.29, -0.7], [0, 0, 1.32]])
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 400, (200, 1, 3))
    template = Template(Molecule.from_smiles("CC(C)=O"), 200)
    noisy = acetone + places + rng.normal(scale=3e-14, size=(200, 4, 3))
    crystal = Crystal(template, noisy.reshape(-1, 3), np.array([500.0, 500, 500, 90, 90, 90]))
    copies = hydrogenated(crystal, turn=False).structure.positions.reshape(200, -1, 3) - places
    assert np.abs(copies - copies[0]).max() < 1e-8
    by_rdkit = [alone("CC(C)=O", x).GetConformer().GetPositions() - place for x, place in zip(noisy, places, strict=True)]
    assert np.abs(np.array(by_rdkit) - by_rdkit[0]).max() > 1


def test_same_bits_every_time(measured):
    one, two = (add_hydrogens(list(measured.values())) for _ in range(2))
    for first, second in zip(one, two, strict=True):
        assert np.array_equal(first.structure.positions, second.structure.positions)


@pytest.mark.parametrize("cod", ["2007371", "2019369", "4116140", "7221763"])
def test_molecules_cut_by_the_cell(measured, cod):
    crystal = measured[cod]
    fractional = crystal.fractional + np.array([0.3, 0.1, 0.2])
    whole = replace(crystal, positions=fractional @ crystal.cell)
    cut = replace(crystal, positions=(fractional % 1) @ crystal.cell)
    assert np.abs(cut.positions - whole.positions).max() > 1
    n = crystal.template.n_copies
    one, two = (hydrogenated(c).structure.positions.reshape(n, -1, 3) for c in (whole, cut))
    images = (two - one) @ np.linalg.inv(crystal.cell)
    # the same molecules, each shifted as a whole by lattice vectors
    assert np.abs(images - np.rint(images)).max() < 1e-9
    assert np.array_equal(np.rint(images), np.rint(np.broadcast_to(images[:, :1], images.shape)))


def test_handedness_is_that_of_the_heavy_atoms():
    crystal = packing("C[C@H](N)C(=O)O", 2)
    left, right = crystal.positions.reshape(2, -1, 3)
    both = replace(crystal, positions=np.concatenate([left, 2 * right.mean(0) - right]))
    found = []
    for copy in hydrogenated(both).structure.positions.reshape(2, -1, 3):
        mol = Chem.Mol(full_mol("CC(N)C(=O)O"))
        conformer = Chem.Conformer(len(copy))
        conformer.SetPositions(np.ascontiguousarray(copy))
        mol.AddConformer(conformer)
        Chem.AssignStereochemistryFrom3D(mol)
        found += [label for _, label in Chem.FindMolChiralCenters(mol)]
    assert found == ["S", "R"]


def broken(crystal, **changes):
    return replace(crystal, **{name: change(getattr(crystal, name).copy()) for name, change in changes.items()})


def put(rows, values):
    def change(array):
        array[rows] = values
        return array

    return change


BROKEN = {
    "not a number": (lambda c: broken(c, positions=put((3, 1), math.nan)), "finite"),
    "no lattice": (lambda c: broken(c, lattice=put(0, math.nan)), "cell"),
    "negative length": (lambda c: broken(c, lattice=put(1, -9.0)), "cell"),
    "angles of no cell": (lambda c: broken(c, lattice=put(slice(3, 6), (20.0, 30, 120))), "volume"),
    "two atoms in one place": (lambda c: broken(c, positions=put(3, c.positions[5] + 0.01)), "heavy atoms 3 and 5 coincide"),
    "an atom on an image": (lambda c: broken(c, positions=put(3, c.positions[20] + c.cell[1])), "heavy atoms 3 and 20 coincide"),
}


@pytest.mark.parametrize(("change", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_crystal_is_marked_and_the_others_go_on(change, words):
    good = packing(MOLECULES["aspirin"])
    first, marked, last = add_hydrogens([good, change(good), good])
    assert marked.structure is None
    assert words in marked.problem
    assert np.array_equal(first.structure.positions, hydrogenated(good).structure.positions)
    assert np.array_equal(last.structure.positions, first.structure.positions)


def test_all_broken():
    bad = BROKEN["not a number"][0](packing(MOLECULES["aspirin"]))
    assert all(result.problem and result.structure is None for result in add_hydrogens([bad, bad]))


def test_a_hydrogen_on_top_of_another_bond_is_a_problem():
    """Two neighbors on one side drive it onto the third."""
    ligands = np.array([[0.78, -0.62, 0.0], [0.86, 0.5, 0.05], [-0.99, 0.05, 0.1]])
    ligands *= 1.53 / np.linalg.norm(ligands, axis=1, keepdims=True)
    positions = np.concatenate([ligands[:1], np.zeros((1, 3)), ligands[1:]])
    crystal = Crystal(Template(Molecule.from_smiles("CC(C)C"), 1), positions, np.array([12.0, 12, 12, 90, 90, 90]))
    (result,) = add_hydrogens([crystal])
    assert "stands within 30 degrees of the bond from atom 1 to 3" in result.problem


def test_clashes_are_all_that_there_are(measured):
    """Against a loop over all pairs and images, on packings pressed together."""
    n_found = 0
    for crystal in measured.values():
        pressed = replace(crystal, positions=crystal.positions * 0.9, lattice=crystal.lattice * [0.85, 0.85, 0.85, 1, 1, 1])
        (result,) = add_hydrogens([pressed])
        assert result.problem == ""
        expected = clashes_by_hand(result.structure)
        found = {(int(i), int(j), round(float(d), 6)) for (i, j), d in zip(result.clash_index.T, result.clash_distances, strict=True)}
        assert len(result.clash_distances) == len(expected)
        assert {(min(i, j), max(i, j), d) for i, j, d in found} == {(min(i, j), max(i, j), d) for i, j, d in expected}
        n_found += len(expected)
    assert n_found > 50


def clashes_by_hand(structure):
    table = hydrogen_table(structure.template.molecule.smiles)
    n = len(table.numbers)
    radius, hydrogen = np.tile(table.radii, structure.template.n_copies), np.tile(table.numbers == 1, structure.template.n_copies)
    donates, accepts = np.tile(table.donates > 0, structure.template.n_copies), np.tile(table.accepts > 0, structure.template.n_copies)
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    rows = []
    for i in range(len(radius)):
        for j in range(i, len(radius)):
            if hydrogen[i] or hydrogen[j]:
                bond = (hydrogen[i] and donates[i] and accepts[j]) or (hydrogen[j] and donates[j] and accepts[i])
                limit = 0.75 * (radius[i] + radius[j]) - 0.55 * bond
                d = np.linalg.norm(structure.positions[j] - structure.positions[i] + steps @ structure.cell, axis=1)
                near = [(tuple(step), x) for step, x in zip(steps.tolist(), d, strict=True) if x < limit]
                # not the atoms of the molecule itself, and each of the two directions to an own image once
                near = [(step, x) for step, x in near if (i // n != j // n or any(step)) and (i != j or step > (0, 0, 0))]
                rows += [(i, j, round(float(x), 6)) for _, x in near]
    return rows


def test_threads_change_nothing(measured):
    expected = add_hydrogens(list(measured.values()))
    torch.set_num_threads(2)
    try:
        found = add_hydrogens(list(measured.values()))
    finally:
        torch.set_num_threads(1)
    assert all(np.array_equal(a.structure.positions, b.structure.positions) for a, b in zip(expected, found, strict=True))

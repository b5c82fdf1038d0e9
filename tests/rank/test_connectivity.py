"""Bonds that are stretched, broken, formed, and protons that moved, against a plain loop over all images."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from packflow import Molecule, Template
from packflow.elements import COVALENT_RADII, SYMBOLS
from packflow.rank.connectivity import connectivity
from packflow.structure.full import FullBatch, FullStructure, full_mol, full_numbers

RADII = {z: COVALENT_RADII[s] for z, s in SYMBOLS.items()}
STEPS = np.array(list(itertools.product(range(-2, 3), repeat=3)))


def look(*structures):
    return connectivity(FullBatch.pack(structures))


def moved(structure, atom, position):
    positions = structure.positions.copy()
    positions[atom] = position
    return replace(structure, positions=positions)


def counted(structure):
    """n_invalid_heavy, n_invalid_hydrogen, n_broken, n_formed by a loop over pairs and images."""
    numbers, x = full_numbers(structure.template), structure.positions
    mol = full_mol(structure.template.molecule.smiles)
    bonds = {
        tuple(sorted((b.GetBeginAtomIdx() + c * mol.GetNumAtoms(), b.GetEndAtomIdx() + c * mol.GetNumAtoms())))
        for b in mol.GetBonds()
        for c in range(structure.template.n_copies)
    }
    radii = np.array([RADII[z] for z in numbers.tolist()])
    invalid, own = {True: 0, False: 0}, {}
    broken = set()
    for i, j in bonds:
        error = np.linalg.norm(x[j] - x[i]) - radii[i] - radii[j]
        invalid[1 in (numbers[i], numbers[j])] += abs(error) > 0.4
        own |= {k: (error, (i, j)) for k in (i, j) if numbers[k] == 1}
        if error > 0.4:
            broken.add((i, j))
    formed = 0
    for i, j in itertools.combinations_with_replacement(range(len(x)), 2):
        for step in STEPS:
            if (not step.any() and ((i, j) in bonds or i == j)) or (i == j and tuple(step) < (0, 0, 0)):
                continue
            excess = np.linalg.norm(x[j] + step @ structure.cell - x[i]) - radii[i] - radii[j]
            if excess >= 0.3:
                continue
            hydrogens = [k for k in (i, j) if numbers[k] == 1]
            if len(hydrogens) == 1:
                error, bond = own[hydrogens[0]]
                if excess < error:
                    broken.add(bond)
                elif excess >= 0.1:
                    continue
            formed += 1
    return invalid[False], invalid[True], len(broken), formed


def counts(found, row):
    return tuple(int(x[row]) for x in (found.n_invalid_heavy, found.n_invalid_hydrogen, found.n_broken, found.n_formed))


def test_measured_crystals_are_intact(full_crystal, smiles_of):
    found = look(*(full_crystal(cod) for cod in smiles_of))
    assert found.reasons == ("",) * len(smiles_of)
    assert found.intact.all()
    assert (found.worst_bond_error < 0.37).all()  # carbon dioxide of 1923 has bonds of 1.05 Å
    assert not (found.n_broken | found.n_formed | found.n_invalid_heavy | found.n_invalid_hydrogen).any()


@pytest.mark.parametrize("size", [0.15, 0.3, 0.6])
def test_against_a_loop(full_crystal, size):
    """Crystals shaken until bonds break and form, packed together."""
    random = np.random.default_rng(0)
    shaken = [
        replace(c, positions=c.positions + size * random.normal(size=c.positions.shape), cell=0.9 * c.cell)
        for c in (full_crystal(cod) for cod in ("2019369", "1010060", "7214418"))
        for _ in range(2)
    ]
    found = look(*shaken)
    assert [counts(found, row) for row in range(len(shaken))] == [counted(s) for s in shaken]
    assert int(found.n_formed.sum()) > 0 or size < 0.2


def test_stretched_bond(urea, atom_of):
    oxygen, carbon = atom_of(urea, "O", copy=1), atom_of(urea, "C", copy=1)
    away = urea.positions[oxygen] - urea.positions[carbon]
    away /= np.linalg.norm(away)
    lengths = (1.70, 1.80, 1.90)  # 1.42 by the radii, 1.82 at most
    found = look(*(moved(urea, oxygen, urea.positions[carbon] + d * away) for d in lengths))
    assert found.intact.tolist() == [True, True, False]
    assert counts(found, 2) == (1, 0, 1, 0)
    n_hydrogen = len(full_mol("NC(N)=O").GetAtoms())
    names = {f"{s}{r % n_hydrogen + 1}" for s, r in (("O", oxygen), ("C", carbon))}
    assert all(name in found.reasons[2] for name in names)
    assert "of molecule 2 is 1.90 Å long" in found.reasons[2]
    assert torch.allclose(found.worst_bond_error, torch.tensor([0.28, 0.38, 0.48], dtype=torch.float64), atol=1e-6)


def test_crushed_bond_is_invalid_but_not_broken(urea, atom_of):
    hydrogen, nitrogen = atom_of(urea, "H"), atom_of(urea, "N")
    toward = urea.positions[nitrogen] + 0.55 * (urea.positions[hydrogen] - urea.positions[nitrogen])
    found = look(moved(urea, hydrogen, toward))
    assert counts(found, 0) == (0, 1, 0, 0)
    assert not found.intact[0]


@pytest.mark.parametrize("image", [(0, 0, 0), (0, 0, 1), (1, 0, -1)])
def test_proton_that_moved(urea, atom_of, image):
    """To the oxygen of another molecule, also across the faces of the cell; its own bond is then far too long."""
    hydrogen, oxygen = atom_of(urea, "H"), atom_of(urea, "O", copy=1)
    beyond = urea.positions[oxygen] - urea.positions[atom_of(urea, "C", copy=1)]
    place = urea.positions[oxygen] + 0.97 * beyond / np.linalg.norm(beyond) + np.array(image) @ urea.cell
    found = look(urea, moved(urea, hydrogen, place))
    assert found.intact.tolist() == [True, False]
    assert counts(found, 1)[:3] == (0, 1, 1)
    assert counts(found, 1)[3] >= 1


def test_proton_half_way(apart):
    """Between the oxygens of two waters: it counts to the nearer one, to both if it is near to both; a hydrogen bond is none."""
    template = Template(Molecule.from_smiles("O"), 1)
    water = FullStructure(template, np.array([[0.0, 0, 0], [0.97, 0, 0], [-0.24, 0.94, 0]]), None)
    pair = apart([water, water])
    results = []
    for proton, other in ((1.0, 2.5), (1.15, 2.4), (1.25, 2.4), (1.0, 2.05)):
        x = pair.positions.copy()
        x[3:] = x[0] + [other, 0, 0] + np.array([[0.0, 0, 0], [0.24, 0.94, 0], [0.24, -0.94, 0]])
        x[1] = x[0] + [proton, 0, 0]
        results.append(replace(pair, positions=x))
    found = look(*results)
    assert [counts(found, k) for k in range(4)] == [(0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 1, 1), (0, 0, 0, 1)]
    assert "as if bonded" in found.reasons[2]
    assert [not reason for reason in found.reasons] == found.intact.tolist()


def test_molecules_that_touch(apart):
    """The oxygen of one formaldehyde 1.5 Å above the carbon of another: a bond that neither has."""
    template = Template(Molecule.from_smiles("C=O"), 1)
    one = FullStructure(template, np.array([[0.0, 0, 0], [0, 0, 1.2], [0.94, 0, -0.54], [-0.94, 0, -0.54]]), None)
    pair = apart([one, one])
    x = pair.positions.copy()
    x[4:] = x[0] + np.array([[0.0, 2.7, 0], [0, 1.5, 0], [0.94, 3.24, 0], [-0.94, 3.24, 0]])
    found = look(pair, replace(pair, positions=x))
    assert counts(found, 0) == (0, 0, 0, 0)
    assert counts(found, 1) == (0, 0, 0, 1)
    assert found.reasons[1] == "C1 of molecule 1 and O2 of molecule 2 are 1.50 Å apart, as if bonded"


def test_two_hydrogens_that_meet(apart):
    template = Template(Molecule.from_smiles("O"), 1)
    water = FullStructure(template, np.array([[0.0, 0, 0], [0.97, 0, 0], [-0.24, 0.94, 0]]), None)
    pair = apart([water, water])
    x = pair.positions.copy()
    x[3:] = x[:3] * [-1, 1, 1] + [2 * x[1, 0] + 0.8, 0, 0]
    found = look(replace(pair, positions=x))
    assert counts(found, 0) == (0, 0, 0, 1)


def test_in_vacuum(urea):
    n = len(urea.positions) // 2
    alone = FullStructure(replace(urea.template, n_copies=1), urea.positions[:n], None)
    split = replace(alone, positions=alone.positions * 1.5)
    found = look(alone, split)
    assert found.intact.tolist() == [True, False]


def test_bad_numbers_and_company(urea):
    nothing = replace(urea, positions=np.full_like(urea.positions, np.nan))
    flat = replace(urea, cell=np.diag([5.0, 5.0, 0.0]))
    found = look(nothing, urea, flat)
    assert found.intact.tolist() == [False, True, False]
    assert found.worst_bond_error[0].isnan()
    assert counts(found, 1) == (0, 0, 0, 0)
    empty = connectivity(FullBatch.pack([]))
    assert (empty.reasons, len(empty.n_formed)) == ((), 0)


def test_chain_of_images():
    """Nitrogen in so short a cell that the molecules are a chain: each atom is as if bonded to the next image of its partner."""
    positions = np.array([[0.0, 0, 0], [1.1, 0, 0]])
    found = look(*(FullStructure(Template(Molecule.from_smiles("N#N"), 1), positions, np.diag([a, 5.0, 5.0])) for a in (2.5, 3.0)))
    assert [counts(found, k) for k in range(2)] == [(0, 0, 0, 1), (0, 0, 0, 0)]


def test_an_atom_alone():
    found = look(FullStructure(Template(Molecule.from_smiles("[I-]"), 1), np.zeros((1, 3)), 8.0 * np.eye(3)))
    assert found.reasons == ("",)
    assert found.worst_bond_error[0] == 0

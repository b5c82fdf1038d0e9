"""Configurations: those of RDKit's conformers are right, mirror images pass, other stereoisomers do not."""

from dataclasses import replace

import numpy as np
import pytest

from packflow import Molecule, Template
from packflow.rank.conformers import ConformerConfig, conformers
from packflow.rank.stereo import sides_of, stereo_elements, stereo_problem

STATED = [
    "C[C@H](N)C(=O)O",
    "N[C@@H](C)C(=O)O",
    "[H][C@](F)(Cl)Br",
    "C[S@](=O)CC",
    "C[C@@H](O)[C@H](N)/C(F)=C(\\C)Cl",
    "C/C=C/C",
    "C/C=C\\C(F)=O",
    "O[C@H]1CC[C@@H](C)CC1",
    "C1C[C@H]2CC[C@@H]1C2O",
    "F/N=N/F",
]


def as_if(structure, smiles):
    """The atoms of a structure as those of another stereoisomer with the same order of atoms."""
    return replace(structure, template=Template(Molecule.from_smiles(smiles), structure.template.n_copies))


@pytest.mark.parametrize("smiles", STATED)
def test_conformers_by_rdkit_are_right(smiles):
    for conformer in conformers(smiles, ConformerConfig(5)):
        assert stereo_problem(conformer) == ""
        assert stereo_problem(replace(conformer, positions=-conformer.positions)) == ""


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        ("C[C@@H](O)[C@H](N)C", "C[C@H](O)[C@H](N)C"),
        ("C/C=C/C", "C/C=C\\C"),
        ("O[C@H]1CC[C@@H](C)CC1", "O[C@H]1CC[C@H](C)CC1"),
        ("F/N=N/F", "F/N=N\\F"),
    ],
)
def test_other_stereoisomers_are_not(made, wanted):
    for conformer in conformers(made, ConformerConfig(5)):
        assert stereo_problem(as_if(conformer, wanted)) == f"molecule 1 is another stereoisomer than {wanted}"


def test_racemate_and_one_wrong_molecule(apart):
    """Enantiomers together are right; one diastereomer among them is named."""
    right = conformers("C[C@@H](O)[C@H](N)C", ConformerConfig(1))[0]
    wrong = as_if(conformers("C[C@H](O)[C@H](N)C", ConformerConfig(1))[0], "C[C@@H](O)[C@H](N)C")
    mirrored = replace(right, positions=-right.positions)
    assert stereo_problem(apart([right, mirrored, right])) == ""
    assert stereo_problem(apart([right, mirrored, wrong])).startswith("molecule 3 is another stereoisomer")


def test_open_centres_may_be_any_but_must_stay(apart):
    left, right = (conformers(smiles, ConformerConfig(1))[0] for smiles in ("C[C@H](N)C=CF", "C[C@@H](N)C=CF"))
    left, right = (as_if(x, "CC(N)C=CF") for x in (left, right))
    before, after = apart([left, right]), apart([right, right])
    elements = stereo_elements("CC(N)C=CF")
    assert elements.center_sides.tolist() == [0]
    assert elements.bond_sides.tolist() == [0]
    assert stereo_problem(before) == stereo_problem(after) == ""
    assert stereo_problem(before, before) == ""
    assert stereo_problem(after, before) == "a stereocentre or double bond of molecule 1 was turned over"


def test_sides_by_hand(apart):
    """Bromochlorofluoromethane: F, Cl and Br counterclockwise, seen from above with the hydrogen down, are right-handed."""
    (one,) = conformers("FC(Cl)Br", ConformerConfig(1))
    turn = 2 * np.pi / 3
    around = [[np.cos(k * turn), np.sin(k * turn), 0.3] for k in range(3)]
    atoms = np.array([around[0], [0.0, 0, 0], around[1], around[2], [0, 0, -1.0]])
    centers, bonds = sides_of(replace(one, positions=atoms))
    assert (centers.tolist(), bonds.shape) == ([[1]], (1, 0))


def test_nothing_to_check(urea):
    assert len(stereo_elements("NC(N)=O").centers) == len(stereo_elements("NC(N)=O").bonds) == 0
    assert stereo_problem(urea, urea) == ""

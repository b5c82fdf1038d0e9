"""Clash percentages by hand and of measured crystals, with and without bonded pairs."""

import pytest
import torch

from packflow.metrics import clash_percent
from packflow.metrics.clash import RADIUS
from packflow.structure import AtomsBatch
from packflow.structure.cif import read_cif
from packflow.structure.recognize import recognize

CUBE = 10 * torch.eye(3)


def test_by_hand(structure):
    """Three carbons in a row 1.0 Å apart and one far away: three of four clash (below 0.75 * 1.52 = 1.14 Å)."""
    row = structure([6] * 4, [[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [5, 5, 5]], CUBE)
    assert clash_percent(AtomsBatch.join([row, row])).tolist() == [75.0, 75.0]
    assert clash_percent(row, scale=0.5).item() == 0


def test_short_bonds_are_clashes_only_with_bonded_pairs(structure):
    """A bond of 1.0 Å, and a third atom 1.0 Å from its end that is not bonded."""
    positions = [[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]
    both = structure([6] * 3, positions, CUBE, [(0, 1), (1, 2)])
    one = structure([6] * 3, positions, CUBE, [(0, 1)])
    assert clash_percent(both).item() == 100
    assert clash_percent(both, bonded=False).item() == 0
    assert clash_percent(one, bonded=False).item() == pytest.approx(200 / 3)


def test_only_the_nearest_image_of_a_bonded_pair_is_left_out(structure):
    """In a cell of 2 Å the bonded atom is 0.95 Å away to one side and 1.05 Å to the other, where it overlaps."""
    cell = torch.diag(torch.tensor([2.0, 10, 10]))
    assert clash_percent(structure([6, 6], [[0.0, 0, 0], [0.95, 0, 0]], cell, [(0, 1)]), bonded=False).item() == 100
    assert clash_percent(structure([6, 6], [[0.0, 0, 0], [0.8, 0, 0]], cell, [(0, 1)]), bonded=False).item() == 0


def test_two_images_equally_near(structure):
    """One of them is the bond, the other a clash."""
    cell = torch.diag(torch.tensor([2.0, 10, 10]))
    assert clash_percent(structure([6, 6], [[0.0, 0, 0], [1.0, 0, 0]], cell, [(0, 1)]), bonded=False).item() == 100


def test_unknown_bonds(structure):
    far, unknown = [[0.0, 0, 0], [5, 0, 0]], None
    batch = AtomsBatch.join([structure([6, 6], far, CUBE, unknown), structure([6, 6], far, CUBE, [])])
    assert clash_percent(batch).tolist() == [0, 0]
    assert clash_percent(batch, bonded=False)[0].isnan()
    assert clash_percent(batch, bonded=False)[1] == 0


def test_measured_crystals_do_not_clash(cif_folder, smiles_of):
    atoms = AtomsBatch.from_crystals([recognize(read_cif(cif_folder / f"{cod}.cif")[0], smiles) for cod, smiles in smiles_of.items()])
    # the carbon dioxide of 1925 has C=O 1.07 Å, below the paper's threshold of 1.07
    clashing = dict(zip(smiles_of, clash_percent(atoms).tolist(), strict=True))
    assert [cod for cod, percent in clashing.items() if percent] == ["1010060"]
    assert (clash_percent(atoms, bonded=False) == 0).all()


def test_scale(structure):
    with pytest.raises(ValueError, match="scale must be a positive number, got -1"):
        clash_percent(structure([6], [[0.0, 0, 0]], CUBE), scale=-1)


def test_radii():
    assert RADIUS[6] == 0.76
    assert RADIUS[2].isnan()

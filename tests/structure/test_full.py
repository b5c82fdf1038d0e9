"""Structures with all their atoms: order, packing, and picking some of them."""

import numpy as np
import pytest
import torch

from packflow import Molecule, Template
from packflow.structure.full import FullBatch, FullStructure, full_numbers, n_full_atoms

ETHANOL = Template(Molecule.from_smiles("OCC"), 2)
METHANE = Template(Molecule.from_smiles("C"), 1)


def structure(template: Template, cell: np.ndarray | None, seed: int = 0) -> FullStructure:
    return FullStructure(template, np.random.default_rng(seed).normal(size=(n_full_atoms(template), 3)), cell)


def test_atoms_are_ordered_copy_by_copy_heavy_ones_first():
    of_one = [8, 6, 6, 1, 1, 1, 1, 1, 1]
    assert full_numbers(ETHANOL).tolist() == of_one * 2
    assert n_full_atoms(ETHANOL) == 18


def test_pack_and_split_are_inverse():
    structures = [structure(ETHANOL, 9 * np.eye(3)), structure(METHANE, None, 1)]
    batch = FullBatch.pack(structures)
    assert batch.atom_ptr.tolist() == [0, 18, 23]
    assert batch.periodic.tolist() == [True, False]
    assert batch.structure_index.tolist() == [0] * 18 + [1] * 5
    for before, after in zip(structures, batch.split(), strict=True):
        assert before.template is after.template
        assert np.array_equal(before.positions, after.positions)
        assert (before.cell is None) == (after.cell is None)
        assert before.cell is None or np.array_equal(before.cell, after.cell)


def test_an_empty_batch_can_be_packed():
    batch = FullBatch.pack([])
    assert len(batch) == 0
    assert batch.positions.shape == (0, 3)
    assert batch.split() == []


@pytest.mark.parametrize("rows", [torch.tensor([2, 0, 0]), torch.tensor([True, False, True])])
def test_some_structures_are_those_packed_alone(rows):
    structures = [structure(ETHANOL, 9 * np.eye(3)), structure(METHANE, None, 1), structure(METHANE, 5 * np.eye(3), 2)]
    wanted = rows.nonzero()[:, 0].tolist() if rows.dtype == torch.bool else rows.tolist()
    some, alone = FullBatch.pack(structures).select(rows), FullBatch.pack([structures[k] for k in wanted])
    assert some.templates == alone.templates
    for name in ("atomic_numbers", "positions", "cell", "atom_ptr", "periodic"):
        assert torch.equal(getattr(some, name), getattr(alone, name)), name


def test_arrays_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"positions must have shape \(5, 3\), got \(4, 3\)"):
        FullStructure(METHANE, np.zeros((4, 3)), None)
    with pytest.raises(ValueError, match=r"cell must have shape \(3, 3\), got \(6,\)"):
        FullStructure(METHANE, np.zeros((5, 3)), np.zeros(6))

"""What cannot be judged gets a reason and no number, and leaves the rest of the batch alone."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from packflow import metrics
from packflow.metrics import good, problems, valid_cell
from packflow.structure import AtomsBatch, Crystal, CrystalBatch, Molecule, Template

NAN, INF = math.nan, math.inf
CUBE = [[6.0, 0, 0], [0, 6, 0], [0, 0, 6]]
PAIR = [[0.0, 0, 0], [3.0, 0, 0]]
# name: atomic numbers, positions, cell, what the problem says
BAD = {
    "empty": ([], [], CUBE, "structure must have atoms, got none"),
    "helium": ([6, 2], PAIR, CUBE, "elements must be among H, .*, got atomic number 2"),
    "uranium": ([6, 92], PAIR, CUBE, "got atomic number 92"),
    "no element": ([6, -1], PAIR, CUBE, "got atomic number -1"),
    "position NaN": ([6, 6], [[NAN, 0, 0], [3, 0, 0]], CUBE, "positions must be finite.*got nan for atom 0"),
    "position infinite": ([6, 6], [[0, 0, 0], [3, -INF, 0]], CUBE, "positions must be finite.*got -inf for atom 1"),
    "position far": ([6, 6], [[0, 0, 0], [3, 1e12, 0]], CUBE, "positions must be finite and at most"),
    "cell NaN": ([6, 6], PAIR, [[NAN, 0, 0], [0, 6, 0], [0, 0, 6]], "cell must be finite and not flat"),
    "cell infinite": ([6, 6], PAIR, [[INF, 0, 0], [0, 6, 0], [0, 0, 6]], "cell must be finite and not flat"),
    "zero volume": ([6, 6], PAIR, [[6.0, 0, 0], [6, 0, 0], [0, 0, 6]], "cell must be finite and not flat"),
    "all zero": ([6, 6], PAIR, [[0.0] * 3] * 3, "cell must be finite and not flat"),
    "thin": ([6, 6], PAIR, [[6.0, 0, 0], [0, 6, 0], [0, 0, 0.5]], "at least 1.0 Å between opposite faces.*got 0.5 Å"),
    "dense": ([6] * 9, [[0.0] * 3] * 9, [[2.0, 0, 0], [0, 2, 0], [0, 0, 2]], "1.0 Å3 per atom, got 2 Å and 0.889 Å3"),
    "vast": ([6], [[0.0] * 3], [[1.0, 0, 0], [0, 1, 0], [0, 0, 1e8]], "cell must have at most"),
}
ALONE = [metrics.density, metrics.clash_percent, metrics.bonds_valid_percent, metrics.bonds_valid, metrics.valid_cell]
AGAINST = [metrics.density_error_percent, metrics.amd_distance, metrics.pdd_distance, metrics.rdf_distance, metrics.contact_f1]


@pytest.fixture(params=BAD, ids=lambda name: name.replace(" ", "_"))
def bad(request, structure):
    """A broken structure between two good ones, and what is said of it."""
    numbers, positions, cell, reason = BAD[request.param]
    fine = structure([6, 8], PAIR, CUBE, [])
    return AtomsBatch.join([fine, structure(numbers, positions, cell, []), fine]), reason


def test_problems(bad):
    atoms, reason = bad
    found = problems(atoms)
    assert [bool(problem) for problem in found] == [False, True, False]
    assert good(atoms).tolist() == [True, False, True]
    with pytest.raises(AssertionError, match=reason):
        assert not found[1], found[1]


def test_no_number_for_a_problem(bad):
    atoms, _ = bad
    alone = atoms.select(torch.tensor([0]))
    numbers = [(compute(atoms), compute(alone)) for compute in ALONE]
    numbers += [(compute(atoms, atoms), compute(alone, alone)) for compute in AGAINST]
    for found, wanted in numbers:
        assert found.dtype == torch.float64
        assert found.isnan().tolist() == [False, True, False]
        assert found[0] == found[2] == wanted[0]
    assert metrics.amd(atoms).isnan().all(1).tolist() == [False, True, False]
    assert metrics.rdf(atoms).isnan().all(1).tolist() == [False, True, False]


def test_a_problem_of_the_reference(bad):
    atoms, _ = bad
    for compute in AGAINST:
        assert compute(atoms, atoms, torch.tensor([1, 0, 2])).isnan().tolist() == [True, True, False]


def test_only_problems(bad):
    broken = bad[0].select(torch.tensor([1, 1]))
    assert all(compute(broken).isnan().all() for compute in ALONE)
    assert all(compute(broken, broken).isnan().all() for compute in AGAINST)


def test_no_structures():
    none = AtomsBatch.join([])
    assert all(compute(none).shape == (0,) for compute in ALONE)
    assert all(compute(none, none).shape == (0,) for compute in AGAINST)
    assert problems(none) == []


@pytest.mark.parametrize("lattice", [[-6, 6, 6, 90, 90, 90], [-6, -6, 6, 90, 90, 90], [0, 6, 6, 90, 90, 90], [6, 6, 6, 90, -90, 90]])
def test_impossible_lattice(lattice):
    """Two negative lengths give the formula a right-handed cell with a volume; it is refused all the same."""
    crystal = Crystal(Template(Molecule.from_smiles("CO"), 1), np.array(PAIR), np.array(lattice, dtype=np.float64))
    for atoms in (AtomsBatch.from_crystals([crystal]), AtomsBatch.from_batch(CrystalBatch.pack([crystal]))):
        assert "cell must be finite" in problems(atoms)[0]


@pytest.mark.parametrize(
    ("cell", "valid"),
    [
        ([[3.0, 0, 0], [0, 3, 0], [0, 0, 3]], 1),  # 13.5 Å3 per atom
        ([[2.9, 0, 0], [0, 3, 0], [0, 0, 4]], 0),  # a short axis
        ([[3.0, 0, 0], [0, 3, 0], [0, 0, 17.7]], 1),  # 79.7 Å3 per atom
        ([[4.0, 0, 0], [0, 4, 0], [0, 0, 12]], 0),  # 96 Å3 per atom
        ([[3.0, 0, 0], [0, 3, 0], [3, 0, 1.7]], 0),  # 7.65 Å3 per atom
        ([[6.0, 0, 0], [28, 6, 0], [0, 0, 4]], 0),  # 12.1 degrees
        ([[6.0, 0, 0], [-18, 6, 0], [0, 0, 4]], 1),  # 161.6 degrees
    ],
)
def test_valid_cell(cell, valid, structure):
    assert valid_cell(structure([6, 6], PAIR, cell)).item() == valid


def test_measured_cells_are_valid(measured):
    assert valid_cell(measured).all()


def test_numbers_are_not_changed(noisy):
    before = replace(noisy, positions=noisy.positions.clone(), cell=noisy.cell.clone())
    metrics.compare(noisy, noisy)
    assert torch.equal(noisy.positions, before.positions)
    assert torch.equal(noisy.cell, before.cell)

"""Planted copies of real crystals are found, other crystals are not, and broken ones are marked."""

import itertools

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from packflow.ops import pdd
from packflow.rank import duplicates
from packflow.rank import same_pdd as same_pdd_module
from packflow.rank.duplicates import compositions, failures
from packflow.rank.same_pdd import SamePdd
from packflow.structure import AtomsBatch
from packflow.structure.cif import read_cif
from packflow.structure.recognize import recognize

K = 30  # fewer neighbors than the default: the plain PyTorch ops are slow
CODS = ("2019369", "1511801", "2007371", "4501703", "7214418")


def batch(numbers, positions, cell):
    """One structure without bonds."""
    return AtomsBatch(
        atomic_numbers=torch.as_tensor(numbers),
        positions=torch.as_tensor(positions, dtype=torch.float64),
        cell=torch.as_tensor(cell, dtype=torch.float64)[None],
        atom_ptr=torch.tensor([0, len(positions)], dtype=torch.int32),
        bond_index=torch.zeros(2, 0, dtype=torch.int64),
        has_bonds=torch.zeros(1, dtype=torch.bool),
        n_hydrogens=torch.zeros(len(positions), dtype=torch.int64),
    )


@pytest.fixture(scope="module")
def crystals(cif_folder, smiles_of):
    """Numbers, positions and cell of a few small crystals."""
    made = []
    for cod in CODS:
        crystal = recognize(read_cif(cif_folder / f"{cod}.cif")[0], smiles_of[cod])
        made.append((crystal.template.atomic_numbers, crystal.positions, crystal.cell))
    return made


def other_cell(numbers, positions, cell, rng):
    change = np.array([[1, 1, 0], [0, 1, -1], [1, 1, 1]])  # determinant 1
    return numbers, positions, change @ cell


def supercell(numbers, positions, cell, rng):
    return np.tile(numbers, 2), np.concatenate([positions, positions + cell[1]]), cell * np.array([[1], [2], [1]])


def moved(numbers, positions, cell, rng):
    turn = Rotation.random(random_state=1).as_matrix()
    return numbers, positions @ turn + [3.0, -20, 7], cell @ turn


def mirrored(numbers, positions, cell, rng):
    return numbers, -positions, cell


def shuffled(numbers, positions, cell, rng):
    order = rng.permutation(len(numbers))
    wrapped = positions + rng.integers(-2, 3, size=positions.shape) @ cell
    return numbers[order], wrapped[order], cell


def noisy(numbers, positions, cell, rng):
    return numbers, positions + 1e-3 * rng.normal(size=positions.shape), cell


CHANGES = (other_cell, supercell, moved, mirrored, shuffled, noisy)


@pytest.fixture(scope="module")
def planted(crystals):
    """Every crystal, then a copy of each per change; and which crystal each is."""
    rng = np.random.default_rng(0)
    parts = [batch(*crystal) for crystal in crystals]
    parts += [batch(*change(*crystal, rng)) for change in CHANGES for crystal in crystals]
    return AtomsBatch.join(parts), np.tile(np.arange(len(crystals)), 1 + len(CHANGES))


def partition(group):
    return {frozenset(np.flatnonzero(np.asarray(group) == number).tolist()) for number in set(np.asarray(group).tolist())}


@pytest.mark.parametrize("pdd_tolerance", [None, 0.05])
def test_planted_copies_are_grouped(planted, pdd_tolerance):
    atoms, crystal = planted
    found = duplicates(atoms, k=K, pdd_tolerance=pdd_tolerance)
    assert partition(found.group) == partition(crystal)
    assert not any(found.problems)
    assert found.distance.max() < 2e-3
    assert (found.n_pdd > 0) == (pdd_tolerance is not None)


def test_exact_copies_have_no_distance(planted):
    atoms, crystal = planted
    exact = torch.arange(len(atoms) - len(CODS))  # noise comes last
    found = duplicates(atoms.select(exact), tolerance=1e-9, pdd_tolerance=1e-6, k=K)
    assert partition(found.group) == partition(crystal[: len(exact)])


def test_single_precision(planted):
    atoms, crystal = planted
    single = AtomsBatch(**{**vars(atoms), "positions": atoms.positions.float(), "cell": atoms.cell.float()})
    assert partition(duplicates(single, k=K).group) == partition(crystal)


def test_order_of_the_input_does_not_matter(planted):
    atoms, _ = planted
    rng = np.random.default_rng(0)
    energy = torch.from_numpy(rng.normal(size=len(atoms)))
    found = duplicates(atoms, k=K, priority=energy)
    order = torch.from_numpy(rng.permutation(len(atoms)))
    other = duplicates(atoms.select(order), k=K, priority=energy[order])
    assert torch.equal(other.group, found.group[order])
    assert torch.equal(order[other.representative], found.representative)
    assert torch.equal(found.representative, torch.stack([energy.where(found.group == g, torch.inf).argmin() for g in range(len(found))]))


def test_groups_are_those_of_all_pairs(crystals):
    """Strained copies on both sides of the tolerances, against the definition with every distance computed."""
    rng = np.random.default_rng(3)
    parts = [
        batch(numbers, positions * stretch, cell * stretch)
        for numbers, positions, cell in crystals[:4]
        for stretch in 1 + 0.004 * rng.normal(size=8)
    ]
    atoms = AtomsBatch.join(parts)
    energy = rng.normal(size=len(atoms))
    rows = np.split(pdd(atoms.positions, atoms.cell, atoms.atom_ptr, K).numpy(), atoms.atom_ptr[1:-1].tolist())
    check, kinds = SamePdd(atoms, K, 0.05), compositions(atoms)

    def same(a, b):
        close = np.abs(rows[a].mean(0) - rows[b].mean(0)).max() <= 0.01
        return kinds[a] == kinds[b] and close and check.distance(a, rows[a], b, rows[b]) <= 0.05

    left, expected = np.argsort(energy).tolist(), np.full(len(atoms), -1)
    for number in itertools.count():
        if not left:
            break
        members = [i for i in left if i == left[0] or same(left[0], i)]
        expected[members] = number
        left = [i for i in left if i not in members]
    found = duplicates(atoms, k=K, priority=torch.from_numpy(energy))
    assert found.group.tolist() == expected.tolist()
    assert 4 < len(found) < len(atoms)


def test_pdd_tells_exchanged_elements_apart():
    """Two atoms in different places exchange their elements: no distance changes, but the crystal does."""
    cell = np.diag([5.0, 6, 7])
    positions = np.array([[0.0, 0, 0], [1.4, 0.3, 0], [2.6, 0, 0.4], [3.1, 1.2, 2]])
    atoms = AtomsBatch.join([batch([6, 6, 7, 8], positions, cell), batch([6, 7, 6, 8], positions, cell)])
    assert duplicates(atoms, k=K, pdd_tolerance=None).group.tolist() == [0, 0]
    assert sorted(duplicates(atoms, k=K).group.tolist()) == [0, 1]


def test_pdd_tells_apart_what_amd_does_not():
    """Atoms 1 or 3 of a cell far from all else: pairs 1.0 and 1.4 Å long, or two of 1.2 Å, have the same mean first distance."""
    cell = np.diag([60.0, 70, 80])
    one = [[0.0, 0, 0], [1.0, 0, 0], [0, 35, 40], [1.4, 35, 40]]
    two = [[0.0, 0, 0], [1.2, 0, 0], [0, 35, 40], [1.2, 35, 40]]
    atoms = AtomsBatch.join([batch([6] * 4, positions, cell) for positions in (one, two)])
    assert duplicates(atoms, k=1, pdd_tolerance=None).group.tolist() == [0, 0]
    assert sorted(duplicates(atoms, k=1).group.tolist()) == [0, 1]


def test_compositions_are_proportions():
    cell = np.eye(3) * 9
    numbers = [[6, 8], [8, 6, 6, 8], [6], [6, 6], [6, 8, 8], [8, 6, 8], []]
    atoms = AtomsBatch.join([batch(torch.tensor(n, dtype=torch.int64), np.zeros((len(n), 3)), cell) for n in numbers])
    kind = compositions(atoms).tolist()
    assert kind[0] == kind[1]
    assert kind[2] == kind[3]
    assert kind[4] == kind[5]
    assert len(set(kind)) == 4


def test_broken_structures_are_marked_and_the_others_grouped(crystals):
    numbers, positions, cell = crystals[0]
    flat = cell.copy()
    flat[2] = flat[0] + flat[1]
    broken = [
        batch(numbers, positions * np.nan, cell),
        batch(numbers, positions, flat),
        batch(numbers, positions, np.full((3, 3), np.inf)),
        batch(numbers[:0], positions[:0], cell),
        batch(numbers, positions, np.diag([2e-4, 1e6, 1e6])),
    ]
    parts = [*broken, batch(*crystals[0]), batch(*crystals[1]), batch(*crystals[0]), *broken]
    found = duplicates(AtomsBatch.join(parts), k=K)
    assert found.group[:5].tolist() == found.group[8:].tolist() == [-1] * 5
    assert found.group[5] == found.group[7] != found.group[6]
    assert [bool(problem) for problem in found.problems] == [True] * 5 + [False] * 3 + [True] * 5
    assert "positions must be finite" in found.problems[0]
    assert "flat" in found.problems[1]
    assert found.problems[3] == "it must have at least 1 heavy atom, got 0"
    assert "images" in found.problems[4]


def test_a_sparse_structure_is_no_failure():
    """Its nearest atoms are farther than the others', and one so thin that they cannot be listed is refused for that reach only."""
    sparse, thin = np.diag([40.0, 40, 40]), np.diag([0.05, 300, 300])
    atoms = AtomsBatch.join([batch([6], [[0.0, 0, 0]], cell) for cell in (sparse, sparse * 1.0, thin)])
    assert failures(atoms, 10) == [""] * 3
    assert failures(atoms, 10**6)[2]
    found = duplicates(atoms, k=10).group
    assert found[0] == found[1] != found[2]


def test_nothing_to_group():
    found = duplicates(AtomsBatch.join([]))
    assert len(found) == 0
    assert found.problems == ()


def test_rows_are_computed_in_blocks(planted, monkeypatch):
    atoms, crystal = planted
    expected = duplicates(atoms, k=K)
    monkeypatch.setattr(same_pdd_module, "BLOCK_VALUES", 10 * K)
    found = duplicates(atoms, k=K)
    assert torch.equal(found.group, expected.group)
    assert partition(found.group) == partition(crystal)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_bad_tolerance(planted, value):
    with pytest.raises(ValueError, match="pdd_tolerance must be a number of at least 0 Å or None"):
        duplicates(planted[0], pdd_tolerance=value)
    with pytest.raises(ValueError, match="tolerance must be"):
        duplicates(AtomsBatch.join([]), tolerance=value)

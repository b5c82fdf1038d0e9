"""Which crystals make up a batch."""

import threading
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from packflow.data.batching import BatchConfig, Batches, generator_of, packed_by_budget, validation_rows
from packflow.errors import InputError
from packflow.structure import Crystal, Molecule, Template

LATTICE = np.array([8.0, 9.0, 10.0, 90.0, 95.0, 90.0])


@dataclass(frozen=True)
class Source:
    """Crystals of 4 atoms per copy, whose first coordinate is their number."""

    split: np.ndarray
    molecule_index: np.ndarray
    n_atoms: np.ndarray

    def __len__(self):
        return len(self.n_atoms)

    def __getitem__(self, index):
        template = Template(Molecule.from_smiles("CC(=O)O"), int(self.n_atoms[index]) // 4)
        return Crystal(template, np.full((template.n_atoms, 3), float(index)), LATTICE)


def source(molecules, n_atoms=8, split="train"):
    n = len(molecules)
    return Source(np.broadcast_to(np.asarray(split), n), np.asarray(molecules), np.broadcast_to(np.asarray(n_atoms), n))


def drawn(batches, n_batches):
    return np.concatenate([batches.rows_of(generator_of(0, step)) for step in range(n_batches)])


def test_molecules_count_the_same_whatever_their_number_of_crystals():
    molecules = np.array([3] * 90 + [0] * 9 + [7])
    rows = drawn(Batches(source(np.random.default_rng(0).permutation(molecules)), BatchConfig(max_atoms=400)), 200)
    assert len(rows) == 200 * 50
    molecule = np.random.default_rng(0).permutation(molecules)[rows]
    # 10,000 draws: standard error 0.005.
    for m in (0, 3, 7):
        assert (molecule == m).mean() == pytest.approx(1 / 3, abs=0.025)
    counts = np.bincount(rows[molecule == 3], minlength=100)
    assert (counts > 0).sum() == 90
    assert counts.max() < 3 * counts[counts > 0].mean()


def test_batches_fill_the_budget_and_no_more():
    n_atoms = np.random.default_rng(0).integers(1, 30, 500) * 4
    batches = Batches(source(np.arange(500), n_atoms), BatchConfig(max_atoms=600))
    sums = [n_atoms[batches.rows_of(generator_of(0, step))].sum() for step in range(100)]
    assert max(sums) <= 600
    assert min(sums) > 600 - 30 * 4


def test_a_crystal_above_the_budget_comes_alone():
    batches = Batches(source([0, 1], [80, 120]), BatchConfig(max_atoms=40))
    assert sorted({tuple(batches.rows_of(generator_of(0, step))) for step in range(20)}) == [(0,), (1,)]


def test_number_of_crystals_is_limited():
    batches = Batches(source(range(10), 4), BatchConfig(max_atoms=1000, max_crystals=6))
    assert len(batches.rows_of(generator_of(0, 0))) == 6


def test_only_crystals_of_the_split():
    split = np.array(["train", "validation", "test"] * 10)
    batches = Batches(source(np.arange(30) // 3, split=split), BatchConfig(max_atoms=200))
    assert set(split[drawn(batches, 20)]) == {"train"}
    with pytest.raises(InputError, match="no crystal in its train split"):
        Batches(source([0, 1], split="test"), BatchConfig())


def test_a_batch_is_a_function_of_seed_step_and_stream():
    batches = Batches(source(range(50)), BatchConfig(max_atoms=100))
    keys = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    rows = [batches.rows_of(generator_of(*key)).tolist() for key in keys]
    assert rows == [batches.rows_of(generator_of(*key)).tolist() for key in keys]
    assert len({tuple(r) for r in rows}) == 4


def test_a_batch_packs_the_drawn_crystals():
    batches = Batches(source(range(50)), BatchConfig(max_atoms=100))
    batch, rows = batches.batch(generator_of(0, 0)), batches.rows_of(generator_of(0, 0))
    assert batch.positions[batch.template.atom_ptr[:-1].long(), 0].tolist() == rows.tolist()
    torch.testing.assert_close(batch.lattice, torch.tensor(LATTICE).float().expand(len(rows), 6))


class Watched:
    """Another source's crystals; notes which thread reads which."""

    def __init__(self, crystals):
        self.crystals, self.readers = crystals, {}
        self.split, self.molecule_index, self.n_atoms = crystals.split, crystals.molecule_index, crystals.n_atoms

    def __len__(self):
        return len(self.crystals)

    def __getitem__(self, index):
        self.readers.setdefault(index, set()).add(threading.current_thread())
        if index == 13:
            raise InputError("crystal 13 cannot be read")
        return self.crystals[index]


def test_a_prepared_batch_is_read_once_and_in_a_thread():
    watched = Watched(source(range(10)))
    batches = Batches(watched, BatchConfig(max_atoms=100))
    rows = [np.array([3, 1]), np.array([4, 0])]
    batches.prepare(rows)
    batches.prepare([*rows, np.array([7])])
    packed = [batches.pack(row) for row in rows]
    plain = [Batches(source(range(10)), BatchConfig()).pack(row) for row in rows]
    assert all(torch.equal(one.positions, other.positions) for one, other in zip(packed, plain, strict=True))
    assert all(len(watched.readers[k]) == 1 and threading.main_thread() not in watched.readers[k] for k in (0, 1, 3, 4))
    batches.pack(rows[0])
    assert watched.readers[3] > {threading.main_thread()}


def test_what_is_not_wanted_any_more_is_dropped():
    watched = Watched(source(range(10)))
    batches = Batches(watched, BatchConfig(max_atoms=100))
    batches.prepare([np.array([2])])
    batches.pack(np.array([2]))
    batches.prepare([np.array([5])])
    batches.prepare([])
    batches.pack(np.array([5]))
    assert threading.main_thread() in watched.readers[5]


def test_a_mistake_of_the_thread_reaches_who_wants_the_batch():
    batches = Batches(Watched(source(range(20))), BatchConfig(max_atoms=100))
    batches.prepare([np.array([1, 13])])
    with pytest.raises(InputError, match="crystal 13 cannot be read"):
        batches.pack(np.array([1, 13]))


def test_validation_takes_few_crystals_of_each_molecule_and_spreads_over_molecules():
    molecules = np.array([5] * 50 + [2] * 3 + [1] + [9] * 20)
    split = np.array(["validation"] * 54 + ["train"] * 20)
    chosen = source(molecules, split=split)
    assert validation_rows(chosen, 100, 2).tolist() == [0, 1, 50, 51, 53]
    assert validation_rows(chosen, 3, 2).tolist() == sorted(validation_rows(chosen, 3, 2).tolist())
    assert {molecules[row] for row in validation_rows(chosen, 3, 1)} == {1, 2, 5}
    assert len(validation_rows(source([0], split="train"), 5)) == 0


def test_packing_by_budget_keeps_order_and_budget():
    crystals = source(range(5), [8, 8, 24, 4, 4])
    batches = packed_by_budget(crystals, np.array([4, 0, 1, 2, 3]), 16)
    assert [b.template.sizes for b in batches] == [[4, 8], [8], [24], [4]]
    assert batches[2].positions[0, 0] == 2
    assert packed_by_budget(crystals, np.array([], dtype=np.int64), 16) == []


def test_empty_batches_are_refused():
    with pytest.raises(InputError, match=r"batch\.max_atoms must be at least 1, got 0"):
        BatchConfig(max_atoms=0)

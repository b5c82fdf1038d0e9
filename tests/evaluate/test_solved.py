"""Which proposals solve a crystal."""

from dataclasses import replace

import numpy as np

from packflow.evaluate.solved import solved_columns


def crystal_of(test_set, smiles):
    return next(case.crystals[0] for case in test_set.cases if case.molecule == smiles)


def test_the_crystal_itself_is_solved_and_a_stretched_one_is_not(urea_and_benzene):
    known = crystal_of(urea_and_benzene, "c1ccccc1")
    moved = replace(known, positions=known.positions + 1.7)
    stretched = replace(known, positions=known.positions * 1.5, lattice=known.lattice * np.array([1.5, 1.5, 1.5, 1, 1, 1]))
    pairs = np.array([[0, 0], [1, 0], [2, 0]])
    found = solved_columns([known, moved, stretched], [known], pairs, np.zeros(3))
    assert found["solved"].to_pylist() == [True, True, False]
    assert found["n_matched"].to_pylist()[:2] == [15, 15]
    assert max(found["rmsd_15"].to_pylist()[:2]) < 1e-3
    assert found["rmsd_15"].to_pylist()[2] is None


def test_a_clash_or_a_problem_keeps_from_being_solved(urea_and_benzene):
    known = crystal_of(urea_and_benzene, "NC(N)=O")
    found = solved_columns([known, known], [known], np.array([[0, 0], [1, 0]]), np.array([3.0, np.nan]))
    assert found["solved"].to_pylist() == [False, False]
    assert found["n_matched"].to_pylist() == [None, None]

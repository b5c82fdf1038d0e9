"""Ranked structures are found among known crystals."""

from dataclasses import replace

import numpy as np
import pytest

from packflow import Molecule, Template
from packflow.rank import Candidate, Known, compare_with_known, rank_crystals
from packflow.rank.conformers import ConformerConfig, conformers
from packflow.rank.lattice_energy import KJ_MOL_PER_EV
from packflow.structure.full import FullStructure


@pytest.fixture
def rank(ended):
    """A function that ranks structures with the given energies per cell, named a, b, ..."""
    return lambda *pairs: rank_crystals([Candidate("abcdef"[k], s.template, ended(s, e)) for k, (s, e) in enumerate(pairs)])


@pytest.fixture
def benzyl(full_crystal):
    return full_crystal("7238218")


def test_same_crystal_in_another_setting(benzyl, other_setting, swollen, rank, ended):
    """RMSD_15 of zero for the same, more for the swollen; energies above the relaxed known one by hand."""
    ranking = rank((other_setting(benzyl), -8.0), (swollen(benzyl, 1.03), -3.6))
    found = compare_with_known(ranking, [Known("measured", benzyl, ended(benzyl, -4.1))])
    same, near = (row.match for row in found.rows)
    assert (same.known, same.n_matched, same.n_molecules) == ("measured", 15, 15)
    assert same.rmsd < 1e-3 < 0.1 < near.rmsd < 0.5
    assert near.n_matched == 15
    assert same.energy_above == pytest.approx(0.05 * KJ_MOL_PER_EV)
    assert near.energy_above == pytest.approx(0.25 * KJ_MOL_PER_EV)


def test_nearest_of_several_and_most_stable(urea, swollen, rank, ended):
    """The one that is like it is named; energies refer to the most stable of those that were relaxed to the end."""
    known = [
        Known("form I", urea, ended(urea, -4.0)),
        Known("form II", swollen(urea, 1.15), ended(urea, -4.4)),
        Known("form III", swollen(urea, 1.3), ended(urea, -9.0, converged=False)),
        Known("form IV", swollen(urea, 1.4), ended(urea, -9.0, problem="burst")),
    ]
    found = compare_with_known(rank((urea, -4.0), (swollen(urea, 1.14), -3.0)), known)
    assert [row.match.known for row in found.rows] == ["form I", "form II"]
    assert found.rows[0].match.energy_above == pytest.approx(0.2 * KJ_MOL_PER_EV)


def test_not_relaxed(urea, rank):
    match = compare_with_known(rank((urea, -4.0)), [Known("measured", urea)]).rows[0].match
    assert np.isnan(match.energy_above)
    assert match.n_matched == 15


def test_only_the_best_ranks_are_compared(urea, swollen, rank, ended):
    found = compare_with_known(rank((urea, -4.0), (swollen(urea, 1.1), -3.0)), [Known("k", urea, ended(urea, -4.0))], n_best=1)
    first, second = (row.match for row in found.rows)
    assert first.problem == ""
    assert (second.known, second.n_matched, second.problem) == ("", -1, "packings were compared of better ranks only")
    assert second.energy_above == pytest.approx(0.5 * KJ_MOL_PER_EV)


def test_other_molecules_and_other_writing(urea, rank, apart):
    """A crystal of another molecule is none; the same molecule written otherwise, or as its enantiomer, is."""
    ethane = apart(conformers("CC", ConformerConfig(1)), 6.0)
    order = np.concatenate([np.array([3, 1, 0, 2, 4, 5, 6, 7]) + 8 * copy for copy in range(2)])
    written = FullStructure(Template(Molecule.from_smiles("O=C(N)N"), 2), urea.positions[order], urea.cell)
    ranking = rank((urea, -4.0))
    assert compare_with_known(ranking, [Known("ethane", ethane)]).rows[0].match is None
    assert compare_with_known(ranking, [Known("ethane", ethane), Known("urea", written)]).rows[0].match.n_matched == 15
    assert compare_with_known(ranking, []) == ranking
    alanine = apart(conformers("C[C@H](N)C(=O)O", ConformerConfig(1))[:1], 7.0)
    mirrored = FullStructure(Template(Molecule.from_smiles("C[C@@H](N)C(=O)O"), 1), -alanine.positions, alanine.cell)
    assert compare_with_known(rank((alanine, -1.0)), [Known("D", mirrored)]).rows[0].match.n_matched == 15


def test_linear_molecules_say_so(full_crystal, rank):
    carbon_dioxide = full_crystal("1010060")
    match = compare_with_known(rank((carbon_dioxide, -1.0)), [Known("dry ice", carbon_dioxide)]).rows[0].match
    assert match.n_matched == -1
    assert "must not lie on a line" in match.problem


def test_rows_without_rank(urea, swollen, ended):
    good, bad = ended(urea, -4.0), ended(swollen(urea, 1.1), -3.0, converged=False)
    ranking = rank_crystals([Candidate("a", urea.template, good), Candidate("b", urea.template, bad)])
    found = compare_with_known(ranking, [Known("k", urea)])
    assert [row.match is None for row in found.rows] == [False, True]


def test_bad_arguments(urea, rank):
    with pytest.raises(ValueError, match="known must have different names"):
        compare_with_known(rank((urea, -4.0)), [Known("k", urea), Known("k", urea)])
    with pytest.raises(ValueError, match="n_molecules"):
        compare_with_known(rank((urea, -4.0)), [Known("k", urea)], n_molecules=0)
    assert replace(rank((urea, -4.0)), rows=()).ranked == ()

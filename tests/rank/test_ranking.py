"""Every filter, merging, energies by hand, and a result that does not depend on the order of the input."""

from dataclasses import replace

import numpy as np
import pytest

from packflow import Molecule, Template
from packflow.potential.lennard_jones import LennardJones
from packflow.rank import Candidate, GasPhase, RankConfig, rank_crystals
from packflow.rank.conformers import ConformerConfig, conformers
from packflow.rank.lattice_energy import KJ_MOL_PER_EV, GasConfig, GasReference
from packflow.structure.full import FullStructure

SMILES = "NC(N)=O"


class Given(GasPhase):
    """References that are known: -1 eV for urea, none for ethane."""

    def references(self, smiles):
        given = {SMILES: GasReference(SMILES, -1.0, None, 1, 1), "CC": GasReference("CC", np.nan, None, 9, 0, "nothing converged")}
        return {s: given[s] for s in smiles}


@pytest.fixture
def gas():
    return Given(LennardJones())


@pytest.fixture
def candidate(ended):
    """A function that makes a candidate of a structure, by default one that converged."""

    def make(name, structure, energy=-4.0, before=None, index=None, **result):
        return Candidate(name, structure.template, ended(structure, energy, **result), before, index=index, seed=7)

    return make


def shifted(structure, atom, by):
    positions = structure.positions.copy()
    positions[atom] += by
    return replace(structure, positions=positions)


@pytest.fixture
def crowd(urea, swollen, other_setting, candidate, atom_of):
    """Three urea crystals of which one comes in two settings, and one structure for every reason to be left out."""
    hydrogen, oxygen = atom_of(urea, "H"), atom_of(urea, "O")
    loose = swollen(urea, 1.05)
    return [
        candidate("best", urea, -4.0),
        candidate("same", other_setting(urea), -7.9996),
        candidate("loose", loose, -3.9),
        candidate("looser", swollen(urea, 1.10), -3.0),
        candidate("broken", shifted(urea, oxygen, [2.0, 0.5, 0.0]), -9.0),
        candidate("proton", shifted(urea, hydrogen, [0.0, 0.3, 1.5]), -8.0),
        candidate("slow", swollen(urea, 1.2), -5.0, converged=False, n_steps=1000),
        candidate("exploded", urea, -5.0, converged=False, problem="the cell left the range of 0.25 to 4 times its first volume"),
        candidate("no energy", urea, np.nan),
        candidate("nowhere", replace(urea, positions=np.full_like(urea.positions, np.nan)), -6.0),
        candidate("flat", replace(urea, cell=np.diag([5.0, 5.0, 1e-9])), -6.0),
        Candidate("bare", urea.template, None, problem="heavy atoms coincide"),
        Candidate("waiting", urea.template, None),
    ]


def by_name(ranking):
    return {row.name: row for row in ranking.rows}


def test_reasons(crowd, gas):
    rows = by_name(rank_crystals(crowd, gas))
    assert {name: row.rank for name, row in rows.items() if row.rank} == {"best": 1, "loose": 2, "looser": 3}
    reasons = {name: row.reason for name, row in rows.items()}
    assert reasons["best"] == reasons["loose"] == reasons["looser"] == ""
    assert reasons["same"] == "duplicate of best"
    assert "Å long" in reasons["broken"]
    assert "Å long" in reasons["proton"]
    assert reasons["slow"] == "not converged after 1000 steps"
    assert reasons["exploded"].startswith("the cell left the range")
    assert reasons["no energy"] == "its energy is not finite"
    assert reasons["nowhere"] == "its coordinates are not finite"
    assert reasons["flat"].startswith("no valid coordinates")
    assert reasons["bare"] == "heavy atoms coincide"
    assert reasons["waiting"] == "it was not relaxed"
    assert rows["broken"].checked.n_broken > 0
    assert rows["proton"].checked.n_invalid_hydrogen == 1
    assert rows["bare"].checked.n_broken == -1


def test_energies_by_hand(crowd, gas):
    """Urea in vacuum has -1 eV: best -2, loose -1.95, same -1.9999, looser -1.5 eV per molecule."""
    rows = by_name(rank_crystals(crowd, gas))
    expected = {"best": (-1.0, 0.0), "loose": (-0.95, 0.05), "same": (-0.9999, 0.0001), "looser": (-0.5, 0.5), "broken": (-3.5, -2.5)}
    for name, (lattice, relative) in expected.items():
        assert rows[name].lattice_energy == pytest.approx(KJ_MOL_PER_EV * lattice), name
        assert rows[name].relative_energy == pytest.approx(KJ_MOL_PER_EV * relative), name
    assert np.isnan(rows["bare"].lattice_energy)
    assert np.isnan(rows["no energy"].relative_energy)


def test_duplicates_are_merged(crowd, gas):
    """The better of two settings stands for both, whichever cell it is in; without merging both have ranks."""
    rows = by_name(rank_crystals(crowd, gas))
    assert rows["best"].members == ("best", "same")
    assert rows["same"].duplicate_of == "best"
    assert rows["same"].members == ()
    assert rows["loose"].members == ("loose",)
    better = [replace(c, relaxed=replace(c.relaxed, energy=-8.0004)) if c.name == "same" else c for c in crowd]
    rows = by_name(rank_crystals(better, gas))
    assert rows["same"].members == ("same", "best")
    assert rows["same"].rank == 1
    assert rows["best"].reason == "duplicate of same"
    assert rows["same"].checked.density == pytest.approx(rows["best"].checked.density)
    ranks = {row.name: row.rank for row in rank_crystals(crowd, gas, RankConfig(amd_tolerance=0.0, pdd_tolerance=0.0)).ranked}
    assert ranks == {"best": 1, "same": 2, "loose": 3, "looser": 4}


def test_space_group_density_cell(crowd, gas, urea):
    """Urea: P-42_1m, Z = 2 on special positions, 1.33 g/cm3; the other setting has the same group and Z."""
    rows = by_name(rank_crystals([c for c in crowd if c.name in ("best", "loose")], gas))
    group = rows["best"].space_group
    assert (group.symmetry.symbol, group.symmetry.number, group.z, float(group.z_prime)) == ("P-42_1m", 113, 2, 0.25)
    mass = 2 * (12.011 + 4 * 1.008 + 15.999 + 2 * 14.007)
    assert rows["best"].checked.density == pytest.approx(1.660539 * mass / abs(np.linalg.det(urea.cell)), rel=1e-6)
    assert rows["loose"].checked.density == pytest.approx(rows["best"].checked.density / 1.05**3)
    assert np.allclose(rows["best"].checked.lattice, [5.578, 5.578, 4.686, 90, 90, 90], atol=1e-3)
    other = by_name(rank_crystals([c for c in crowd if c.name == "same"], gas))["same"].space_group
    assert (other.symmetry.number, other.z, other.z_prime) == (113, 2, group.z_prime)


def test_order_of_the_input_does_not_matter(crowd, gas, candidate, other_setting, urea):
    """Ties too: the very same structure, and another setting with the same energy per molecule."""
    crowd = [*crowd, candidate("best's twin", urea, -4.0), candidate("a twin", urea, -4.0), candidate("tie b", other_setting(urea), -8.0)]
    random, first = np.random.default_rng(0), rank_crystals(crowd, gas)
    for _ in range(4):
        again = rank_crystals([crowd[k] for k in random.permutation(len(crowd))], gas)
        assert [(r.name, r.rank, r.reason, r.members) for r in again.rows] == [(r.name, r.rank, r.reason, r.members) for r in first.rows]
        assert np.array_equal([r.relative_energy for r in again.rows], [r.relative_energy for r in first.rows], equal_nan=True)
    assert [row.rank for row in first.rows][:3] == [1, 2, 3]
    assert [row.name for row in first.rows[3:]] == sorted(row.name for row in first.rows[3:])


def test_unconverged_may_be_ranked(crowd, gas):
    rows = by_name(rank_crystals(crowd, gas, RankConfig(require_converged=False)))
    assert rows["slow"].rank == 1
    assert rows["exploded"].rank is None
    assert rows["best"].relative_energy == pytest.approx(0.5 * KJ_MOL_PER_EV)


def test_before_and_after(urea, gas, candidate, atom_of):
    """What was broken before is said to have been; what a relaxation mends is in order."""
    torn = shifted(urea, atom_of(urea, "O"), [2.0, 0.5, 0.0])
    rows = by_name(
        rank_crystals(
            [
                candidate("was", torn, before=torn),
                candidate("became", torn, before=urea),
                candidate("mended", urea, before=torn),
                candidate("unknown", urea, -3.0),
            ],
            gas,
        )
    )
    assert rows["was"].reason.endswith("(bonds were wrong before the relaxation too)")
    assert rows["became"].reason.endswith("Å long")
    assert rows["mended"].rank == 1
    intact = {name: row.checked.intact_before for name, row in rows.items()}
    assert intact == {"was": False, "became": True, "mended": False, "unknown": None}


def test_configuration(apart, gas, ended):
    """A diastereomer is left out, and so is a molecule whose open centre was turned over."""
    right, wrong = (conformers(s, ConformerConfig(1))[0] for s in ("C[C@@H](O)[C@H](N)C", "C[C@H](O)[C@H](N)C"))
    wrong = replace(wrong, template=right.template)
    free = [replace(x, template=Template(Molecule.from_smiles("CC(O)C(N)C"), 1)) for x in (right, wrong)]
    crystals = [apart([x], 9.0) for x in (right, wrong, *free)]
    rows = by_name(
        rank_crystals(
            [
                Candidate("right", crystals[0].template, ended(crystals[0])),
                Candidate("wrong", crystals[1].template, ended(crystals[1])),
                Candidate("turned", crystals[3].template, ended(crystals[3]), before=crystals[2]),
                Candidate("stayed", crystals[3].template, ended(crystals[3]), before=crystals[3]),
            ]
        )
    )
    assert (rows["right"].rank, rows["stayed"].rank) == (1, 1)
    assert "another stereoisomer" in rows["wrong"].reason
    assert "turned over" in rows["turned"].reason


def test_molecules_have_their_own_ranks_and_a_missing_gas_phase(crowd, gas, apart, candidate):
    """Ethane has no gas phase: relative energies only, and the ranking says why."""
    (molecule,) = conformers("CC", ConformerConfig(1))
    near, far = (apart([molecule], length) for length in (5.0, 6.0))
    ranking = rank_crystals([*crowd, candidate("near", near, -1.2), candidate("far", far, -1.1)], gas)
    rows = by_name(ranking)
    assert (rows["near"].rank, rows["far"].rank, rows["best"].rank) == (1, 2, 1)
    assert rows["far"].relative_energy == pytest.approx(0.1 * KJ_MOL_PER_EV)
    assert np.isnan(rows["near"].lattice_energy)
    assert ranking.gas["CC"].problem == "nothing converged"
    assert [row.smiles for row in ranking.rows] == ["CC"] * 2 + [SMILES] * len(crowd)
    without = rank_crystals(crowd)
    assert without.gas[SMILES].problem == "no gas phase was asked for"
    assert by_name(without)["loose"].relative_energy == pytest.approx(rows["loose"].relative_energy)


def test_templates_of_one_molecule_are_ranked_together(urea, swollen, candidate, gas):
    """Another SMILES with other atom order, and another number of copies."""
    size = len(urea.positions) // 2
    mapped = Template(Molecule.from_smiles("O=C(N)N"), 2)
    order = [3, 1, 0, 2, 4, 5, 6, 7]
    other = FullStructure(mapped, urea.positions.reshape(2, size, 3)[:, order].reshape(-1, 3), urea.cell)
    rows = by_name(rank_crystals([candidate("one", urea, -4.0), candidate("other", swollen(other, 1.05), -4.2)], gas))
    assert (rows["other"].rank, rows["one"].rank) == (1, 2)
    assert rows["one"].relative_energy == pytest.approx(0.1 * KJ_MOL_PER_EV)


def test_empty(gas):
    ranking = rank_crystals([], gas)
    assert (ranking.rows, ranking.ranked, ranking.gas) == ((), (), {})


def test_nothing_in_order(crowd, gas):
    ranking = rank_crystals([c for c in crowd if c.name in ("broken", "bare", "slow")], gas)
    assert ranking.ranked == ()
    assert all(np.isnan(row.relative_energy) for row in ranking.rows)
    assert by_name(ranking)["slow"].lattice_energy == pytest.approx(-1.5 * KJ_MOL_PER_EV)


def test_real_gas_phase(urea, candidate):
    """The whole way with a potential: lattice energy against the definition."""
    gas = GasPhase(LennardJones(), GasConfig(ConformerConfig(3)))
    (row,) = rank_crystals([candidate("a", urea, -1.0)], gas).rows
    assert row.lattice_energy == pytest.approx(KJ_MOL_PER_EV * (-0.5 - gas.known[SMILES].energy))


def test_bad_arguments(urea, candidate, ended):
    with pytest.raises(ValueError, match="candidates must have different names, got 'a' 2 times"):
        rank_crystals([candidate("a", urea), candidate("a", urea)])
    with pytest.raises(ValueError, match="bond_tolerance must be positive"):
        RankConfig(bond_tolerance=0.0)
    with pytest.raises(ValueError, match="relaxed of 'a' must have the template"):
        Candidate("a", replace(urea.template, n_copies=4), ended(urea))

"""PyXtal in place of a model: which group a proposal gets, and what is said where PyXtal finds nothing."""

import sys

import numpy as np
import pytest

from packflow.baseline import Baseline, PyxtalConfig
from packflow.baseline.generated import no_crystal
from packflow.baseline.pyxtal_adapter import PyxtalPacking
from packflow.baseline.pyxtal_engine import general_groups, pyxtal_proposal
from packflow.errors import InputError
from packflow.flow.sampler import sample
from packflow.metrics import bonds_valid_percent
from packflow.structure import AtomsBatch, Molecule, Template

TEMPLATE = Template(Molecule.from_smiles("NC(N)=O"), 4)
CONFIG = PyxtalConfig(space_groups=(9, 14, 19))


@pytest.fixture
def asked(monkeypatch):
    """Groups that a PyXtal which finds crystals in none but 19 was asked for, with the keys of its random numbers."""
    calls = []

    def packing(template, conformer, group, key, volume_factor, attempts):
        calls.append((group, key, volume_factor, attempts))
        problem = "" if group == 19 else "not found"
        return PyxtalPacking(no_crystal(template), group, np.zeros((4, 8, 3)), np.eye(3), problem)

    monkeypatch.setattr("packflow.baseline.pyxtal_engine.pyxtal_packing", packing)
    return calls


def test_groups_take_turns_and_failing_ones_go_on(asked):
    first = []
    for index in range(6):
        del asked[:]
        found = pyxtal_proposal(TEMPLATE, index, 3, CONFIG)
        assert (found.space_group, found.problem, found.index, found.seed) == (19, "", index, 3)
        groups = [group for group, *_ in asked]
        assert groups[-1] == 19
        assert len(set(groups)) == len(groups)
        assert all(key == (3, index, 0, group) for group, key, *_ in asked)
        first.append(groups[0])
    assert sorted(first[:3]) == sorted(first[3:]) == [9, 14, 19]


def test_what_is_not_found_is_a_proposal(pyxtal, asked):
    config = PyxtalConfig(0.4, 3, max_groups=2, space_groups=(9, 13, 14))
    (found,) = Baseline("pyxtal", pyxtal=config).packings([(TEMPLATE, 7, 2, 5)])
    assert found.problem == "no packing: PyXtal finds no crystal in 2 of 3 space groups"
    assert [(key[:3], *rest) for _, key, *rest in asked] == [((2, 7, 5), 0.4, 3)] * 2
    only = pyxtal_proposal(TEMPLATE, 0, 0, PyxtalConfig(space_groups=(14,)))
    assert only.problem == "no packing: PyXtal finds no crystal in space group P21/c"


def test_groups_are_those_of_general_positions():
    benzene = Template(Molecule.from_smiles("c1ccccc1"), 2)
    assert [ways.group.number for ways in general_groups(benzene, 0)] == [2, 3, 4, 6, 7]
    # seven molecules fit P1 only, as seven
    assert [ways.group.number for ways in general_groups(Template(TEMPLATE.molecule, 7), 0)] == [1]


@pytest.mark.filterwarnings("ignore")
def test_a_proposal_is_a_function_of_seed_index_and_attempt(pyxtal, capfd):
    engine = Baseline("pyxtal", pyxtal=CONFIG)
    found = sample(engine, TEMPLATE, 4, seed=1)
    assert not any(proposal.problem for proposal in found)
    assert (bonds_valid_percent(AtomsBatch.from_crystals([proposal.crystal for proposal in found])) == 100).all()
    places = [(TEMPLATE, 3, 1, 0), (TEMPLATE, 0, 1, 0), (TEMPLATE, 3, 1, 1), (TEMPLATE, 3, 2, 0)]
    again, first, attempt, seed = engine.packings(places)
    np.testing.assert_array_equal(again.crystal.positions, found[3].crystal.positions)
    np.testing.assert_array_equal(first.crystal.positions, found[0].crystal.positions)
    assert len({tuple(one.crystal.lattice) for one in (again, attempt, seed)}) == 3
    # what PyXtal prints is not for the user
    assert capfd.readouterr().out == ""


def test_settings(pyxtal):
    assert Baseline("pyxtal").settings() == {"pyxtal": {"volume_factor": 1.1, "attempts": 1, "max_groups": 10, "space_groups": None}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"volume_factor": 0.0}, "volume_factor must"),
        ({"attempts": 0}, "attempts must"),
        ({"max_groups": 0}, "max_groups"),
    ],
)
def test_bad_configurations(change, message):
    with pytest.raises(InputError, match=message):
        PyxtalConfig(**change)


def test_without_pyxtal(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyxtal", None)
    with pytest.raises(InputError, match="PyXtal is not installed: pip install pyxtal"):
        Baseline("pyxtal")

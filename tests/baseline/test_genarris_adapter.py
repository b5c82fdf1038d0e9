"""Genarris' structures as ours: by a stand-in that reads its files and writes its own, and by the real program where it is installed."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from packflow.baseline import Baseline, GenarrisConfig, genarris_packings
from packflow.baseline.conformer import conformer_of
from packflow.baseline.genarris_adapter import genarris_structures
from packflow.baseline.genarris_engine import groups_of_one_molecule, pool_of
from packflow.baseline.genarris_files import input_files
from packflow.errors import InputError
from packflow.metrics import bonds_valid_percent
from packflow.structure import AtomsBatch, Molecule, Template

STAND_IN = Path(__file__).with_name("stand_in_genarris.py")
TEMPLATE = Template(Molecule.from_smiles("NC(N)=O"), 4)
# of the groups of four general positions, 11, 16 and 26 fail with the stand-in
GROUPS = (9, 11, 14, 16, 19, 26)
CONFIG = GenarrisConfig((sys.executable, str(STAND_IN)), pool=4, space_groups=GROUPS)


@pytest.fixture(autouse=True)
def no_pools():
    pool_of.cache_clear()


def positions(found):
    return np.array([proposal.crystal.positions for proposal in found])


def test_pools_are_filled_by_groups_in_turn():
    found = genarris_packings(TEMPLATE, 6, seed=1, config=CONFIG)
    assert not any(proposal.problem for proposal in found)
    assert [proposal.index for proposal in found] == list(range(6))
    # each of the three groups that do not fail once, then one a second time
    for pool in (found[:4], found[4:]):
        groups = [proposal.space_group for proposal in pool]
        assert len(set(groups[:3])) == min(3, len(groups))
        assert set(groups) <= {9, 14, 19}
    assert (bonds_valid_percent(AtomsBatch.from_crystals([proposal.crystal for proposal in found])) == 100).all()
    # the hydrogens are left out, and the cells are those of the program
    assert all(20.0 <= proposal.crystal.lattice[1] <= 22.0 for proposal in found)


def test_a_proposal_is_a_function_of_seed_index_and_attempt():
    engine = Baseline("genarris", genarris=CONFIG)
    found = genarris_packings(TEMPLATE, 6, seed=1, config=CONFIG)
    pool_of.cache_clear()
    alone = engine.packings([(TEMPLATE, 5, 1, 0), (TEMPLATE, 2, 1, 0)])
    np.testing.assert_array_equal(positions(alone), positions([found[5], found[2]]))
    others = engine.packings([(TEMPLATE, 5, 1, 1), (TEMPLATE, 5, 2, 0)])
    lattices = [proposal.crystal.lattice.tolist() for proposal in (found[5], *others)]
    assert lattices[0] != lattices[1] != lattices[2] != lattices[0]


def test_every_setting_counts():
    one, other = (replace(CONFIG, settings=(("generation", "x", (k,)),)) for k in range(2))
    assert len({one, other, CONFIG}) == 3


def test_what_a_pool_lacks_has_a_problem():
    found = genarris_packings(TEMPLATE, 8, config=replace(CONFIG, per_group=1))
    assert [bool(proposal.problem) for proposal in found] == [False, False, False, True] * 2
    assert found[3].problem == "no packing: Genarris found 3 of the 4 in a pool, in 6 space groups"
    nothing = genarris_packings(TEMPLATE, 1, config=replace(CONFIG, space_groups=(11, 26)))
    assert nothing[0].problem == "no packing: Genarris found 0 of the 4 in a pool, in 2 space groups"
    assert nothing[0].space_group == 0


def test_settings_and_molecule():
    conformer = conformer_of("NC(N)=O", 0)
    config = replace(CONFIG, scale=0.9, settings=(("generation", "tol", 0.01), ("dedup", "names", ("a", "b"))))
    files = input_files(conformer, 4, (14, 19), 7, 123, config, press=True)
    lines = files["ui.conf"].splitlines()
    wanted = ["Z = 4", "tasks = ['generation', 'symm_rigid_press']", "num_structures_per_spg = 7", "sr = 0.9", "seed = 123"]
    wanted += ["spg_distribution_type = [14, 19]", "maxiter = 100", "tol = 0.01", "[dedup]", "names = ['a', 'b']"]
    assert set(wanted) <= set(lines)
    symbols = [line.split()[0] for line in files["molecule.xyz"].splitlines()[2:]]
    assert symbols == ["N", "C", "N", "O", "H", "H", "H", "H"]
    assert "tasks = ['generation']" in input_files(conformer, 4, (14,), 1, 1, config, press=False)["ui.conf"]


def test_groups_have_one_independent_molecule():
    assert set(groups_of_one_molecule(TEMPLATE, 0)) >= {14, 19, 33}
    with pytest.raises(InputError, match="by one independent molecule, got 7"):
        Baseline("genarris", genarris=replace(CONFIG, space_groups=None)).check(Template(TEMPLATE.molecule, 7), 0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("fail", r"Genarris failed \(exit status 1\): KeyError: 'Xx-Xx'"),
        ("shuffle", "must be 4 copies of the molecule's 8 atoms in their order, got 32 atoms"),
        ("stretch", "copy 0 is not the molecule with its atoms in their order, one is 0"),
    ],
)
def test_what_is_refused(setting, message):
    config = replace(CONFIG, settings=(("generation", setting, True),))
    with pytest.raises(InputError, match=message):
        genarris_packings(TEMPLATE, 1, config=config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"command": ()}, "command must be"),
        ({"scale": 0.0}, "scale must be a positive"),
        ({"pool": 0}, "pool must be at least 1"),
        ({"per_group": 0}, "per_group must be at least 1"),
        ({"settings": (("generation", "x", [1]),)}, "settings must be"),
    ],
)
def test_bad_configurations(change, message):
    with pytest.raises(InputError, match=message):
        replace(CONFIG, **change)


def test_bad_arguments():
    with pytest.raises(InputError, match="n_samples must be at least 1, got 0"):
        genarris_packings(TEMPLATE, 0, config=CONFIG)
    with pytest.raises(InputError, match="seed must be 0 or more, got -1"):
        genarris_packings(TEMPLATE, 1, -1, config=CONFIG)


@pytest.mark.parametrize("command", [("no-such-gnrs",), (sys.executable, "no/such/gnrs")])
def test_without_genarris(command):
    with pytest.raises(InputError, match=f"Genarris 3 is not installed: .* '{command[-1]}' is not found"):
        Baseline("genarris-press", genarris=GenarrisConfig(command))


@pytest.mark.skipif(shutil.which("gnrs") is None, reason="Genarris 3 (gnrs) is not installed")
@pytest.mark.parametrize("press", [False, True])
def test_the_real_program(press):
    """Structures are the molecule, of the groups that were asked for; the same seed gives the same, and Rigid Press compresses them."""
    conformer = conformer_of("NC(N)=O", 0)
    arguments = conformer, 4, (14, 19), 2, 77
    found = genarris_structures(*arguments, press=press)
    assert [structure.space_group for structure in found] == [14, 14, 19, 19]
    again = genarris_structures(*arguments)
    for one, other in zip(found, again, strict=True):
        if press:
            assert np.linalg.det(one.cell) < np.linalg.det(other.cell)
        else:
            np.testing.assert_array_equal(one.positions, other.positions)
    assert genarris_structures(*arguments, GenarrisConfig(volume_factor=0.3, max_attempts=10_000)) == []

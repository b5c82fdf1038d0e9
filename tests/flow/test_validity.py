"""Which crystals are flagged, against the metrics taken one crystal at a time."""

import math

import numpy as np
import pytest

from packflow.errors import InputError
from packflow.flow.validity import Limits, flags_of, kinds_of
from packflow.metrics import bonds_valid_percent, clash_percent, density, valid_cell
from packflow.structure import AtomsBatch, Crystal, Molecule, Template
from packflow.structure.cif import read_cif
from packflow.structure.recognize import recognize

CO2 = Template(Molecule.from_smiles("O=C=O"), 1)


@pytest.fixture(scope="module")
def real(cif_folder, smiles_of):
    return [recognize(read_cif(cif_folder / f"{name}.cif")[0], smiles) for name, smiles in sorted(smiles_of.items())]


@pytest.fixture(scope="module")
def broken(real):
    """Real crystals with the atoms moved, or the cell and everything in it made larger or smaller."""
    rng = np.random.default_rng(0)
    moved = [Crystal(c.template, c.positions + rng.normal(scale=s, size=c.positions.shape), c.lattice) for c in real for s in (0.1, 0.3)]
    scale = np.array([[s, s, s, 1, 1, 1] for s in (0.5, 0.9, 1.3, 2.2)])
    return moved + [Crystal(c.template, c.positions * s[0], c.lattice * s) for c in real for s in scale]


def test_real_crystals_pass(real):
    """But for carbon dioxide as it was measured in 1924, with bonds of 1.05 Å."""
    assert flags_of(real[1:], Limits()) == [""] * (len(real) - 1)
    assert flags_of(real[:1], Limits()) == ["clash: 100 % of the atoms, above 5"]


@pytest.mark.parametrize("limits", [Limits(), Limits(30, 60, 0.2, 9), Limits(0, 100, 1.3, 1.4)])
def test_flags_are_those_of_the_metrics_one_by_one(real, broken, limits):
    crystals = [*real, *broken]
    flags = flags_of(crystals, limits)
    for crystal, flag in zip(crystals, flags, strict=True):
        alone = AtomsBatch.from_crystals([crystal])
        clash, bonds, dense = (metric(alone).item() for metric in (clash_percent, bonds_valid_percent, density))
        wanted = {
            "cell": not valid_cell(alone).item(),
            "clash": clash > limits.max_clash,
            "bonds": bonds < limits.min_bonds_valid,
            "density": not limits.min_density <= dense <= limits.max_density,
        }
        assert kinds_of(flag) == [kind for kind, marked in wanted.items() if marked]
        assert ("clash" in flag) == (f"clash: {clash:.4g} % of the atoms, above {limits.max_clash:g}" in flag)
        assert ("bonds" in flag) == (f"bonds: {bonds:.4g} % valid, below {limits.min_bonds_valid:g}" in flag)
        assert ("density" in flag) == (f"density: {dense:.4g} g/cm3, outside" in flag)
    # every kind was there, and was not
    found = [kinds_of(flag) for flag in flags]
    for kind in ("clash", "bonds", "density"):
        assert 0 < sum(kind in kinds for kinds in found) < len(found)
    assert any("cell" in kinds for kinds in found)


def crystal(lattice, stretch=1.0):
    return Crystal(CO2, stretch * np.array([[-1.16, 0, 0], [0.0, 0, 0], [1.16, 0, 0]]), np.array(lattice, dtype=float))


@pytest.mark.parametrize(
    ("broken", "flag"),
    [
        (crystal([4.5, 4, 4, 90, 90, 90]), ""),
        (crystal([6.5, 3.5, 3.5, 90, 90, 90], 1.6), "bonds: 0 % valid, below 100"),
        (crystal([4.5, 4, 4, 90, 90, 90], 0.7), "clash: 100 % of the atoms, above 5"),
        (crystal([4.2, 2.5, 6, 90, 90, 90]), "cell: an axis of 2.5 Å, below 3"),
        (crystal([9, 9, 12, 90, 90, 14]), "cell: an angle of 14 degrees, below 15"),
        (crystal([9, 9, 12, 90, 90, 168]), "cell: an angle of 168 degrees, above 167"),
        (crystal([7, 7, 7, 90, 90, 90]), "cell: 114.3 Å3 per atom, outside 8 to 80; density: 0.2131 g/cm3, outside 0.7 to 3"),
        (crystal([3, 3, 0.5, 90, 90, 90]), "cell: cell must have at least 1.0 Å between opposite faces"),
        (crystal([math.nan] * 6), "cell: cell must be finite"),
        (crystal([4.5, 4, 4, 90, 90, 90], math.nan), "cell: positions must be finite"),
    ],
    ids=["good", "stretched", "pressed", "axis", "narrow", "wide", "empty", "flat", "no numbers", "no positions"],
)
def test_messages(broken, flag):
    found = flags_of([crystal([4.5, 4, 4, 90, 90, 90]), broken, crystal([4.5, 4, 4, 90, 90, 90])], Limits())
    assert found[0] == found[2] == ""
    assert flag in found[1]
    assert bool(flag) == bool(found[1])


def test_what_is_at_a_limit_passes():
    good = crystal([4.5, 4, 4, 90, 90, 90])
    dense = density(AtomsBatch.from_crystals([good])).item()
    assert flags_of([good], Limits(0, 100, dense, 3)) == flags_of([good], Limits(0, 100, 0, dense)) == [""]
    assert kinds_of(flags_of([good], Limits(0, 100, np.nextafter(dense, 3), 3))[0]) == ["density"]


def test_no_crystals():
    assert flags_of([], Limits()) == []


def test_kinds():
    assert kinds_of("") == []
    assert kinds_of("not finite") == ["not finite"]
    assert kinds_of("cell: a; cell: b; density: c") == ["cell", "density"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_clash": -1.0}, "max_clash must be a percentage from 0 to 100, got -1.0"),
        ({"max_clash": math.nan}, "max_clash must be a percentage from 0 to 100, got nan"),
        ({"min_bonds_valid": 100.1}, "min_bonds_valid must be a percentage from 0 to 100, got 100.1"),
        ({"min_density": -0.1}, "min_density must be a finite number of g/cm3, 0 or more, got -0.1"),
        ({"max_density": math.inf}, "max_density must be a finite number of g/cm3, 0 or more, got inf"),
        ({"min_density": 3.0}, "min_density must be below max_density, got 3.0 and 3.0 g/cm3"),
    ],
)
def test_limits_without_a_meaning_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Limits(**options)

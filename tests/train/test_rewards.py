"""Rewards of crystals: energies and forces of heavy atoms, geometry, and crystals that fail."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from packflow.elements import MASSES
from packflow.errors import InputError
from packflow.metrics import clash_percent, density
from packflow.potential.foreign import PreparedForeign
from packflow.potential.interface import Evaluation
from packflow.potential.mmff import Mmff
from packflow.relax.hydrogens import add_hydrogens
from packflow.structure import AtomsBatch, Crystal, Molecule, Template
from packflow.structure.cif import read_cif
from packflow.structure.full import FullBatch, full_mol
from packflow.structure.full_frame import heavy_crystal
from packflow.structure.full_sites import full_structure
from packflow.structure.packing_volume import packing_volume
from packflow.train.crowding import crowding
from packflow.train.rewards import rewards_of, usual_densities
from packflow.train.scores import carriers_of


@dataclass
class Springs:
    """Pulls every atom to the origin with 2 eV/Å2; remembers which atoms it saw, and refuses structures of five."""

    name: str = "springs"
    cutoff: float = 3.0
    max_atoms: int = 1000
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seen: list = field(default_factory=list)

    def prepare(self, batch):
        return PreparedForeign(self, batch, ["five atoms" if n == 5 else "" for n in batch.sizes.tolist()])

    def compute(self, batch):
        self.seen += batch.atomic_numbers.tolist()
        square = torch.zeros(len(batch), dtype=torch.float64).index_add(0, batch.structure_index, batch.positions.square().sum(1))
        return Evaluation(square, -2 * batch.positions, torch.zeros(len(batch), 3, 3, dtype=torch.float64), [""] * len(batch))


@pytest.fixture(scope="module")
def crystals(cif_folder, smiles_of):
    """Propane, glycol and urea without their hydrogens."""
    cods = ("1511801", "2007371", "2019369")
    return [heavy_crystal(full_structure(read_cif(cif_folder / f"{cod}.cif")[0], smiles_of[cod])) for cod in cods]


def shrunk(crystal, factor):
    return replace(crystal, lattice=crystal.lattice * np.array([factor] * 3 + [1.0] * 3))


def test_mmff_prefers_a_real_crystal_to_a_crushed_one(crystals):
    found = rewards_of([crystals[0], shrunk(crystals[0], 0.85)], Mmff())
    assert found.problems == ["", ""]
    assert (found.values[0] > found.values[1]).all()
    assert found.channels == ("energy", "force")


def test_riding_rewards_are_their_formula_one_by_one(crystals):
    found = rewards_of(crystals, Mmff())
    for crystal, (energy, force) in zip(crystals, found.values.tolist(), strict=True):
        batch = FullBatch.pack([add_hydrogens([crystal], turn=False)[0].structure])
        result = Mmff().prepare(batch).evaluate(batch.positions, batch.cell)
        mol, n = full_mol(crystal.template.molecule.smiles), crystal.template.molecule.n_atoms
        norms = []
        for forces in result.forces.numpy().reshape(crystal.template.n_copies, -1, 3):
            total = forces[:n].copy()
            for atom in list(mol.GetAtoms())[n:]:
                total[atom.GetNeighbors()[0].GetIdx()] += forces[atom.GetIdx()]
            norms += np.linalg.norm(total, axis=1).tolist()
        assert energy == pytest.approx(-result.energy.item() / crystal.template.n_atoms, rel=1e-6)
        assert force == pytest.approx(-np.mean(norms), rel=1e-6)


def test_a_force_that_hydrogens_carry_is_the_slope_of_moving_them_along(crystals):
    """A heavy atom and its hydrogens moved together change the energy by minus the carried force."""
    crystal, step = crystals[0], 1e-4
    structure = add_hydrogens([crystal], turn=False)[0].structure
    batch, carrier = FullBatch.pack([structure]), carriers_of([crystal])
    prepared = Mmff().prepare(batch)
    forces = torch.zeros(crystal.template.n_atoms, 3, dtype=torch.float64)
    forces.index_add_(0, carrier, prepared.evaluate(batch.positions, batch.cell).forces)
    group = int(torch.bincount(carrier).argmax())  # the heavy atom with most hydrogens
    assert (carrier == group).sum() > 1
    moved = torch.where((carrier == group)[:, None], torch.tensor([step, 0.0, 0.0], dtype=torch.float64), 0.0)
    up, down = (prepared.evaluate(batch.positions + s * moved, batch.cell).energy.item() for s in (1, -1))
    assert (down - up) / (2 * step) == pytest.approx(forces[group, 0].item(), rel=1e-3, abs=1e-4)


def test_heavy_atoms_alone_for_potentials_that_see_atoms(crystals):
    springs = Springs()
    found = rewards_of(crystals, springs, hydrogens="none")
    assert springs.seen == np.concatenate([c.template.atomic_numbers for c in crystals]).tolist()
    for crystal, (energy, force) in zip(crystals, found.values.tolist(), strict=True):
        assert energy == pytest.approx(-np.square(crystal.positions).sum(1).mean())
        assert force == pytest.approx(-2 * np.linalg.norm(crystal.positions, axis=1).mean())
    with pytest.raises(InputError, match="mmff needs all: take 'riding'"):
        rewards_of(crystals, Mmff(), hydrogens="none")


def test_failures_are_rows_of_nan_with_their_reason_and_change_no_other(crystals):
    good = rewards_of(crystals, Mmff())
    nan = replace(crystals[0], positions=np.full_like(crystals[0].positions, np.nan))
    coincident = replace(crystals[1], positions=np.zeros_like(crystals[1].positions))
    flat = shrunk(crystals[2], -1.0)
    found = rewards_of([nan, crystals[0], coincident, crystals[1], flat, crystals[2]], Mmff())
    assert [bool(problem) for problem in found.problems] == [True, False] * 3
    assert "coincide" in found.problems[2]
    assert found.values[::2].isnan().all()
    torch.testing.assert_close(found.values[1::2], good.values)


def test_what_the_potential_refuses_is_told():
    five = Crystal(
        Template(Molecule.from_smiles("CCCCC"), 1), np.random.default_rng(0).normal(size=(5, 3)), np.array([9.0] * 3 + [90.0] * 3)
    )
    found = rewards_of([five], Springs(), hydrogens="none")
    assert found.problems == ["five atoms"]
    assert found.values.isnan().all()
    assert rewards_of([], Springs(), hydrogens="none").values.shape == (0, 2)
    assert rewards_of([], Mmff()).values.shape == (0, 2)


def test_geometry_is_that_of_the_metrics_and_asks_no_potential(crystals):
    crushed = [*crystals, shrunk(crystals[0], 0.6)]
    springs, atoms = Springs(), AtomsBatch.from_crystals(crushed)
    found = rewards_of(crushed, springs, ("density", "clash", "bonds"), densities=[1.3] * 4)
    assert springs.seen == []
    torch.testing.assert_close(found.values[:, 0], -(density(atoms) - 1.3).abs())
    torch.testing.assert_close(found.values[:, 1], -clash_percent(atoms))
    assert found.values[3, 1] < found.values[0, 1]
    assert found.values[0, 2] == 100
    broken = replace(crystals[0], positions=crystals[0].positions * np.nan)
    assert rewards_of([broken], springs, ("clash", "bonds")).problems == ["it has no clash, bonds"]


def test_a_density_that_nobody_gave_is_the_molecule_s_usual_one(crystals):
    found = rewards_of(crystals, Springs(), ("density",))
    for k, crystal in enumerate(crystals):
        molecule = crystal.template.molecule
        mass = sum(MASSES[atom.GetSymbol()] for atom in full_mol(molecule.smiles).GetAtoms())
        usual = 1.66053907 * mass / packing_volume(molecule)
        assert usual_densities(crystals)[k].item() == pytest.approx(usual, rel=1e-6)
        given = rewards_of([crystal], Springs(), ("density",), densities=[usual])
        assert found.values[k].item() == pytest.approx(given.values.item(), abs=1e-6)
        assert found.values[k].item() > -0.15  # real crystals are near it
    assert rewards_of([shrunk(crystals[0], 0.8)], Springs(), ("density",)).values.item() < -0.4


def test_the_channel_of_duplicates_is_minus_crowding_by_group(crystals):
    some = [crystals[0], crystals[0], shrunk(crystals[0], 1.02), crystals[1]]
    found = rewards_of(some, Springs(), ("duplicates",), groups=[3, 3, 3, 0])
    torch.testing.assert_close(found.values[:, 0], -crowding(AtomsBatch.from_crystals(some), [3, 3, 3, 0]))
    assert found.values[3, 0] == 0  # alone in its group
    broken = replace(crystals[0], positions=crystals[0].positions * np.nan)
    assert rewards_of([broken, crystals[0]], Springs(), ("duplicates",), groups=[0, 0]).problems == ["it has no duplicates", ""]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": ("energy", "beauty")}, "got energy, beauty"),
        ({"channels": ("energy", "energy")}, "must be different ones"),
        ({"channels": ()}, "got none"),
        ({"hydrogens": "some"}, "hydrogens must be one of riding, relaxed"),
        ({"channels": ("duplicates",)}, "groups must be those of 3 crystals for the channel duplicates, got none"),
        ({"channels": ("duplicates",), "groups": [0, 0]}, "got 2"),
        ({"channels": ("density",), "densities": [1.0]}, "got 1"),
    ],
)
def test_what_makes_no_sense_is_refused(crystals, options, message):
    with pytest.raises(InputError, match=message):
        rewards_of(crystals, Mmff(), **options)

"""Scores of crystals whose hydrogens are relaxed while the heavy atoms stay."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from packflow.errors import InputError
from packflow.potential.lennard_jones import LennardJones
from packflow.potential.mmff import Mmff
from packflow.potential.mmff_united import MmffUnited
from packflow.relax.hydrogens import add_hydrogens
from packflow.relax.relax import RelaxConfig, relax
from packflow.structure.cif import read_cif
from packflow.structure.full import FullBatch
from packflow.structure.full_frame import heavy_crystal
from packflow.structure.full_sites import full_structure
from packflow.train.rewards import rewards_of
from packflow.train.scores import heavy_batch, relaxed_scores, united_scores

FAR = RelaxConfig(cell="fixed", moving="hydrogens", fmax=1e-4, max_steps=400)


@pytest.fixture(scope="module")
def crystals(cif_folder, smiles_of):
    """Glycol and urea without their hydrogens."""
    return [heavy_crystal(full_structure(read_cif(cif_folder / f"{cod}.cif")[0], smiles_of[cod])) for cod in ("2007371", "2019369")]


def test_relaxed_scores_are_their_steps_one_by_one(crystals):
    """Placed and turned, relaxed, evaluated: of one crystal at a time, and without heavy atoms or cell moving."""
    found = relaxed_scores(crystals, Mmff())
    config = RelaxConfig(cell="fixed", moving="hydrogens", max_steps=25)
    for k, crystal in enumerate(crystals):
        start = add_hydrogens([crystal])[0].structure
        (end,) = relax(Mmff(), iter([start]), config)
        n, n_copies = crystal.template.molecule.n_atoms, crystal.template.n_copies
        heavy = end.structure.positions.reshape(n_copies, -1, 3)[:, :n]
        np.testing.assert_array_equal(heavy, start.positions.reshape(n_copies, -1, 3)[:, :n])
        batch = FullBatch.pack([start])
        before = Mmff().prepare(batch).evaluate(batch.positions, batch.cell).energy.item()
        assert end.energy < before - 0.01
        assert found.energy[k].item() == pytest.approx(end.energy / crystal.template.n_atoms, rel=1e-9)
    assert found.problems == ["", ""]


def test_the_force_is_the_slope_of_the_energy_that_hydrogens_follow(crystals):
    crystal, step = crystals[1], 0.01

    def moved(by):
        positions = crystal.positions.copy()
        positions[0] += by
        return replace(crystal, positions=positions)

    shifts = [s * step * axis for axis in np.eye(3) for s in (1, -1)]
    energies = relaxed_scores([moved(by) for by in shifts], Mmff(), FAR).energy.numpy().reshape(3, 2) * crystal.template.n_atoms
    slope = np.linalg.norm((energies[:, 0] - energies[:, 1]) / (2 * step))
    here = add_hydrogens([crystal])
    (end,) = relax(Mmff(), iter([here[0].structure]), FAR)
    batch = FullBatch.pack([end.structure])
    force = Mmff().prepare(batch).evaluate(batch.positions, batch.cell).forces[0].norm().item()
    assert slope > 0.1
    assert force == pytest.approx(slope, rel=0.02)


def test_failures_keep_their_row_and_change_no_other(crystals):
    nan = replace(crystals[0], positions=np.full_like(crystals[0].positions, np.nan))
    found = rewards_of([nan, *crystals], Mmff(), hydrogens="relaxed")
    assert [bool(problem) for problem in found.problems] == [True, False, False]
    assert found.values[0].isnan().all()
    good = rewards_of(crystals, Mmff(), hydrogens="relaxed")
    torch.testing.assert_close(found.values[1:], good.values, rtol=1e-9, atol=1e-9)
    assert rewards_of([], Mmff(), hydrogens="relaxed").values.shape == (0, 2)


def test_united_scores_are_those_of_heavy_atoms_that_carry_their_hydrogens(crystals):
    found = rewards_of(crystals, Mmff(), hydrogens="united")
    batch = heavy_batch(crystals)
    result = MmffUnited().prepare(batch).evaluate(batch.positions, batch.cell)
    sizes = [crystal.template.n_atoms for crystal in crystals]
    for k, (forces, size) in enumerate(zip(result.forces.split(sizes), sizes, strict=True)):
        assert found.values[k, 0].item() == pytest.approx(-result.energy[k].item() / size)
        assert found.values[k, 1].item() == pytest.approx(-forces.norm(dim=1).mean().item())
    assert rewards_of([], Mmff(), hydrogens="united").values.shape == (0, 2)


def test_united_atoms_that_coincide_have_no_scores_and_change_no_other(crystals):
    positions = crystals[0].positions.copy()
    positions[1] = positions[0] + np.array([0.4, 0.0, 0.0])
    found = united_scores([replace(crystals[0], positions=positions), *crystals], Mmff())
    assert "coincide" in found.problems[0]
    assert found.problems[1:] == ["", ""]
    torch.testing.assert_close(found.energy[1:], united_scores(crystals, Mmff()).energy)


def test_united_atoms_are_of_mmff(crystals):
    with pytest.raises(InputError, match="'united' needs the potential mmff, got lennard_jones"):
        rewards_of(crystals, LennardJones(), hydrogens="united")


def test_a_configuration_that_moves_heavy_atoms_is_refused(crystals):
    with pytest.raises(ValueError, match="must move hydrogens alone, got moving='all'"):
        relaxed_scores(crystals, Mmff(), RelaxConfig())

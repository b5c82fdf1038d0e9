"""Lennard-Jones and springs: a potential that tests can rely on; and any potential through ASE."""

import numpy as np
import pytest
import torch
from ase.calculators.calculator import CalculationFailed

from packflow.potential.ase import AseCalculator, ase_atoms
from packflow.potential.lennard_jones import EV_PER_KCAL_MOL, WELLS, LennardJones, lennard_jones_pairs
from packflow.potential.mmff import Mmff
from packflow.structure.cif import read_cif
from packflow.structure.full import FullBatch, FullStructure, atoms_of
from packflow.structure.full_sites import full_structure


@pytest.fixture(scope="module")
def batch(cif_folder, smiles_of):
    """Six crystals and a molecule in vacuum, atoms off symmetric places."""
    crystals = [full_structure(read_cif(cif_folder / f"{name}.cif")[0], smiles) for name, smiles in list(smiles_of.items())[:6]]
    n = len(crystals[2].positions) // crystals[2].template.n_copies
    molecule = FullStructure(type(crystals[2].template)(crystals[2].template.molecule, 1), crystals[2].positions[:n], None)
    packed = FullBatch.pack([*crystals, molecule])
    noise = torch.randn(packed.positions.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return packed.at(packed.positions + 0.02 * noise, packed.cell)


def test_pairs_at_the_minimum_and_the_cutoff():
    minimum, depth = torch.tensor([3.5, 3.5, 3.5], dtype=torch.float64), torch.tensor([0.01, 0.01, 0.01], dtype=torch.float64)
    squared = torch.tensor([3.5, 1000.0 - 1e-9, 500.0], dtype=torch.float64) ** 2
    energy, slope = lennard_jones_pairs(squared, minimum, depth, 1000.0)
    assert float(energy[0]) == pytest.approx(-0.01)
    assert abs(float(slope[0])) < 1e-12
    assert abs(float(energy[1])) < 1e-25
    assert abs(float(slope[1])) < 1e-25


def test_two_carbons(batch):
    """A pair of methanes so far apart that the wells of UFF can be read off."""
    minimum, depth = WELLS[6]
    squared = torch.tensor([minimum**2], dtype=torch.float64)
    args = torch.tensor([minimum], dtype=torch.float64), torch.tensor([depth * EV_PER_KCAL_MOL], dtype=torch.float64)
    energy, _ = lennard_jones_pairs(squared, *args, 50.0)
    assert float(energy) == pytest.approx(-depth * 0.0433641, rel=1e-5)


def test_forces_are_the_gradient(batch):
    prepared = LennardJones().prepare(batch)
    found = prepared.evaluate(batch.positions, batch.cell)
    direction = torch.randn(batch.positions.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    up, down = (prepared.evaluate(batch.positions + s * direction, batch.cell).energy for s in (1e-5, -1e-5))
    work = torch.zeros(len(batch), dtype=torch.float64).index_add(0, batch.structure_index, (found.forces * direction).sum(1))
    assert torch.allclose((down - up) / 2e-5, work, rtol=1e-6)
    net = torch.zeros(len(batch), 3, dtype=torch.float64).index_add(0, batch.structure_index, found.forces)
    assert net.abs().max() < 1e-9


def test_stress_is_the_gradient_by_strain(batch):
    prepared = LennardJones().prepare(batch)
    found = prepared.evaluate(batch.positions, batch.cell)
    strain = torch.randn(3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    strain = strain + strain.T
    up, down = (
        prepared.evaluate(batch.positions @ (torch.eye(3) + s * strain), batch.cell @ (torch.eye(3) + s * strain)).energy
        for s in (1e-6, -1e-6)
    )
    expected = (up - down) / 2e-6 / torch.linalg.det(batch.cell).abs()
    crystals = batch.periodic
    assert torch.allclose((found.stress * strain).sum((1, 2))[crystals], expected[crystals], rtol=1e-5)
    assert torch.equal(found.stress[~crystals], torch.zeros_like(found.stress[~crystals]))


def test_some_of_the_structures(batch):
    """Select gives the same bits, and so does each alone."""
    rows = torch.tensor([3, 6, 1, 3])
    some, atoms = batch.select(rows), atoms_of(rows, batch.atom_ptr)
    everything = LennardJones().prepare(batch).evaluate(batch.positions, batch.cell)
    selected = LennardJones().prepare(batch).select(rows).evaluate(some.positions, some.cell)
    assert torch.equal(selected.energy, everything.energy[rows])
    assert torch.equal(selected.forces, everything.forces[atoms])
    assert torch.equal(selected.stress, everything.stress[rows])


def test_a_structure_that_cannot_be_evaluated_is_marked(batch):
    prepared = LennardJones().prepare(batch)
    good = prepared.evaluate(batch.positions, batch.cell)
    cell, positions = batch.cell.clone(), batch.positions.clone()
    cell[1] = 0.0
    positions[batch.atom_ptr[3]] = torch.nan
    found = prepared.evaluate(positions, cell)
    assert [bool(p) for p in found.problems] == [k in (1, 3) for k in range(len(batch))]
    bad = torch.tensor([k in (1, 3) for k in range(len(batch))])
    assert torch.equal(found.energy.isnan(), bad)
    assert torch.equal(found.energy[~bad], good.energy[~bad])
    atoms = bad[batch.structure_index]
    assert torch.equal(found.forces.isnan().any(1), atoms)
    assert torch.equal(found.forces[~atoms], good.forces[~atoms])


@pytest.mark.parametrize("potential", [LennardJones(), Mmff()], ids=["lennard_jones", "mmff"])
def test_through_ase(batch, potential):
    for structure in batch.split():
        atoms = ase_atoms(structure)
        atoms.calc = AseCalculator(potential, structure)
        alone = FullBatch.pack([structure])
        found = potential.prepare(alone).evaluate(alone.positions, alone.cell)
        assert atoms.get_potential_energy() == pytest.approx(float(found.energy[0]), rel=1e-10)
        assert np.allclose(atoms.get_forces(), found.forces.numpy(), rtol=0, atol=1e-8)
        if structure.cell is not None:
            assert np.allclose(atoms.get_stress(voigt=False), found.stress[0].numpy(), rtol=0, atol=1e-10)
    atoms.positions[0] = np.nan
    with pytest.raises(CalculationFailed):
        atoms.get_potential_energy()

"""FIRE over atoms and cells, step for step as ASE does it."""

import numpy as np
import pytest
import torch
from ase.filters import FrechetCellFilter, UnitCellFilter
from ase.optimize import FIRE
from scipy.linalg import expm

from packflow.potential.ase import AseCalculator, ase_atoms
from packflow.potential.lennard_jones import LennardJones
from packflow.relax import fire
from packflow.relax.cell_filter import Coordinates, exponential, generalized_forces, geometry, start
from packflow.relax.lbfgs import rigid_part
from packflow.relax.packed import Axis
from packflow.relax.relax import RelaxConfig, relax
from packflow.structure.cif import read_cif
from packflow.structure.full import FullBatch
from packflow.structure.full_sites import full_structure

FILTERS = {"unit_cell": UnitCellFilter, "frechet": FrechetCellFilter, "fixed": lambda atoms: atoms}
N_STEPS = 60


@pytest.fixture(scope="module")
def crystals(cif_folder, smiles_of):
    """Ten crystals as they were measured, with their hydrogens."""
    return [full_structure(read_cif(cif_folder / f"{name}.cif")[0], smiles) for name, smiles in list(smiles_of.items())[:10]]


def ase_run(potential, crystal, cell_filter, fmax, n_steps):
    """Energy and volume before each step and at the end; whether it converged."""
    atoms = ase_atoms(crystal)
    atoms.calc = AseCalculator(potential, crystal)
    rows = []
    optimizer = FIRE(FILTERS[cell_filter](atoms), logfile=None)
    optimizer.attach(lambda: rows.append((atoms.get_potential_energy(), atoms.get_volume())))
    converged = optimizer.run(fmax=fmax, steps=n_steps)
    return np.array(rows), converged, atoms


@pytest.mark.filterwarnings("ignore:logm result may be inaccurate:RuntimeWarning")
@pytest.mark.parametrize("cell_filter", ["unit_cell", "frechet", "fixed"])
def test_step_for_step_as_ase(crystals, cell_filter):
    """All ten at once against ASE one by one: energy and volume of every step to 1e-8."""
    ours = {k: [] for k in range(len(crystals))}

    def observe(snapshot):
        volume = torch.linalg.det(snapshot.batch.cell).abs()
        for k, energy, v, going in zip(snapshot.numbers, snapshot.evaluation.energy, volume, snapshot.going, strict=True):
            if going:
                ours[k].append((float(energy), float(v)))

    config = RelaxConfig(optimizer=fire.FireConfig(), cell=cell_filter, fmax=0.15, max_stress_gpa=None, max_steps=N_STEPS)
    results = {r.index: r for r in relax(LennardJones(), FullBatch.pack(crystals), config, observe=observe)}
    assert len(results) == 10
    for k, crystal in enumerate(crystals):
        theirs, converged, atoms = ase_run(LennardJones(), crystal, cell_filter, 0.15, N_STEPS)
        # some energies pass zero, the small difference of springs and attractions of many eV: 1e-8 of 1 eV then
        scale = np.maximum(np.abs(theirs), 1.0)
        assert np.shape(ours[k]) == theirs.shape, k
        assert (np.abs(np.array(ours[k]) - theirs) < 1e-8 * scale).all(), k
        assert results[k].converged == converged
        assert results[k].n_steps == len(theirs) - 1
        assert np.allclose(results[k].structure.positions, atoms.positions, rtol=0, atol=1e-6)
    # both ways to end are among them, and enough steps to see every branch
    assert len({r.converged for r in results.values()}) == 2 or cell_filter == "fixed"
    assert max(r.n_steps for r in results.values()) > 40


@pytest.mark.parametrize("cell_filter", ["unit_cell", "frechet", "molecular"])
def test_forces_on_coordinates_are_the_gradient(crystals, cell_filter):
    """Finite differences, at a cell far from where it began."""
    batch = FullBatch.pack(crystals[:3])
    axis, molecules = Axis.of(batch.sizes), Axis.of_molecules(batch)
    generator = torch.Generator().manual_seed(0)
    where = start(cell_filter, batch.positions, batch.cell, batch.sizes)
    direction = Coordinates(
        torch.randn(where.atoms.shape, generator=generator, dtype=torch.float64),
        torch.randn(where.cell.shape, generator=generator, dtype=torch.float64) * 5,
    )
    if cell_filter == "molecular":
        # its strains are symmetric
        direction = Coordinates(direction.atoms, direction.cell + direction.cell.mT)
    where = where.plus(Coordinates(0.01 * direction.atoms.flip(0), 0.05 * axis.sizes[:, None, None] * direction.cell.flip(0) / 5))
    prepared = LennardJones().prepare(batch)

    def energy(step):
        moved = where.plus(Coordinates(step * direction.atoms, step * direction.cell))
        return prepared.evaluate(*geometry(cell_filter, moved, batch.cell, axis, molecules)).energy

    _, cell = geometry(cell_filter, where, batch.cell, axis, molecules)
    evaluation = prepared.evaluate(*geometry(cell_filter, where, batch.cell, axis, molecules))
    forces = generalized_forces(cell_filter, where, cell, evaluation.forces, evaluation.stress, axis, molecules)
    numerical = (energy(1e-5) - energy(-1e-5)) / 2e-5
    # by the cell alone as well, whose share of the sum is small
    assert torch.allclose(-forces.dot(direction, axis), numerical, rtol=1e-6)


def test_exponential():
    generator = torch.Generator().manual_seed(0)
    for size in (0.0, 1e-3, 0.1, 1.0):
        matrices = size * torch.randn(20, 3, 3, generator=generator, dtype=torch.float64)
        expected = np.stack([expm(m) for m in matrices.numpy()])
        assert np.allclose(exponential(matrices).numpy(), expected, rtol=1e-13, atol=1e-13)
        assert torch.equal(exponential(matrices)[7:8], exponential(matrices[7:8]))


def test_a_step_bounds_what_moves(crystals):
    """Huge forces: the step is max_step long, over all atoms and the cell together."""
    batch = FullBatch.pack(crystals[:2])
    axis = Axis.of(batch.sizes)
    state = fire.init(start("unit_cell", batch.positions, batch.cell, batch.sizes), fire.FireConfig())
    forces = Coordinates(1e6 * torch.ones_like(batch.positions), 1e6 * torch.ones_like(batch.cell))
    after = fire.step(state, forces, axis, fire.FireConfig())
    move = after.coordinates.plus(state.coordinates.scaled(-torch.ones(2, dtype=torch.float64), axis))
    assert torch.allclose(move.dot(move, axis).sqrt(), torch.tensor(0.2, dtype=torch.float64))


def test_the_rigid_part_of_displacements(crystals):
    """It is what a molecule's translation and turn leave as it was, and what remains moves and turns nothing."""
    batch = FullBatch.pack(crystals[:4])
    molecules = Axis.of_molecules(batch)
    generator = torch.Generator().manual_seed(0)
    counts = len(molecules.sizes), len(molecules.sizes), len(batch.positions)
    shift, turn, noise = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in counts)
    arm = batch.positions - molecules.mean(batch.positions)[molecules.owner]
    rigid = shift[molecules.owner] + torch.linalg.cross(turn[molecules.owner], arm)
    # CO2 is a line, which can turn about itself as it likes; the matrix is regularized by 1e-9
    assert torch.allclose(rigid_part(rigid, batch.positions, molecules), rigid, rtol=0, atol=1e-7)
    rest = noise - rigid_part(noise, batch.positions, molecules)
    assert molecules.sum(rest).abs().max() < 1e-7
    assert molecules.sum(torch.linalg.cross(arm, rest)).abs().max() < 1e-6

"""`ewald` against its reference, pymatgen and Madelung constants."""

import math

import pytest
import torch
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Lattice, Structure

from packflow import _C
from packflow.ops import ewald, nonbonded, reference_nonbonded
from packflow.ops.ewald import COULOMB, _launch, split_of


def charged(batch):
    """What `ewald` takes of a molecular batch."""
    return {name: batch[name] for name in ("positions", "cell", "atom_ptr", "charges")}


@pytest.mark.parametrize("seed", range(4))
def test_equals_reference(molecular_batch, seed):
    batch = molecular_batch([(2, 4), (1, 1), (3, 7)], seed, volume_per_atom=25.0)
    alpha, k_cutoff = 0.5, 4.0 + 0.3 * seed
    got = ewald(**charged(batch), alpha=alpha, k_cutoff=k_cutoff)
    for s in range(3):
        atoms = slice(*batch["atom_ptr"][s : s + 2].tolist())
        r = batch["positions"][atoms].clone().requires_grad_(True)
        strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
        deformation = torch.eye(3, dtype=torch.float64) + (strain + strain.T) / 2
        energy = reference_nonbonded.ewald(r @ deformation, batch["cell"][s] @ deformation, batch["charges"][atoms], alpha, k_cutoff)
        gradient, slope = torch.autograd.grad(energy, (r, strain))
        torch.testing.assert_close(got.energy[s], energy.detach(), rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(got.forces[atoms], -gradient, rtol=1e-10, atol=1e-11)
        torch.testing.assert_close(got.strain[s], slope, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("instruction_set", _C.instruction_sets())
@pytest.mark.parametrize("length", [1, 7, 8, 9])
def test_instruction_sets_agree(molecular_batch, instruction_set, length):
    """Sizes around a vector."""
    batch = molecular_batch([(1, length), (2, length)])
    arguments = (*charged(batch).values(), 0.45, 4.05)
    got, expected = _launch(*arguments, batch["periodic"], instruction_set), ewald(*arguments)
    torch.testing.assert_close(got.energy, expected.energy, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(got.forces, expected.forces, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(got.strain, expected.strain, rtol=1e-11, atol=1e-12)


def test_left_out_structures_are_zero(molecular_batch):
    batch = molecular_batch([(1, 4), (1, 4)])
    batch["cell"][0] = torch.nan
    got = ewald(**charged(batch), alpha=0.4, k_cutoff=3.0, periodic=torch.tensor([False, True]))
    assert got.energy[0] == 0
    assert not got.forces[:4].any()
    assert not got.strain[0].any()
    assert got.energy[1] != 0


def coulomb_alone(positions, cell, charges, cutoff=10.0):
    """`nonbonded` of atoms that each are a molecule, without van der Waals; the buffer is taken away again by hand."""
    n = len(positions)
    empty = torch.zeros(0, dtype=torch.int32)
    got = nonbonded(
        positions,
        cell[None],
        torch.tensor([0, n], dtype=torch.int32),
        torch.tensor([True]),
        charges,
        torch.zeros(n, dtype=torch.int32),
        torch.ones(2, 1, 1, dtype=torch.float64),
        torch.zeros(2, 1, 1, dtype=torch.float64),
        torch.arange(n, dtype=torch.int32),
        torch.zeros(n + 1, dtype=torch.int32),
        empty,
        torch.zeros(0, 2, dtype=torch.float64),
        cutoff,
    )
    r = positions.clone().requires_grad_(True)
    buffer = torch.zeros((), dtype=torch.float64)
    for shift in reference_nonbonded._shifts(r, cell, cutoff):
        d = r[None, :] - r[:, None] + shift @ cell
        itself = torch.eye(n, dtype=torch.bool) & (not shift.any())
        distance = torch.where(itself[:, :, None], 1.0, d).norm(dim=2)
        difference = reference_nonbonded.switch(distance, cutoff) * (1 / (distance + 0.05) - 1 / distance)
        buffer = buffer + 0.5 * COULOMB * (charges[:, None] * charges[None, :] * torch.where(itself, 0.0, difference)).sum()
    (gradient,) = torch.autograd.grad(buffer, r)
    return float(got.coulomb[0] - buffer.detach()), got.forces + gradient


@pytest.mark.parametrize("seed", range(3))
def test_pymatgen(molecular_batch, seed):
    batch = molecular_batch([(4, 1)], seed, volume_per_atom=40.0)
    structure = Structure(
        Lattice(batch["cell"][0].numpy()), ["C"] * 4, batch["positions"].numpy(), coords_are_cartesian=True, site_properties={}
    )
    structure.add_oxidation_state_by_site(batch["charges"].tolist())
    theirs = EwaldSummation(structure, acc_factor=20, compute_forces=True)
    energy, forces = coulomb_alone(batch["positions"], batch["cell"][0], batch["charges"])
    # They have another value of the constant.
    scale = COULOMB / EwaldSummation.CONV_FACT
    assert energy == pytest.approx(theirs.total_energy * scale, rel=1e-5)
    torch.testing.assert_close(forces, torch.from_numpy(theirs.forces) * scale, rtol=1e-4, atol=1e-4 * float(forces.abs().max()))


@pytest.mark.parametrize("alpha", [0.3, 0.45, 0.7])
def test_rock_salt(alpha):
    """Madelung's constant of 1.747564594633182 for any division of the sum."""
    a = 5.64
    fcc = torch.tensor([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=torch.float64) * a / 2
    positions = torch.cat([fcc, fcc + torch.tensor([a / 2, 0, 0], dtype=torch.float64)])
    charges = torch.tensor([1.0] * 4 + [-1.0] * 4, dtype=torch.float64)
    energy, forces = coulomb_alone(positions, a * torch.eye(3, dtype=torch.float64), charges, cutoff=4.5 / alpha)
    assert energy / 4 == pytest.approx(-1.747564594633182 * COULOMB / (a / 2), rel=1e-7)
    assert float(forces.abs().max()) < 1e-8


def test_split_follows_the_cutoff():
    alpha, k_cutoff = split_of(10.0)
    assert math.erfc(alpha * 10.0) < 1e-9
    assert math.exp(-(k_cutoff**2) / (4 * alpha**2)) < 1e-8

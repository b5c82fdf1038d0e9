"""`ewald` against its reference, pymatgen and Madelung constants."""

import math

import pytest
import torch
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Lattice, Structure

from packflow import _C
from packflow.ops import ewald, reference_nonbonded
from packflow.ops.ewald import COULOMB, _launch, split_of


def charged(batch):
    """What `ewald` takes of a molecular batch."""
    return {name: batch[name] for name in ("positions", "cell", "atom_ptr", "charges")}


@pytest.mark.parametrize("seed", range(4))
def test_equals_reference(molecular_batch, seed):
    batch = molecular_batch([(2, 4), (1, 1), (3, 7)], seed, volume_per_atom=25.0)
    alpha, k_cutoff, buffer = 0.5, 4.0 + 0.3 * seed, [0.0, 0.05, 0.05, 0.5][seed]
    got = ewald(**charged(batch), alpha=alpha, k_cutoff=k_cutoff, buffer=buffer)
    for s in range(3):
        atoms = slice(*batch["atom_ptr"][s : s + 2].tolist())
        r = batch["positions"][atoms].clone().requires_grad_(True)
        strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
        deformation = torch.eye(3, dtype=torch.float64) + (strain + strain.T) / 2
        energy = reference_nonbonded.ewald(
            r @ deformation, batch["cell"][s] @ deformation, batch["charges"][atoms], alpha, k_cutoff, buffer
        )
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
    got, expected = _launch(*arguments, batch["periodic"], 0.05, instruction_set), ewald(*arguments, buffer=0.05)
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


def with_near_pairs(positions, cell, charges, alpha):
    """Energy and forces of charges: `ewald` and, in PyTorch, erfc(alpha r) / r of near pairs."""
    far = ewald(positions, cell[None], torch.tensor([0, len(positions)], dtype=torch.int32), charges, alpha, 11 * alpha)
    r, cutoff = positions.clone().requires_grad_(True), 5.5 / alpha
    near = torch.zeros((), dtype=torch.float64)
    for shift in reference_nonbonded._shifts(r, cell, cutoff):
        d = r[None, :] - r[:, None] + shift @ cell
        itself = torch.eye(len(r), dtype=torch.bool) & (not shift.any())
        distance = torch.where(itself[:, :, None], 1.0, d).norm(dim=2)
        pairs = torch.where(itself, 0.0, torch.erfc(alpha * distance) / distance)
        near = near + 0.5 * COULOMB * (charges[:, None] * charges[None, :] * pairs).sum()
    (gradient,) = torch.autograd.grad(near, r)
    return float(far.energy[0] + near.detach()), far.forces - gradient


@pytest.mark.parametrize("seed", range(3))
def test_pymatgen(molecular_batch, seed):
    batch = molecular_batch([(4, 1)], seed, volume_per_atom=40.0)
    structure = Structure(
        Lattice(batch["cell"][0].numpy()), ["C"] * 4, batch["positions"].numpy(), coords_are_cartesian=True, site_properties={}
    )
    structure.add_oxidation_state_by_site(batch["charges"].tolist())
    theirs = EwaldSummation(structure, acc_factor=20, compute_forces=True)
    energy, forces = with_near_pairs(batch["positions"], batch["cell"][0], batch["charges"], alpha=0.5)
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
    energy, forces = with_near_pairs(positions, a * torch.eye(3, dtype=torch.float64), charges, alpha)
    assert energy / 4 == pytest.approx(-1.747564594633182 * COULOMB / (a / 2), rel=1e-11)
    assert float(forces.abs().max()) < 1e-8


@pytest.mark.parametrize("alpha", [0.3, 0.5])
def test_inverse_squares_of_rock_salt(alpha):
    """The sum of 1 / r2 with alternating signs is cut off nowhere: for any alpha what a sum over ever larger neutral cubes tends to."""
    a = 2.0
    n = torch.arange(-40, 41, dtype=torch.float64)
    x, y, z = torch.meshgrid(n, n, n, indexing="ij")
    distance2 = x**2 + y**2 + z**2
    # Faces, edges and corners of the cube count as the part that is inside: Evjen's sum.
    ends = [torch.where(u.abs() == 40, 0.5, 1.0) for u in (x, y, z)]
    signs = 1 - 2 * ((x + y + z).abs() % 2)
    direct = float((ends[0] * ends[1] * ends[2] * signs / distance2.where(distance2 > 0, torch.inf)).sum())
    fcc = torch.tensor([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=torch.float64)
    positions = torch.cat([fcc, fcc + torch.tensor([1.0, 0, 0], dtype=torch.float64)])
    charges = torch.tensor([1.0] * 4 + [-1.0] * 4, dtype=torch.float64)
    arguments = positions, a * torch.eye(3, dtype=torch.float64)[None], torch.tensor([0, 8], dtype=torch.int32), charges, alpha, 11 * alpha
    smooth = float((ewald(*arguments).energy - ewald(*arguments, buffer=1.0).energy)[0]) / COULOMB
    near = 0.0
    for shift in reference_nonbonded._shifts(positions, arguments[1][0], 5.5 / alpha):
        r2 = ((positions[None, :] - positions[:, None] + shift * a) ** 2).sum(2)
        near += 0.5 * float((charges[:, None] * charges * torch.exp(-(alpha**2) * r2) / r2.where(r2 > 0, torch.inf)).sum())
    assert smooth + near == pytest.approx(4 * direct, rel=1e-5)


def test_split_follows_the_cutoff():
    alpha, k_cutoff = split_of(10.0)
    assert math.erfc(alpha * 10.0) < 1e-9
    assert math.exp(-(k_cutoff**2) / (4 * alpha**2)) < 1e-8

"""Rigid Press: contacts by ASE, symmetry by its own operations, gradients by differences."""

import numpy as np
import pytest
import torch
from ase.neighborlist import primitive_neighbor_list

from packflow.baseline import PackingConfig, PressConfig, random_packings, rigid_press
from packflow.baseline.bfgs import minimize
from packflow.baseline.press_batch import N_STRAINS, press_batch, press_part
from packflow.baseline.rigid_press import energies
from packflow.baseline.tries import all_positions
from packflow.errors import InputError
from packflow.structure import Molecule, Template

BENZENE, ASPIRIN = "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O"


@pytest.fixture(scope="module")
def packings():
    benzene = random_packings(Template(Molecule.from_smiles(BENZENE), 4), 5, seed=1)
    two = random_packings(Template(Molecule.from_smiles("CCO"), 4), 2, seed=0, config=PackingConfig(max_independent=2, space_groups=(2, 4)))
    return random_packings(Template(Molecule.from_smiles(ASPIRIN), 4), 4, seed=1) + benzene + two


@pytest.fixture(scope="module")
def pressed(packings):
    return {isotropic: rigid_press(packings, PressConfig(isotropic=isotropic)) for isotropic in (True, False)}


def volume(packing):
    return np.linalg.det(packing.arrangement.cell)


def worst_contact(packing):
    atoms = all_positions(packing.placement, packing.conformer, packing.arrangement)
    n = atoms.shape[1]
    i, j, d, shift = primitive_neighbor_list("ijdS", (True,) * 3, packing.arrangement.cell, atoms.reshape(-1, 3), 4.0)
    radii = packing.conformer.radii
    return (d / (radii[i % n] + radii[j % n]))[(i // n != j // n) | (shift != 0).any(1)].min()


def misfit(packing):
    """How far the operations of the space group miss the atoms, Å."""
    cell, group = packing.arrangement.cell, packing.placement.group.operations()
    atoms = all_positions(packing.placement, packing.conformer, packing.arrangement).reshape(-1, 3) @ np.linalg.inv(cell)
    numbers = np.tile(packing.conformer.atomic_numbers, len(packing.placement.operations))
    worst = 0.0
    for operation in group:
        difference = (atoms @ operation[:, :3].T + operation[:, 3])[:, None] - atoms
        distance = np.linalg.norm((difference - np.rint(difference)) @ cell, axis=-1)
        worst = max(worst, np.where(numbers[:, None] == numbers, distance, np.inf).min(1).max())
    return worst


@pytest.mark.parametrize("isotropic", [True, False])
def test_smaller_without_contacts_and_of_the_same_symmetry(packings, pressed, isotropic):
    for before, after in zip(packings, pressed[isotropic], strict=True):
        assert volume(after) < volume(before)
        assert 0.85 < worst_contact(after) < 1.0
        assert misfit(after) < 1e-6
        assert after.space_group == before.space_group
        assert np.linalg.det(after.crystal.cell) == pytest.approx(volume(after))
        # cells of the crystal system: the point group stays orthogonal
        columns = after.arrangement.cell.T
        turned = columns @ after.placement.group.rotations @ np.linalg.inv(columns)
        np.testing.assert_allclose(turned @ turned.swapaxes(1, 2), np.broadcast_to(np.eye(3), turned.shape), atol=1e-9)


def test_isotropic_keeps_the_shape_of_the_cell(packings, pressed):
    for before, after in zip(packings, pressed[True], strict=True):
        scale = np.cbrt(volume(after) / volume(before))
        np.testing.assert_allclose(after.arrangement.cell, scale * before.arrangement.cell, atol=1e-9)


def test_free_cells_become_denser(pressed):
    tighter = [volume(free) / volume(kept) for free, kept in zip(pressed[False], pressed[True], strict=True)]
    assert np.mean(tighter) < 0.98


def test_a_batch_changes_nothing(packings, pressed):
    (alone,) = rigid_press(packings[2:3])
    np.testing.assert_allclose(alone.crystal.lattice, pressed[False][2].crystal.lattice, rtol=1e-6)


def test_gradients(packings):
    batch = press_batch([press_part(packing, isotropic=False) for packing in (packings[0], packings[-1])])
    generator = torch.Generator().manual_seed(0)
    freedoms = 0.01 * torch.rand(2, batch.n_freedoms, generator=generator, dtype=torch.float64)
    freedoms[:, 0] += 0.3
    config = PressConfig(stiffness=1.0)
    assert torch.autograd.gradcheck(lambda x: energies(batch, x, config)[0], freedoms.requires_grad_(), eps=1e-6, atol=1e-4)


def test_what_symmetry_forbids_has_no_effect(packings):
    for packing in packings:
        batch = press_batch([press_part(packing, isotropic=False)])
        freedoms = torch.randn(1, batch.n_freedoms, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.2
        cell, center, rotation = batch.moved(freedoms)
        rows = cell[0].numpy()
        for number, site in enumerate(packing.placement.sites):
            np.testing.assert_allclose(site.project(center[number].numpy()), center[number].numpy(), atol=1e-12)
            turns = rows.T @ site.symmetry[:, :, :3] @ np.linalg.inv(rows.T)
            images = packing.conformer.symmetry.operations[packing.placement.maps[number]]
            np.testing.assert_allclose(turns @ rotation[number].numpy(), rotation[number].numpy() @ images, atol=1e-9)


def test_number_of_strains_of_the_systems():
    wanted = {"triclinic": 6, "monoclinic": 4, "orthorhombic": 3, "tetragonal": 2, "trigonal": 2, "hexagonal": 2, "cubic": 1}
    template = Template(Molecule.from_smiles("CCO"), 4)
    for number, system in ((1, "triclinic"), (14, "monoclinic"), (19, "orthorhombic"), (76, "tetragonal")):
        config = PackingConfig(max_independent=4, space_groups=(number,), scale=0.2)
        (packing,) = random_packings(template, 1, config=config)
        strains = press_part(packing, isotropic=False)["strains"][0].reshape(N_STRAINS, 9)
        assert np.linalg.matrix_rank(strains, tol=1e-9) == wanted[system]


def test_problems_stay_as_they_are():
    config = PackingConfig(max_tries=1, max_groups=1, growth=0.0, volume_factor=0.6)
    found = random_packings(Template(Molecule.from_smiles(ASPIRIN), 4), 1, config=config)
    assert found[0].problem
    assert rigid_press(found)[0] is found[0]


def test_touching_packings_are_refused(packings):
    with pytest.raises(InputError, match=r"scale must leave the packings without contacts, got 1\.2"):
        rigid_press(packings[:1], PressConfig(scale=1.2))


@pytest.mark.parametrize(("change", "message"), [({"scale": -1.0}, "scale must be"), ({"max_steps": 0}, "max_steps must be at least 1")])
def test_bad_configuration(change, message):
    with pytest.raises(InputError, match=message):
        PressConfig(**change)


def test_minimize_many_at_once():
    """Quadratic functions with a wall at x = 2, beyond the minimum of none."""
    target = torch.tensor([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.0]], dtype=torch.float64)
    curvature = torch.tensor([[1.0, 10.0], [4.0, 0.5], [2.0, 2.0]], dtype=torch.float64)

    def function(x, rows):
        difference = x - target[rows]
        values = 0.5 * (curvature[rows] * difference**2).sum(1)
        return values.where(x[:, 0] < 2, torch.inf), curvature[rows] * difference

    found = minimize(function, torch.full((3, 2), 1.9, dtype=torch.float64), tolerance=1e-8, max_steps=100, max_step=0.5)
    assert found.converged.all()
    torch.testing.assert_close(found.variables, target, atol=1e-7, rtol=0)

"""Paths from data to noise, and what is done to the noise."""

from itertools import permutations

import pytest
import torch

from packflow.flow.path import CrystalPath, FlowPath, PathConfig, assign_copies, center, draw_noise
from packflow.structure import Molecule, Template, TemplateBatch

TEMPLATES = [Template(Molecule.from_smiles(s), n) for s, n in [("CC(=O)O", 4), ("C", 1), ("c1ccccc1", 2), ("C", 3)]]


@pytest.fixture(scope="module")
def template():
    return TemplateBatch.pack(TEMPLATES)


@pytest.fixture
def positions(template, generator):
    return 3 * torch.randn(template.n_atoms, 3, generator=generator)


def blocks(tensor):
    """One [n_copies, atoms of a molecule, 3] per crystal."""
    parts = tensor.split([t.n_atoms for t in TEMPLATES])
    return [part.view(t.n_copies, -1, 3) for part, t in zip(parts, TEMPLATES, strict=True)]


def cost(noise, data):
    return (noise.mean(1) - data.mean(1)).square().sum().item()


def test_ends_of_the_path_and_its_velocity(generator):
    data, noise = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    owner = torch.tensor([0, 0, 1, 2, 2])
    path = FlowPath(data, noise, torch.tensor([0.0, 1.0, 0.25], dtype=torch.float64), owner)
    assert torch.equal(path.state[:2], data[:2])
    assert torch.equal(path.state[2], noise[2])
    torch.testing.assert_close(path.state[3:], 0.75 * data[3:] + 0.25 * noise[3:])
    step = 1e-4
    later = FlowPath(data, noise, path.t + step, owner)
    torch.testing.assert_close((later.state - path.state) / step, path.velocity)


def test_rows_that_are_crystals_have_their_own_time():
    path = FlowPath(torch.zeros(2, 6), torch.ones(2, 6), torch.tensor([0.1, 0.7]))
    assert torch.equal(path.state, torch.tensor([0.1, 0.7])[:, None].expand(2, 6))


def test_the_field_is_asked_at_the_states_and_times(template, positions, generator):
    t = torch.rand(2, template.n_crystals, generator=generator)
    noise = torch.randn(template.n_atoms, 3, generator=generator)
    lattices = torch.randn(2, template.n_crystals, 6, generator=generator)
    path = CrystalPath(template, FlowPath(positions, noise, t[0], template.crystal_index), FlowPath(*lattices, t[1]))
    asked = path.velocities(lambda *args: args)
    for got, expected in zip(asked, (path.positions.state, path.lattice.state, t[0], t[1], template), strict=True):
        assert got is expected or torch.equal(got, expected)


def test_plain_noise_is_normal_and_repeatable(template, positions):
    draws = [draw_noise(positions, template, PathConfig(), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    for first, second, other in zip(*draws, strict=True):
        assert torch.equal(first, second)
        assert not torch.equal(first, other)
    many = torch.cat([draw_noise(positions, template, PathConfig(), torch.Generator().manual_seed(s))[0] for s in range(300)])
    # 300 x 32 x 3 numbers: standard errors 0.006 of the mean, 0.004 of the deviation.
    assert abs(many.mean().item()) < 0.03
    assert abs(many.std().item() - 1) < 0.02


def test_options_change_the_noise_of_the_positions_only(template, positions):
    plain = draw_noise(positions, template, PathConfig(), torch.Generator().manual_seed(3))
    other = draw_noise(positions, template, PathConfig(center_noise=True, assign_copies=True), torch.Generator().manual_seed(3))
    assert torch.equal(plain[1], other[1])
    assert not torch.equal(plain[0], other[0])


def test_centring_moves_each_crystal_as_a_whole(template, positions):
    centred = center(positions, template)
    for before, after in zip(positions.split(template.sizes), centred.split(template.sizes), strict=True):
        torch.testing.assert_close(after.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
        torch.testing.assert_close(before - after, before.mean(0).expand_as(before))


def test_assignment_permutes_whole_molecules_for_the_least_distance(template, positions, generator):
    noise = torch.randn(template.n_atoms, 3, generator=generator)
    assigned = assign_copies(noise, positions, template)
    for before, after, data in zip(blocks(noise), blocks(assigned), blocks(positions), strict=True):
        candidates = [before[list(order)] for order in permutations(range(len(before)))]
        assert any(torch.equal(after, candidate) for candidate in candidates)
        assert cost(after, data) == pytest.approx(min(cost(c, data) for c in candidates), rel=1e-5)
    assert not torch.equal(assigned, noise)


def test_assignment_does_not_change_its_input(template, positions, generator):
    noise = torch.randn(template.n_atoms, 3, generator=generator)
    before = noise.clone()
    assign_copies(noise, positions, template)
    assert torch.equal(noise, before)

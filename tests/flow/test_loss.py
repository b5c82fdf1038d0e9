"""Losses and training times."""

from dataclasses import replace

import pytest
import torch

from packflow.errors import InputError
from packflow.flow.loss import (
    PAIR_TIME,
    LossConfig,
    TimeConfig,
    crystal_losses,
    draw_path,
    draw_times,
    flow_matching_loss,
    pair_errors,
)
from packflow.flow.path import CrystalPath, FlowPath, PathConfig
from packflow.structure import CrystalBatch, FlowSpace, Molecule, Template, TemplateBatch

SPACES = {"paper": FlowSpace(), "packed": FlowSpace("packed")}


@pytest.fixture(params=SPACES)
def space(request):
    return SPACES[request.param]


@pytest.fixture
def batch(generator):
    template = TemplateBatch.pack([Template(Molecule.from_smiles(s), n) for s, n in [("CC(=O)O", 4), ("C", 1), ("c1ccccc1", 2)]])
    lattice = torch.tensor([8.0, 9.0, 10.0, 80.0, 95.0, 100.0]).expand(3, 6)
    return CrystalBatch(template, 3 * torch.randn(template.n_atoms, 3, generator=generator), lattice)


@pytest.fixture
def path(batch, space, generator):
    return draw_path(batch, space, PathConfig(), TimeConfig(), generator)


def errors(path, generator):
    return [torch.randn(p.data.shape, generator=generator) for p in (path.positions, path.lattice)]


def velocities(path, difference):
    return tuple(p.velocity + d for p, d in zip((path.positions, path.lattice), difference, strict=True))


def test_the_right_velocity_has_no_loss(path, space):
    for kind in ("velocity", "endpoint_l1"):
        loss = flow_matching_loss(velocities(path, (0, 0)), path, space, LossConfig(kind))
        assert (loss.total, loss.positions, loss.lattice) == (0, 0, 0)


def test_velocity_loss_is_its_formula(path, space, generator):
    difference = errors(path, generator)
    loss = flow_matching_loss(velocities(path, difference), path, space, LossConfig("velocity", lattice_weight=0.3))
    squares = [d.square().sum().item() / (3 * len(d)) for d in difference[0].split(path.template.sizes)]
    lattice = difference[1].square().sum().item() / (6 * 3)
    assert loss.positions.item() == pytest.approx(sum(squares) / 3, rel=1e-4)
    assert loss.lattice.item() == pytest.approx(lattice, rel=1e-4)
    assert loss.total.item() == pytest.approx(sum(squares) / 3 + 0.3 * lattice, rel=1e-4)


def test_endpoint_loss_is_the_distance_of_end_points_in_angstrom(path, batch, space, generator):
    """Above min_time: the mean absolute difference of x - t v, decoded, from the data."""
    predicted = velocities(path, errors(path, generator))
    positions, lattice = crystal_losses(predicted, path, space, LossConfig("endpoint_l1", min_time=0.0))
    ends = [p.state - p.t_rows * v for p, v in zip((path.positions, path.lattice), predicted, strict=True)]
    decoded = space.decode(ends[0], path.lattice.data, path.template)[0]
    difference = (decoded - batch.positions).abs().mean(1).split(path.template.sizes)
    torch.testing.assert_close(positions, torch.stack([d.mean() for d in difference]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(lattice, (ends[1] - path.lattice.data).abs().mean(1), rtol=1e-4, atol=1e-5)


def test_small_times_count_as_min_time(batch, generator):
    template, zeros = batch.template, torch.zeros(3)
    path = CrystalPath(
        template,
        FlowPath(batch.positions, batch.positions, zeros, template.crystal_index),
        FlowPath(batch.lattice, batch.lattice, zeros),
    )
    predicted = (torch.ones(template.n_atoms, 3), torch.ones(3, 6))
    positions, lattice = crystal_losses(predicted, path, FlowSpace(), LossConfig("endpoint_l1", min_time=0.05))
    torch.testing.assert_close(positions, torch.full((3,), 0.05))
    torch.testing.assert_close(lattice, torch.full((3,), 0.05))


def test_pair_errors_are_those_of_distances_near_the_data(batch, space, generator):
    path = draw_path(batch, space, PathConfig(), TimeConfig(power_positions=0.3), generator)
    times = torch.tensor([0.1, 0.2, 0.6])
    path = CrystalPath(path.template, replace(path.positions, t=times), path.lattice)
    predicted = velocities(path, errors(path, generator))
    got = pair_errors(predicted[0], path.positions, space, path.template)
    end = path.positions.state - path.positions.t_rows * predicted[0]
    end = space.decode(end, path.lattice.data, path.template)[0]
    pairs = path.template.pair_index.T.tolist()
    for atom in (0, 5, 16, 17, 20):
        mine = [(i, j) for i, j in pairs if i == atom]
        wrong = [((end[i] - end[j]).norm() - (batch.positions[i] - batch.positions[j]).norm()).abs().item() for i, j in mine]
        t = times[path.template.crystal_index[atom]].item()
        expected = sum(wrong) / max(1, len(mine)) * max(0.0, 1 - t / PAIR_TIME)
        assert got[atom].item() == pytest.approx(expected, abs=2e-3)
    assert (got[path.template.crystal_index == 0] > 0).all()
    assert (got[path.template.crystal_index == 2] == 0).all()


@pytest.mark.parametrize("kind", ["velocity", "endpoint_l1"])
def test_pair_errors_are_added_to_those_of_positions(path, space, generator, kind):
    predicted = velocities(path, errors(path, generator))
    plain, weighed = (crystal_losses(predicted, path, space, LossConfig(kind, pair_weight=weight)) for weight in (0.0, 0.7))
    extra = pair_errors(predicted[0], path.positions, space, path.template).split(path.template.sizes)
    torch.testing.assert_close(weighed[0] - plain[0], 0.7 * torch.stack([e.mean() for e in extra]), atol=2e-6, rtol=1e-5)
    assert torch.equal(weighed[1], plain[1])


def test_pair_errors_have_a_gradient_where_atoms_coincide(batch, space):
    template = batch.template
    positions = FlowPath(0 * batch.positions, 0 * batch.positions, torch.full((3,), 0.1), template.crystal_index)
    velocity = torch.zeros(template.n_atoms, 3, requires_grad=True)
    pair_errors(velocity, positions, space, template).sum().backward()
    assert velocity.grad.isfinite().all()


def test_a_path_has_the_data_at_time_zero(batch, space):
    path = draw_path(batch, space, PathConfig(True, True), TimeConfig(), torch.Generator().manual_seed(0))
    positions, lattice = space.decode(path.positions.data, path.lattice.data, path.template)
    torch.testing.assert_close(positions, batch.positions, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(lattice, batch.lattice, rtol=1e-4, atol=1e-3)


def test_a_path_is_a_function_of_the_generator(batch, space):
    first, second, other = (draw_path(batch, space, PathConfig(), TimeConfig(), torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert torch.equal(first.positions.state, second.positions.state)
    assert torch.equal(first.lattice.state, second.lattice.state)
    assert not torch.equal(first.positions.t, other.positions.t)


@pytest.mark.parametrize("power", [1.0, 0.5, 2.0])
def test_times_are_beta_distributed(generator, power):
    t_positions, t_lattice = draw_times(20_000, TimeConfig(power_positions=power), generator)
    # The share below t is t^power; 20,000 draws know it to 0.004.
    for t in (0.1, 0.5, 0.9):
        assert (t_positions < t).float().mean().item() == pytest.approx(t**power, abs=0.015)
        assert (t_lattice < t).float().mean().item() == pytest.approx(t, abs=0.015)
    assert abs(torch.corrcoef(torch.stack([t_positions, t_lattice]))[0, 1].item()) < 0.03


def test_a_shared_time_is_one_draw_for_both_channels(batch, space):
    shared = TimeConfig(0.7, 0.7, shared=True)
    t_positions, t_lattice = draw_times(1000, shared, torch.Generator().manual_seed(5))
    assert torch.equal(t_positions, t_lattice)
    assert torch.equal(t_positions, draw_times(1000, TimeConfig(0.7, 0.7), torch.Generator().manual_seed(5))[0])
    path = draw_path(batch, space, PathConfig(), shared, torch.Generator().manual_seed(5))
    assert torch.equal(path.positions.t, path.lattice.t)


def test_unknown_options_are_refused():
    with pytest.raises(InputError, match=r"time\.shared needs one power .*, got power_positions 0\.5 and power_lattice 1\.0"):
        TimeConfig(0.5, shared=True)
    with pytest.raises(InputError, match=r"loss\.kind must be 'velocity' or 'endpoint_l1', got 'l3'"):
        LossConfig("l3")
    with pytest.raises(InputError, match=r"loss\.pair_weight must be at least 0, got -1"):
        LossConfig(pair_weight=-1)
    with pytest.raises(InputError, match=r"time\.power_lattice must be above 0, got 0"):
        TimeConfig(power_lattice=0)

"""Near pairs in the network: what they see, what they do not see, and what a refinement does to a velocity."""

from dataclasses import replace

import pytest
import torch

from packflow.model import ModelConfig, PackFlow
from packflow.model.pairs import CENTERS, N_GEOMETRY, SOFTENING, WIDTH, PairRefinement, Pairs, geometry
from packflow.model.pretrained import load
from packflow.ops import pair_refinement
from packflow.structure import FlowSpace, Molecule, Template, TemplateBatch

D_MODEL = 32
CONFIG = ModelConfig(D_MODEL, 4, 64, 2, FlowSpace("packed"), time_scale=30.0, atom_encoding="one_hot", n_refinements=2)


@pytest.fixture
def batch():
    return TemplateBatch.pack([Template(Molecule.from_smiles(s), n) for s, n in (("CC(=O)O", 3), ("C", 1), ("c1ccccc1Br", 2))])


@pytest.fixture
def pairs(batch):
    return Pairs.of(batch.pair_index, batch.pair_features)


@pytest.fixture
def refinement(generator):
    """One that moves atoms, as after training."""
    torch.manual_seed(0)
    module = PairRefinement(D_MODEL).requires_grad_(False)
    module.step.weight.copy_(torch.randn(module.step.weight.shape, generator=generator))
    return module


def rotation(generator):
    return torch.linalg.qr(torch.randn(3, 3, generator=generator))[0]


def test_geometry_is_its_formula(batch, pairs, generator):
    positions = 2 * torch.randn(batch.n_atoms, 3, generator=generator)
    described, direction = geometry(positions, pairs, torch.tensor(CENTERS))
    assert described.shape == (len(pairs.target), N_GEOMETRY)
    for k in range(0, len(pairs.target), 7):
        apart = (positions[pairs.source[k]] - positions[pairs.target[k]]).tolist()
        distance = (sum(x * x for x in apart) + SOFTENING**2) ** 0.5
        gaussians = [2.718281828 ** -(((distance - center) / WIDTH) ** 2) for center in CENTERS]
        smallest, largest = pairs.range[k].tolist()
        expected = [*gaussians, distance - smallest, distance - largest, distance / 3]
        assert described[k].tolist() == pytest.approx(expected, abs=1e-5)
        assert direction[k].tolist() == pytest.approx([x / distance for x in apart], abs=1e-5)


def test_each_atom_is_moved_by_the_messages_that_it_receives(batch, pairs, refinement, generator):
    x = torch.randn(batch.n_atoms, D_MODEL, generator=generator)
    positions = 2 * torch.randn(batch.n_atoms, 3, generator=generator)
    described, direction = geometry(positions, pairs, torch.tensor(CENTERS))
    length = refinement.step(refinement.messages(x, described, pairs))
    moved = refinement(x, positions, pairs) - positions
    for atom in (0, 5, 13):
        own = batch.pair_index[0] == atom
        toward = positions[batch.pair_index[1, own]] - positions[atom]
        assert ((toward * direction[own]).sum(-1) > 0).all()
        torch.testing.assert_close(moved[atom], (length[own] * direction[own]).sum(0), atol=1e-4, rtol=1e-5)


def test_a_message_knows_who_tells_and_who_is_told(batch, pairs, refinement, generator):
    """Another state of one atom changes the messages that it sends and receives, and no others."""
    x = torch.randn(batch.n_atoms, D_MODEL, generator=generator)
    described = geometry(2 * torch.randn(batch.n_atoms, 3, generator=generator), pairs, torch.tensor(CENTERS))[0]
    changed = x.clone()
    changed[5] += 1
    differ = (refinement.messages(x, described, pairs) != refinement.messages(changed, described, pairs)).any(-1)
    assert torch.equal(differ, (batch.pair_index == 5).any(0))


def test_a_refinement_turns_and_shifts_with_the_crystal(batch, pairs, refinement, generator):
    x = torch.randn(batch.n_atoms, D_MODEL, generator=generator)
    positions = 2 * torch.randn(batch.n_atoms, 3, generator=generator)
    turn, shift = rotation(generator), torch.tensor([3.0, -1.0, 7.0])
    moved = refinement(x, positions, pairs)
    torch.testing.assert_close(refinement(x, positions @ turn + shift, pairs), moved @ turn + shift, atol=2e-4, rtol=1e-5)


def test_a_refinement_moves_atoms_along_their_pairs_alone(batch, pairs, refinement, generator):
    """A flat molecule stays flat, and methane, which has no pair, does not move at all."""
    x = torch.randn(batch.n_atoms, D_MODEL, generator=generator)
    positions = torch.randn(batch.n_atoms, 3, generator=generator)
    methane = 12
    assert torch.equal(refinement(x, positions, pairs)[methane], positions[methane])
    flat = positions * torch.tensor([1.0, 1.0, 0.0])
    assert (refinement(x, flat, pairs)[:, 2] == 0).all()


def test_atoms_on_one_spot_have_finite_gradients(batch, pairs, refinement):
    positions = torch.zeros(batch.n_atoms, 3, requires_grad=True)
    x = torch.ones(batch.n_atoms, D_MODEL)
    refinement(x, positions, pairs).sum().backward()
    assert positions.grad.isfinite().all()


def test_before_training_a_refinement_changes_nothing(batch, generator):
    torch.manual_seed(0)
    refined = PackFlow(CONFIG)
    plain = PackFlow(replace(CONFIG, n_refinements=0))
    plain.load_state_dict({name: value for name, value in refined.state_dict().items() if not name.startswith("refinements")})
    state = [torch.randn(batch.n_atoms, 3, generator=generator), torch.randn(3, 6, generator=generator)]
    times = [torch.rand(3, generator=generator) for _ in range(2)]
    for ours, expected in zip(refined(*state, *times, batch), plain(*state, *times, batch), strict=True):
        torch.testing.assert_close(ours, expected, atol=0, rtol=0)


@pytest.mark.parametrize("t", [0.02, 0.3, 1.0])
def test_the_velocity_points_at_the_refined_end(batch, generator, t):
    """x - t v is where the refinements put the end point of the plain velocity."""
    torch.manual_seed(0)
    model = PackFlow(CONFIG).requires_grad_(False)
    x = torch.randn(batch.n_atoms, D_MODEL, generator=generator)
    positions, velocity = torch.randn(2, batch.n_atoms, 3, generator=generator).unbind()
    condition = model.condition(batch)
    for refinement in model.refinements:
        refinement.step.weight.normal_(generator=generator)
    got = model.refined(x, velocity, positions, torch.full((3,), t), condition)
    end = (positions - t * velocity) * condition.position_scale
    for refinement in model.refinements:
        end = refinement(x, end, condition.pairs)
    torch.testing.assert_close((positions - t * got) * condition.position_scale, end, atol=1e-4, rtol=1e-5)
    assert not torch.allclose(got, velocity, atol=1e-3)


@pytest.fixture
def fused_calls(monkeypatch):
    """A list that grows with every call of the fused op by the model."""
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return pair_refinement(*arguments)

    monkeypatch.setattr("packflow.model.pairs.pair_refinement", counted)
    return calls


@pytest.mark.parametrize("without_gradients", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_op_gives_what_torch_gives(batch, pairs, refinement, generator, fused_calls, without_gradients):
    x = torch.randn(batch.n_atoms, D_MODEL, generator=generator)
    positions = 2 * torch.randn(batch.n_atoms, 3, generator=generator)
    expected = refinement(x, positions, pairs)
    assert not fused_calls
    refinement.requires_grad_()
    with without_gradients():
        moved = refinement(x, positions, pairs)
    assert len(fused_calls) == 1
    assert not moved.requires_grad
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_other_precisions_are_left_to_torch(batch, pairs, refinement, generator, fused_calls):
    x = torch.randn(batch.n_atoms, D_MODEL, generator=generator)
    positions = 2 * torch.randn(batch.n_atoms, 3, generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        half = refinement(x, positions, pairs)
    double = refinement.double()(x.double(), positions.double(), replace(pairs, known=pairs.known.double(), range=pairs.range.double()))
    assert not fused_calls
    assert double.dtype == torch.float64
    torch.testing.assert_close(half.double(), double, atol=0.2, rtol=0.05)


def test_a_network_learns_through_torch(batch, pairs, refinement, generator, fused_calls):
    refinement.requires_grad_()
    x, positions = torch.randn(batch.n_atoms, D_MODEL, generator=generator), torch.randn(batch.n_atoms, 3, generator=generator)
    refinement(x, positions, pairs).sum().backward()
    assert refinement.messages.source.weight.grad.any()
    assert not fused_calls


@pytest.mark.parametrize("t", [0.05, 0.4, 1.0])
def test_velocities_of_the_installed_model_are_those_of_torch(batch, generator, fused_calls, t):
    model = load("open-2m").requires_grad_(False)
    state = torch.randn(batch.n_atoms, 3, generator=generator), torch.randn(3, 6, generator=generator)
    times = torch.full((3,), t), torch.full((3,), t)
    expected = model(*state, *times, batch)
    assert not fused_calls
    with torch.inference_mode():
        got = model(*state, *times, batch)
    assert len(fused_calls) == len(model.refinements) == 2
    torch.testing.assert_close(got[0], expected[0], atol=2e-6 / t, rtol=1e-5)
    torch.testing.assert_close(got[1], expected[1], atol=0, rtol=0)

"""Integration from noise to proposals."""

import copy

import numpy as np
import pytest
import torch

from packflow.errors import InputError
from packflow.flow.draws import Draw, generator_of, in_batches, noise_of
from packflow.flow.memory import AT_ONCE, bytes_per_atom, check_memory, fitting
from packflow.flow.sampler import SampleConfig, Sampler, problems_of, sample, sample_batch, sample_batches
from packflow.flow.time_grid import TimeGrid
from packflow.flow.trajectory import Trajectory, kinds_of
from packflow.model import ModelConfig, PackFlow
from packflow.structure import CrystalBatch, FlowSpace, Molecule, Template, TemplateBatch

ASPIRIN = Template(Molecule.from_smiles("CC(=O)Oc1ccccc1C(=O)O"), 4)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = ModelConfig(64, 4, 128, 2, FlowSpace("packed"), time_scale=30.0, atom_encoding="one_hot", center_noise=True)
    return PackFlow(config).eval()


def test_same_seed_whatever_the_batch(model):
    """One generator per proposal: neither the batch size nor the number of proposals or threads matters, to 1e-3 Å."""
    whole = sample(model, ASPIRIN, 6, seed=3, config=SampleConfig(30))
    one_by_one = sample(model, ASPIRIN, 6, seed=3, config=SampleConfig(30), max_atoms=1)
    first_two = sample(model, ASPIRIN, 2, seed=3, config=SampleConfig(30))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    two_threads = sample(model, ASPIRIN, 6, seed=3, config=SampleConfig(30))
    torch.set_num_threads(threads)
    for others in (one_by_one, first_two, two_threads):
        for a, b in zip(whole, others, strict=False):
            assert a.index == b.index
            np.testing.assert_allclose(a.crystal.positions, b.crystal.positions, atol=1e-3)
            np.testing.assert_allclose(a.crystal.lattice, b.crystal.lattice, atol=1e-3)
    other_seed = sample(model, ASPIRIN, 1, seed=4, config=SampleConfig(30))[0]
    assert np.abs(other_seed.crystal.positions - whole[0].crystal.positions).max() > 0.1
    assert np.abs(whole[1].crystal.positions - whole[0].crystal.positions).max() > 0.1


def test_proposals_are_centred_crystals_of_the_template(model):
    for proposal in sample(model, ASPIRIN, 3, config=SampleConfig(5)):
        assert proposal.crystal.template is ASPIRIN
        assert np.abs(proposal.crystal.positions.mean(0)).max() < 1e-4
        assert proposal.problem == ""


@pytest.mark.parametrize("smiles", ["C", "O", "N#N"])
def test_molecules_almost_without_bonds(model, smiles):
    proposals = sample(model, Template(Molecule.from_smiles(smiles), 2), 2, config=SampleConfig(5))
    assert all(np.isfinite(p.crystal.positions).all() for p in proposals)


def test_batches_arrive_one_by_one(model):
    draws = [Draw(ASPIRIN, index, 0) for index in range(5)]
    batches = list(sample_batches(model, draws, SampleConfig(2), max_atoms=2 * ASPIRIN.n_atoms))
    assert [[p.index for p in batch] for batch in batches] == [[0, 1], [2, 3], [4]]


def test_different_molecules_in_one_batch_are_what_they_are_alone(model):
    draws = [Draw(ASPIRIN, 0, 3), Draw(Template(Molecule.from_smiles("C"), 1), 5, 7), Draw(ASPIRIN, 1, 3)]
    together = sample_batch(model, draws, SampleConfig(10))
    assert [(p.index, p.seed) for p in together] == [(0, 3), (5, 7), (1, 3)]
    for draw, proposal in zip(draws, together, strict=True):
        alone = sample_batch(model, [draw], SampleConfig(10))[0]
        assert proposal.crystal.template is draw.template
        np.testing.assert_allclose(proposal.crystal.positions, alone.crystal.positions, atol=1e-3)
        np.testing.assert_allclose(proposal.crystal.lattice, alone.crystal.lattice, atol=1e-3)


def test_batches_are_filled_to_the_budget_in_order():
    small, large = Template(ASPIRIN.molecule, 1), Template(ASPIRIN.molecule, 8)
    draws = [Draw(t, k, 0) for k, t in enumerate([small, small, large, small, small, small])]
    batches = list(in_batches(draws, 2 * small.n_atoms))
    assert [[d.index for d in batch] for batch in batches] == [[0, 1], [2], [3, 4], [5]]
    assert list(in_batches([], 10)) == []


def test_progress_counts_every_step(model):
    counts = []
    sample(model, ASPIRIN, 3, config=SampleConfig(4), max_atoms=2 * ASPIRIN.n_atoms, on_step=counts.append)
    assert sum(counts) == 3 * 4


@pytest.mark.parametrize(
    "config",
    [
        SampleConfig(8, "heun"),
        SampleConfig(8, "ab2", TimeGrid("power"), TimeGrid("quadratic")),
        SampleConfig(8, "multistep", tempering=1.5),
        SampleConfig(8, "euler", eta=1.0),
    ],
    ids=["heun", "ab2", "multistep", "ancestral"],
)
def test_every_solver_makes_the_same_proposal_whatever_the_batch(model, config):
    draws = [Draw(ASPIRIN, index, 5) for index in range(3)]
    together, alone = sample_batch(model, draws, config), sample_batch(model, draws[2:], config)[0]
    assert all(p.problem == "" for p in together)
    np.testing.assert_allclose(together[2].crystal.positions, alone.crystal.positions, atol=1e-3)
    plain = sample_batch(model, draws[2:], SampleConfig(8))[0]
    assert np.abs(plain.crystal.positions - alone.crystal.positions).max() > 1e-3


def test_half_precision_is_near_to_full_precision(model):
    full, half = (sample(model, ASPIRIN, 2, config=SampleConfig(10, precision=p))[0].crystal for p in ("float32", "bf16"))
    assert half.positions.dtype == full.positions.dtype
    difference = np.abs(half.positions - full.positions).max()
    assert 1e-4 < difference < 0.3


def test_positions_stay_centered_on_the_way(model, monkeypatch):
    """A model that starts from centered noise has seen no other states."""
    seen = []
    velocity = model.velocity

    def watched(positions, *rest, **options):
        seen.append(positions.unflatten(0, (2, -1)).mean(1).abs().max().item())
        return velocity(positions, *rest, **options)

    monkeypatch.setattr(model, "velocity", watched)
    sample(model, ASPIRIN, 2, config=SampleConfig(6))
    assert len(seen) == 6
    assert max(seen) < 1e-6


def test_condition_is_computed_once_per_batch(model, monkeypatch):
    calls = []
    condition = model.condition
    monkeypatch.setattr(model, "condition", lambda *batch: calls.append(batch) or condition(*batch))
    sample(model, ASPIRIN, 2, config=SampleConfig(7))
    assert len(calls) == 1


def test_noise_is_standard_normal():
    draws = [Draw(ASPIRIN, index, 0) for index in range(200)]
    positions, lattice = noise_of(draws, [generator_of(draw) for draw in draws])
    assert positions.shape == (200 * 52, 3)
    assert positions.std() == pytest.approx(1, abs=0.02)
    assert positions.mean() == pytest.approx(0, abs=0.02)
    assert lattice.std() == pytest.approx(1, abs=0.05)


def test_impossible_cells_are_named():
    template = Template(Molecule.from_smiles("C"), 1)
    good, thin = [5.0, 5, 5, 90, 90, 90], [300.0, 300, 2, 90, 90, 0.1]
    lattices = [good, [-5.0, 5, 5, 90, 90, 90], [5.0, 5, 5, 60, 60, 120], good, [float("nan")] * 6, thin]
    positions = torch.zeros(6, 3)
    positions[3, 1] = float("inf")
    crystals = CrystalBatch(TemplateBatch.pack([template] * 6), positions, torch.tensor(lattices))
    finite = torch.ones(6, dtype=torch.bool)
    assert problems_of(crystals, finite) == ["", "impossible cell", "impossible cell", "not finite", "not finite", "impossible cell"]
    finite[0] = False
    assert problems_of(crystals, finite)[:2] == ["not finite", "impossible cell"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_steps": 0}, "n_steps must be at least 1, got 0"),
        ({"solver": "rk4"}, "solver must be one of 'euler', .*, got 'rk4'"),
        ({"precision": "float64"}, "precision must be one of float32, bf16, got 'float64'"),
        ({"tempering": 0.0}, "tempering must be a finite number above 0"),
    ],
)
def test_configurations_without_a_meaning_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        SampleConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_samples": 0}, "n_samples must be at least 1"),
        ({"max_atoms": 0}, "max_atoms must be at least 1"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_refused(model, options, message):
    with pytest.raises(InputError, match=message):
        sample(model, ASPIRIN, **options)


def test_too_large_for_the_memory(model):
    with pytest.raises(InputError, match="lower n_copies"):
        sample(model, Template(ASPIRIN.molecule, 10**8))
    with pytest.raises(InputError, match="lower max_atoms"):
        sample(model, ASPIRIN, 10**9, max_atoms=10**11)


@pytest.mark.gpu
def test_gpu_samples_the_same_crystals(model):
    on_cpu, on_gpu = (
        sample(model, ASPIRIN, 3, config=SampleConfig(5)),
        sample(copy.deepcopy(model).cuda(), ASPIRIN, 3, config=SampleConfig(5)),
    )
    for a, b in zip(on_cpu, on_gpu, strict=True):
        np.testing.assert_allclose(a.crystal.positions, b.crystal.positions, atol=1e-2)


def test_a_batch_that_runs_out_of_memory_is_halved(model, monkeypatch):
    """The proposals are the same, and later batches are no larger than what went."""
    draws = [Draw(ASPIRIN, index, 3) for index in range(12)]
    whole = [p for batch in sample_batches(model, draws, SampleConfig(3), max_atoms=6 * ASPIRIN.n_atoms) for p in batch]
    run, tried = Trajectory.run, []

    def short_of_memory(self, draws, on_step=None):
        tried.append(len(draws))
        if len(draws) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return run(self, draws, on_step)

    monkeypatch.setattr(Trajectory, "run", short_of_memory)
    halved = list(sample_batches(model, draws, SampleConfig(3), max_atoms=6 * ASPIRIN.n_atoms))
    assert tried[:4] == [6, 3, 1, 2]
    assert max(tried[4:]) == 3
    assert [p.index for batch in halved for p in batch] == list(range(12))
    for a, b in zip(whole, [p for batch in halved for p in batch], strict=True):
        np.testing.assert_allclose(a.crystal.positions, b.crystal.positions, atol=1e-3)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")]
)
def test_a_crystal_that_does_not_fit_alone_is_an_error(model, monkeypatch, error):
    def short_of_memory(self, draws, on_step=None):
        raise error

    monkeypatch.setattr(Trajectory, "run", short_of_memory)
    with pytest.raises(InputError, match="one crystal of 52 atoms does not fit into the memory: lower n_copies"):
        list(sample_batches(model, [Draw(ASPIRIN, 0, 0)] * 3))


def test_other_errors_are_not_taken_for_a_lack_of_memory(model, monkeypatch):
    def broken(self, draws, on_step=None):
        raise RuntimeError("something else")

    monkeypatch.setattr(Trajectory, "run", broken)
    with pytest.raises(RuntimeError, match="something else"):
        list(sample_batches(model, [Draw(ASPIRIN, 0, 0)] * 3))


def test_batches_of_the_same_templates_share_a_trajectory(model, monkeypatch):
    made = []
    init = Trajectory.__init__
    monkeypatch.setattr(Trajectory, "__init__", lambda self, *rest: made.append(rest[1]) or init(self, *rest))
    draws = [Draw(ASPIRIN, index, 0) for index in range(5)]
    list(sample_batches(model, draws, SampleConfig(2), max_atoms=2 * ASPIRIN.n_atoms))
    assert [len(templates) for templates in made] == [2, 1]


def test_each_template_is_embedded_once(model, monkeypatch):
    """However many proposals of it are in the batch; the embeddings are those of the whole batch."""
    acid = Template(Molecule.from_smiles("CC(=O)O"), 2)
    templates = [ASPIRIN, acid, ASPIRIN, ASPIRIN, acid]
    batch, kinds = TemplateBatch.pack(templates), kinds_of(templates)
    assert kinds.template.sizes == [ASPIRIN.n_atoms, acid.n_atoms]
    shared, plain = model.condition(batch, kinds), model.condition(batch)
    torch.testing.assert_close(shared.atom_embedding, plain.atom_embedding, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(shared.edge_bias, plain.edge_bias, rtol=1e-5, atol=1e-6)
    assert torch.equal(shared.bonds.column, plain.bonds.column)


def test_times_are_embedded_once_for_all_stages(model, monkeypatch):
    calls = []
    times = model.times
    monkeypatch.setattr(model, "times", lambda *t: calls.append(len(t[0])) or times(*t))
    sample(model, ASPIRIN, 2, config=SampleConfig(7, "heun"))
    assert calls == [13]


def test_as_many_atoms_at_once_as_the_memory_allows(model, monkeypatch):
    monkeypatch.setattr("packflow.flow.memory.free_bytes", lambda device: 10**12)
    assert fitting(model) == AT_ONCE["cpu"]
    monkeypatch.setattr("packflow.flow.memory.free_bytes", lambda device: 2 * 1000 * bytes_per_atom(model))
    assert (fitting(model), fitting(model, n_workers=4)) == (1000, 250)
    with pytest.raises(InputError, match=r"600 atoms at once in each of 4 workers need .*: lower max_atoms or use fewer workers"):
        check_memory(model, 10, 10**6, 600, n_workers=4)


@pytest.mark.gpu
@pytest.mark.parametrize("config", [SampleConfig(8, "multistep"), SampleConfig(8, "heun"), SampleConfig(8, "euler", eta=1.0)], ids=str)
def test_gpu_replays_a_captured_stage(model, config):
    """Batch after batch through the same graph; noise comes from the host, so nothing is captured with it."""
    draws = [Draw(ASPIRIN, index, 3) for index in range(6)]
    on_gpu = copy.deepcopy(model).cuda()
    sampler = Sampler(on_gpu, config)
    got = [p for k in (0, 2, 4) for p in sampler.sample(draws[k : k + 2])]
    assert (sampler.trajectory.integration.graph is None) == (config.eta > 0)
    for draw, proposal in zip(draws, got, strict=True):
        alone = sample_batch(model, [draw], config)[0]
        np.testing.assert_allclose(proposal.crystal.positions, alone.crystal.positions, atol=1e-2)

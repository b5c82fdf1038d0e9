"""The single-time surrogate in one packed batch against a loop over proposals, the released code, and finite differences."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from packflow.flow.loss import LossConfig, TimeConfig
from packflow.flow.path import CrystalPath, FlowPath, PathConfig
from packflow.flow.single_time import FrozenDraws, encodable, freeze
from packflow.model import ModelConfig, PackFlow
from packflow.model.official import our_tensors
from packflow.structure import Crystal, FlowSpace, Molecule, Template, TemplateBatch

FIXTURES = Path(__file__).parents[3] / "shared" / "parity"
ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
SMILES = ["CC(=O)O", "c1ccccc1", "NC=O"]
SPACES = {"paper": FlowSpace(), "packed": FlowSpace("packed")}
PATH = PathConfig(center_noise=True, assign_copies=True)


def seeded(n):
    return [torch.Generator().manual_seed(100 + k) for k in range(n)]


@pytest.fixture
def crystals():
    random = np.random.default_rng(0)
    templates = [Template(Molecule.from_smiles(s), 1 + k) for k, s in enumerate(SMILES)]
    lattice = np.array([6.0, 7.0, 8.0, 85.0, 95.0, 100.0])
    return [Crystal(t, 2 * random.normal(size=(t.n_atoms, 3)), lattice + random.uniform(-1, 1, 6)) for t in templates]


@pytest.fixture(params=SPACES)
def space(request):
    return SPACES[request.param]


@pytest.fixture
def model(space):
    torch.manual_seed(0)
    return PackFlow(ModelConfig(32, 4, 64, 2, space))


def by_loop(model, crystal, generator, space, config, n_draws):
    """The formula at the same times and noises, one call of the network for each draw."""
    frozen = freeze([crystal], [generator], space, PATH, n_draws=n_draws).path
    template, n = TemplateBatch.pack([crystal.template]), crystal.template.n_atoms
    positions, lattice = space.encode(
        torch.from_numpy(crystal.positions).float(), torch.from_numpy(crystal.lattice).float()[None], template
    )
    total = 0.0
    for k in range(n_draws):
        t = frozen.positions.t[k]
        assert t == frozen.lattice.t[k]  # shared
        noise, noise_lattice = frozen.positions.noise[n * k : n * (k + 1)], frozen.lattice.noise[k : k + 1]
        x, cell = (1 - t) * positions + t * noise, (1 - t) * lattice + t * noise_lattice
        v, v_lattice = model(x, cell, t[None], t[None], template)
        total = (
            total + (v - noise + positions).square().mean() + config.lattice_weight * (v_lattice - noise_lattice + lattice).square().mean()
        )
    return total / n_draws


@pytest.mark.parametrize("n_draws", [1, 3])
def test_a_batch_is_the_loop_over_proposals(crystals, model, space, n_draws):
    config = LossConfig(lattice_weight=0.3)
    found = freeze(crystals, seeded(3), space, PATH, n_draws=n_draws).losses(model, space, config)
    wanted = torch.stack([by_loop(model, c, g, space, config, n_draws) for c, g in zip(crystals, seeded(3), strict=True)])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    weights = torch.tensor([1.0, -2.0, 0.5])
    ours = torch.autograd.grad((weights * found).sum(), list(model.parameters()))
    theirs = torch.autograd.grad((weights * wanted).sum(), list(model.parameters()))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_draws_of_a_proposal_do_not_depend_on_its_batch(crystals, space):
    together, alone = freeze(crystals, seeded(3), space, PATH, n_draws=2), freeze(crystals[1:2], seeded(3)[1:2], space, PATH, n_draws=2)
    first = 2 * crystals[0].template.n_atoms
    rows = slice(first, first + 2 * crystals[1].template.n_atoms)
    assert torch.equal(together.path.positions.noise[rows], alone.path.positions.noise)
    assert torch.equal(together.path.lattice.noise[2:4], alone.path.lattice.noise)
    assert torch.equal(together.path.lattice.t[2:4], alone.path.lattice.t)
    assert len(together.path.lattice.t.unique()) == 6


def test_separate_times_are_an_option(crystals, space):
    path = freeze(crystals, seeded(3), space, PATH, TimeConfig()).path
    assert not torch.equal(path.positions.t, path.lattice.t)


def test_more_draws_vary_less(crystals, model, space):
    """The variance of the mean of eight draws is an eighth of that of one; a third is asked for, which chance does not miss."""
    with torch.no_grad():
        of_one, of_eight = (
            torch.cat([freeze(crystals[:1], [g], space, PATH, n_draws=n).losses(model, space, LossConfig()) for g in seeded(64)])
            for n in (1, 8)
        )
    assert of_eight.var() < of_one.var() / 3
    assert of_eight.mean().item() == pytest.approx(of_one.mean().item(), rel=0.3)


def test_gradients_agree_with_finite_differences(crystals, model, space):
    frozen, config = freeze(crystals, seeded(3), space, PATH, n_draws=2), LossConfig()
    direction = {
        name: torch.randn(p.shape, generator=torch.Generator().manual_seed(k)) for k, (name, p) in enumerate(model.named_parameters())
    }
    gradients = torch.autograd.grad(frozen.losses(model, space, config).sum(), list(model.parameters()))
    slope = sum((g * direction[name]).sum() for g, (name, _) in zip(gradients, model.named_parameters(), strict=True)).item()

    def moved(step):
        other = copy.deepcopy(model)
        with torch.no_grad():
            for name, p in other.named_parameters():
                p += step * direction[name]
            return frozen.losses(other, space, config).sum().double().item()

    assert (moved(1e-3) - moved(-1e-3)) / 2e-3 == pytest.approx(slope, rel=2e-2, abs=1e-2)


def test_what_has_no_state_is_told_and_refused(crystals):
    lattice = crystals[1].lattice.copy()
    lattice[0] = -1.0
    broken = [crystals[0], Crystal(crystals[1].template, crystals[1].positions, lattice)]
    broken.append(Crystal(crystals[2].template, np.full_like(crystals[2].positions, np.nan), crystals[2].lattice))
    assert encodable(broken, FlowSpace("packed"))[::2] == [True, False]
    assert encodable(broken, FlowSpace()) == [True, True, False]
    assert encodable([], FlowSpace()) == []
    with pytest.raises(ValueError, match="crystal 2 has none"):
        freeze(broken, seeded(3), FlowSpace(), PATH)
    with pytest.raises(ValueError, match="n_draws must be at least 1, got 0"):
        freeze(crystals, seeded(3), FlowSpace(), PATH, n_draws=0)


@pytest.fixture
def recorded():
    if not FIXTURES.is_dir():
        pytest.skip(f"no parity fixtures at {FIXTURES}")
    return json.loads((FIXTURES / "grpo.json").read_text())["per_sample"], load_file(FIXTURES / "grpo_inputs.safetensors")


def test_losses_are_those_of_the_released_code(recorded):
    rows, inputs = recorded
    four, space = range(4), FlowSpace()
    template = TemplateBatch.pack([Template(Molecule.from_smiles(ASPIRIN), 4)] * 4)
    lattices = torch.stack([inputs[f"lattice{k}"] for k in four])
    positions, lattice = space.encode(torch.cat([inputs[f"coords{k}"] for k in four]), lattices, template)
    t = torch.cat([inputs[f"t{k}"][0] for k in four])
    noises = [torch.cat([inputs[f"noise_{x}{k}"] for k in four]) for x in "xl"]
    path = CrystalPath(template, FlowPath(positions, noises[0], t, template.crystal_index), FlowPath(lattice, noises[1], t))
    model = PackFlow(ModelConfig(64, 4, 128, 3, compat=True))
    state = load_file(FIXTURES / "weights_small.safetensors")
    model.load_state_dict(our_tensors(state, model, FIXTURES / "weights_small.safetensors"))
    with torch.no_grad():
        found = FrozenDraws(path, 1).losses(model, space, LossConfig())
    assert found.tolist() == pytest.approx([row["old"] for row in rows], rel=1e-6)

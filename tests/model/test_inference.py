"""The network without gradients: fewer passes over memory, the same numbers."""

import copy

import pytest
import torch

from packflow import Molecule, Template, TemplateBatch
from packflow.model import ModelConfig, PackFlow, inference
from packflow.model.inference import for_inference
from packflow.structure import FlowSpace

TEMPLATES = [Template(Molecule.from_smiles("CC(=O)Oc1ccccc1C(=O)O"), 4), Template(Molecule.from_smiles("C"), 1)]


@pytest.fixture(params=["bias", "none"])
def model(request):
    torch.manual_seed(0)
    return PackFlow(ModelConfig(64, 4, 128, 3, FlowSpace("packed"), bonds=request.param, n_refinements=1)).eval()


def state_of(batch: TemplateBatch, generator: torch.Generator) -> list[torch.Tensor]:
    n = batch.n_crystals
    return [torch.randn(*shape, generator=generator) for shape in ((batch.n_atoms, 3), (n, 6))] + [
        torch.tensor([0.7] * n),
        torch.tensor([0.4] * n),
    ]


def velocity(model: PackFlow, state: list[torch.Tensor], batch: TemplateBatch, half: bool = False) -> torch.Tensor:
    with torch.inference_mode(), torch.autocast(batch.atom_ptr.device.type, torch.bfloat16, enabled=half):
        return torch.cat([x.float().ravel() for x in model(*state, batch)])


def test_the_same_velocities(model, generator):
    batch = TemplateBatch.pack(TEMPLATES)
    state = state_of(batch, generator)
    torch.testing.assert_close(velocity(for_inference(model), state, batch), velocity(model, state, batch), rtol=1e-4, atol=1e-5)


def test_without_fused_products(model, generator, monkeypatch):
    batch = TemplateBatch.pack(TEMPLATES)
    state = state_of(batch, generator)
    fused = velocity(for_inference(model), state, batch)
    monkeypatch.setattr(inference, "has_fused_product", lambda: False)
    torch.testing.assert_close(velocity(for_inference(model), state, batch), fused, rtol=1e-4, atol=1e-5)


def test_half_precision_is_that_of_autocast(model, generator):
    """As near to float32 as the plain network under autocast, whose residual stream is the same."""
    batch = TemplateBatch.pack(TEMPLATES)
    state = state_of(batch, generator)
    exact = velocity(model, state, batch)
    plain, fast = velocity(model, state, batch, True), velocity(for_inference(model, torch.bfloat16), state, batch, True)
    assert 1e-4 < (fast - exact).norm() / exact.norm() < 1.2 * (plain - exact).norm() / exact.norm()


def test_the_model_is_left_as_it_is(model):
    before = copy.deepcopy(model.state_dict())
    fast = for_inference(model, torch.bfloat16)
    assert type(model.encoder).__name__ == "Encoder"
    assert fast.refinements is model.refinements
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_tokens_that_come_in_are_left_as_they_are(model, generator):
    batch = TemplateBatch.pack(TEMPLATES)
    x, condition = torch.randn(batch.n_atoms, 64, generator=generator), model.condition(batch)
    before = x.clone()
    with torch.inference_mode():
        for_inference(model).encoder(x, condition.edge_bias, condition.atom_ptr, condition.bonds)
    assert torch.equal(x, before)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gpu(model, generator, dtype):
    batch = TemplateBatch.pack(TEMPLATES)
    state = state_of(batch, generator)
    exact = velocity(model, state, batch)
    fast = for_inference(copy.deepcopy(model).cuda(), dtype)
    got = velocity(fast, [x.cuda() for x in state], batch.to("cuda"), dtype == torch.bfloat16).cpu()
    assert (got - exact).norm() / exact.norm() < (1e-3 if dtype == torch.float32 else 5e-2)

"""Our network and loss against numbers recorded from the authors' released code (paper section 4.1, MIT licence)."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from packflow.flow.loss import LossConfig, flow_matching_loss
from packflow.flow.path import CrystalPath, FlowPath
from packflow.flow.sampler import integrate
from packflow.model import ModelConfig, PackFlow
from packflow.structure import FlowSpace, TemplateBatch

FIXTURES = Path(__file__).parents[3] / "shared" / "parity"
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no parity fixtures at {FIXTURES}")

SIZES = {"small": (64, 4, 128, 3), "2M": (256, 8, 512, 4)}

PREFIXES = {
    "cart_coords_embedder": "embed_positions",
    "_node_feat_mlp": "embed_atoms",
    "lattice_embedder": "embed_lattice",
    "time_cart_embedder": "embed_t_positions.mlp",
    "time_lattice_embedder": "embed_t_lattice.mlp",
    "attn_bias_builder.edge_to_headlogits": "bond_bias",
    "cart_coords_output_head": "head_positions",
    "lattice_output_head": "head_lattice",
    "transformer": "encoder",
}
PARTS = {
    "mha.in_proj_": "attention_in.",
    "mha.out_proj": "attention_out",
    "linear1": "feedforward_in",
    "linear2": "feedforward_out",
    "norm1": "norm_attention",
    "norm2": "norm_feedforward",
}
# Of the recipe for random weights, beside 1.
SPREADS = {"_node_feat_mlp.0.weight": 0.2, "attn_bias_builder.edge_to_headlogits.2.weight": 4.0}
# A bias that is constant along a row cancels in softmax, and a fixed factor of one.
WITHOUT_COUNTERPART = ("attn_bias_builder.head_bias_base", "attn_bias_scale")


def our_name(official):
    prefix = next(p for p in PREFIXES if official.startswith(p))
    name = PREFIXES[prefix] + official.removeprefix(prefix)
    for theirs, ours in PARTS.items():
        name = name.replace(theirs, ours)
    return name


@pytest.fixture(scope="module")
def meta():
    return json.loads((FIXTURES / "meta.json").read_text())


@pytest.fixture(scope="module")
def inputs():
    return load_file(FIXTURES / "inputs.safetensors")


@pytest.fixture(scope="module")
def outputs():
    return load_file(FIXTURES / "outputs_small.safetensors")


def rebuilt_weights(shapes, seed):
    """The recipe of the fixtures' README."""
    random, state = np.random.RandomState(seed), {}
    for key in sorted(shapes):
        if key == "attn_bias_scale":
            continue
        z = random.standard_normal(shapes[key])
        if len(z.shape) >= 2:
            z = z / np.sqrt(z.shape[1]) * SPREADS.get(key, 1.0)
        elif "norm" in key and key.endswith("weight"):
            z = 1 + 0.1 * z
        else:
            z = (0.5 if key.endswith("head_bias_base") else 0.1) * z
        state[key] = torch.from_numpy(z.astype(np.float32))
    return state


def model_of(size, official):
    model = PackFlow(ModelConfig(*SIZES[size]))
    model.load_state_dict({our_name(k): v for k, v in official.items() if k not in WITHOUT_COUNTERPART}, strict=True)
    return model


@pytest.fixture(scope="module", params=["small", "2M"])
def size(request):
    return request.param


@pytest.fixture(scope="module")
def model(size, meta):
    return model_of(size, rebuilt_weights(meta["state_dict"][size], meta["seeds"][size]))


def template_of(inputs, bond_features):
    sizes = torch.bincount(inputs["batch"])
    return TemplateBatch(
        atomic_numbers=inputs["atom_types"],
        atom_features=inputs["node_features"].to(torch.uint8),
        bond_index=inputs["edge_index"],
        bond_features=inputs[bond_features],
        atom_ptr=torch.cat([torch.zeros(1), sizes.cumsum(0)]).int(),
        n_copies=torch.tensor([4, 2, 3]),
    )


def test_recipe_rebuilds_the_recorded_weights(meta):
    stored = load_file(FIXTURES / "weights_small.safetensors")
    rebuilt = rebuilt_weights(meta["state_dict"]["small"], meta["seeds"]["small"])
    for key, value in rebuilt.items():
        assert torch.equal(value, stored[key]), key


@pytest.mark.parametrize(
    ("config", "n_official"),
    [
        (ModelConfig(256, 8, 512, 4), 2_610_649),
        (ModelConfig(320, 8, 1280, 12), 15_566_489),
        (ModelConfig(640, 10, 2560, 12), 62_057_181),
        (ModelConfig(64, 4, 128, 3), 140_241),
    ],
    ids=["2M", "20M", "60M", "small"],
)
def test_parameter_count_is_the_papers_without_the_head_baseline(config, n_official):
    with torch.device("meta"):
        model = PackFlow(config)
    assert sum(p.numel() for p in model.parameters()) == n_official - config.n_heads


@pytest.mark.parametrize(("bond_features", "suffix"), [("bond_features_aligned", "_aligned"), ("bond_features", "")])
def test_velocities_of_the_small_model(inputs, outputs, meta, bond_features, suffix):
    model = model_of("small", rebuilt_weights(meta["state_dict"]["small"], meta["seeds"]["small"]))
    with torch.no_grad():
        velocities = model(
            inputs["x_t"], inputs["lattice_t"], inputs["t_cart"][:, 0], inputs["t_lattice"][:, 0], template_of(inputs, bond_features)
        )
    # 2e-6 is twice the recorded difference between their float32 and float64.
    for name, velocity in zip(("v_cart", "v_lattice"), velocities, strict=True):
        torch.testing.assert_close(velocity, outputs[name + suffix], atol=2e-6, rtol=0)


def test_edge_bias_is_their_dense_bias_at_the_bonds(inputs, outputs, meta):
    weights = rebuilt_weights(meta["state_dict"]["small"], meta["seeds"]["small"])
    condition = model_of("small", weights).condition(template_of(inputs, "bond_features"))
    # The recorded tensor has the size of crystal 0, but the 56 bonds of crystal 1.
    first, last = condition.atom_ptr[1:3].tolist()
    edges = slice(*condition.bonds.row_ptr[[first, last]].tolist())
    source = torch.repeat_interleave(condition.bonds.row_ptr[first : last + 1].diff().long())
    target = condition.bonds.column[edges].long() - first
    expected = torch.zeros_like(outputs["dense_bias"])
    expected[:, source, target] = condition.edge_bias[edges].detach().T
    without_baseline = outputs["dense_bias"] - weights["attn_bias_builder.head_bias_base"][:, None, None]
    torch.testing.assert_close(without_baseline, expected, atol=2e-6, rtol=0)


def test_time_features_are_theirs(outputs):
    features = PackFlow(ModelConfig(64, 4, 128, 3)).embed_t_positions.features(outputs["time_embed_in"][:, 0])
    torch.testing.assert_close(features, outputs["time_embed"], atol=1e-6, rtol=0)


def loss_parts(model, inputs, outputs):
    """Losses at the recorded times and noises."""
    positions = FlowPath(inputs["x0"], outputs["loss_z_cart"], outputs["loss_t_cart"][:, 0], inputs["batch"])
    lattice = FlowPath(outputs["loss_lattice_0"], outputs["loss_z_lattice"], outputs["loss_t_lattice"][:, 0])
    torch.testing.assert_close(positions.state, outputs["loss_cart_coords_t"], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(lattice.state, outputs["loss_lattice_t"], atol=1e-6, rtol=1e-6)
    template = template_of(inputs, "bond_features")
    path = CrystalPath(template, positions, lattice)
    return flow_matching_loss(path.velocities(model), path, FlowSpace(), LossConfig(kind="velocity"))


def test_losses(size, model, inputs, outputs, meta):
    loss = loss_parts(model, inputs, outputs)
    expected = meta["loss"][size]
    got = [part.item() for part in (loss.total, loss.positions, loss.lattice)]
    assert got == pytest.approx([expected["total_loss"], expected["cart_loss"], expected["lattice_loss"]], rel=1e-6)


def test_gradients(size, model, inputs, outputs, meta):
    model.zero_grad()
    loss_parts(model, inputs, outputs).total.backward()
    ours = {name: p.grad for name, p in model.named_parameters()}
    for official, norm in meta["grad_norms"][size].items():
        if official not in WITHOUT_COUNTERPART:
            assert float(ours[our_name(official)].norm()) == pytest.approx(norm, rel=1e-5), official
    if size == "small":
        for name, expected in outputs.items():
            official = name.removeprefix("grad.")
            if name.startswith("grad.") and official not in WITHOUT_COUNTERPART:
                error = (ours[our_name(official)] - expected).norm() / expected.norm()
                assert error < 5e-6, official


@torch.no_grad()
def test_twenty_euler_steps(inputs, outputs, meta):
    """The released sampler on its linear grid, whose steps add up to one; tolerance of the fixtures, in Å and degrees."""
    model = model_of("small", rebuilt_weights(meta["state_dict"]["small"], meta["seeds"]["small"]))
    template = template_of(inputs, "bond_features")
    velocity = partial(model.velocity, condition=model.condition(template))
    positions, flow_lattice = integrate(velocity, outputs["sample_init_x"], outputs["sample_init_lattice"], 20)
    torch.testing.assert_close(positions, outputs["sample_linear_x"], atol=1e-5, rtol=0)
    torch.testing.assert_close(flow_lattice, outputs["sample_linear_lattice_state"], atol=1e-5, rtol=0)
    lattice = model.space.decode(positions, flow_lattice, template)[1]
    torch.testing.assert_close(lattice, outputs["sample_linear_lattice_params"], atol=1e-4, rtol=0)

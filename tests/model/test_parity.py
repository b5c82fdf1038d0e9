"""Our network and loss against numbers recorded from the authors' released code (paper section 4.1, MIT licence)."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import packflow
from packflow.flow.integrate import integrate
from packflow.flow.loss import LossConfig, flow_matching_loss
from packflow.flow.path import CrystalPath, FlowPath
from packflow.flow.solvers import solver_stages
from packflow.flow.time_grid import TimeGrid
from packflow.model import ModelConfig, PackFlow
from packflow.model.compat import misaligned_rows
from packflow.model.official import official_name
from packflow.structure import FlowSpace, Molecule, Template, TemplateBatch
from packflow.structure.lattice import angles_decode, angles_encode

FIXTURES = Path(__file__).parents[3] / "shared" / "parity"
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no parity fixtures at {FIXTURES}")

SIZES = {"small": (64, 4, 128, 3), "2M": (256, 8, 512, 4)}

# Grids of positions and lattice in the recorded "mixed" samples: no other pair gives them.
MIXED = ("linear", "quadratic")
# A bias that is constant along a row cancels in softmax, and a fixed factor of one.
WITHOUT_COUNTERPART = ("attn_bias_builder.head_bias_base", "attn_bias_scale")


@pytest.fixture(scope="module")
def meta():
    return json.loads((FIXTURES / "meta.json").read_text())


@pytest.fixture(scope="module")
def inputs():
    return load_file(FIXTURES / "inputs.safetensors")


@pytest.fixture(scope="module")
def outputs():
    return load_file(FIXTURES / "outputs_small.safetensors")


@pytest.fixture(scope="module", params=list(SIZES))
def size(request):
    return request.param


@pytest.fixture(scope="module")
def small_state():
    return load_file(FIXTURES / "weights_small.safetensors")


@pytest.fixture(scope="module")
def state(size, meta, small_state, official_state):
    return small_state if size == "small" else official_state(meta["state_dict"][size], meta["seeds"][size])


@pytest.fixture(scope="module")
def model(state, official_file, tmp_path_factory):
    """Written as the released trainer does, loaded as a user does."""
    return packflow.load(official_file(tmp_path_factory.mktemp("official") / "best_model.pt", state))


@pytest.fixture(scope="module")
def small(small_state, official_file, tmp_path_factory):
    return packflow.load(official_file(tmp_path_factory.mktemp("small") / "best_model.pt", small_state))


def template_of(inputs):
    """With each bond's own features: a compat model misaligns them itself."""
    sizes = torch.bincount(inputs["batch"])
    return TemplateBatch(
        atomic_numbers=inputs["atom_types"],
        atom_features=inputs["node_features"].to(torch.uint8),
        bond_index=inputs["edge_index"],
        bond_features=inputs["bond_features_aligned"],
        pair_index=torch.zeros(2, 0, dtype=torch.int64),
        pair_features=torch.zeros(0, 3),
        atom_ptr=torch.cat([torch.zeros(1), sizes.cumsum(0)]).int(),
        n_copies=torch.tensor([4, 2, 3]),
    )


def test_recipe_rebuilds_the_recorded_weights(meta, small_state, official_shapes, official_state):
    shapes = official_shapes(*SIZES["small"])
    assert {key: list(shape) for key, shape in shapes.items()} == meta["state_dict"]["small"]
    rebuilt = official_state(shapes, meta["seeds"]["small"])
    for key, value in rebuilt.items():
        assert torch.equal(value, small_state[key]), key


def test_recipe_gives_the_probed_weights_of_2m(meta, official_shapes, official_state):
    rebuilt, probe = official_state(official_shapes(*SIZES["2M"]), meta["seeds"]["2M"]), meta["state_dict_probe"]["2M"]
    assert rebuilt.keys() == probe.keys()
    for key, (total, first) in probe.items():
        assert rebuilt[key].double().sum().item() == pytest.approx(total, rel=1e-9, abs=1e-9), key
        assert rebuilt[key].flatten()[0].item() == first, key


def test_sizes_are_inferred(model, size):
    config = model.config
    assert (config.d_model, config.n_heads, config.d_feedforward, config.n_layers) == SIZES[size]
    assert config == ModelConfig(*SIZES[size], compat=True)


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


def test_templates_of_the_molecules_have_the_recorded_features(inputs, meta):
    """From SMILES to what the released network is fed, misaligned bonds included."""
    template = TemplateBatch.pack([Template(Molecule.from_smiles(m["smiles"]), m["Z"]) for m in meta["molecules"]])
    assert torch.equal(template.bond_index, inputs["edge_index"])
    assert torch.equal(template.atom_features.long(), inputs["node_features"].long())
    assert torch.equal(template.bond_features.long(), inputs["bond_features_aligned"].long())
    assert torch.equal(template.bond_features[misaligned_rows(template)].long(), inputs["bond_features"].long())


def velocities_at(model, inputs):
    return model(inputs["x_t"], inputs["lattice_t"], inputs["t_cart"][:, 0], inputs["t_lattice"][:, 0], template_of(inputs))


@pytest.mark.parametrize("suffix", ["", "_fast"])
@torch.no_grad()
def test_velocities_of_the_small_model(small, inputs, outputs, suffix):
    # 2e-6 is twice the recorded difference between their float32 and float64.
    for name, velocity in zip(("v_cart", "v_lattice"), velocities_at(small, inputs), strict=True):
        torch.testing.assert_close(velocity, outputs[name + suffix], atol=2e-6, rtol=0)


@torch.no_grad()
def test_velocities_with_aligned_bonds(small, inputs, outputs, monkeypatch):
    monkeypatch.setattr(small, "config", replace(small.config, compat=False))
    for name, velocity in zip(("v_cart", "v_lattice"), velocities_at(small, inputs), strict=True):
        torch.testing.assert_close(velocity, outputs[f"{name}_aligned"], atol=2e-6, rtol=0)


def test_the_description_is_what_they_compute(small_state, inputs, outputs, official_forward):
    """The oracle of tests that need no recorded numbers, in float64 as it is and was."""
    arguments = inputs["x_t"], inputs["lattice_t"], inputs["t_cart"][:, 0], inputs["t_lattice"][:, 0], template_of(inputs)
    velocities = official_forward(small_state, *arguments, inputs["bond_features"])
    # Their frequencies of the times are float32, whose exp differs by its last bit between processors: 1.2e-9 was seen.
    for name, velocity in zip(("v_cart_fp64", "v_lattice_fp64"), velocities, strict=True):
        torch.testing.assert_close(velocity, outputs[name], atol=5e-9, rtol=0)


@torch.no_grad()
def test_velocities_are_those_of_the_description(model, state, inputs, official_forward):
    """For 2M no velocities were recorded."""
    arguments = inputs["x_t"], inputs["lattice_t"], inputs["t_cart"][:, 0], inputs["t_lattice"][:, 0], template_of(inputs)
    expected = official_forward(state, *arguments, inputs["bond_features"])
    for velocity, theirs in zip(velocities_at(model, inputs), expected, strict=True):
        torch.testing.assert_close(velocity.double(), theirs, atol=2e-6, rtol=0)


def test_edge_bias_is_their_dense_bias_at_the_bonds(small, small_state, inputs, outputs):
    condition = small.condition(template_of(inputs))
    # The recorded tensor has the size of crystal 0, but the 56 bonds of crystal 1.
    first, last = condition.atom_ptr[1:3].tolist()
    edges = slice(*condition.bonds.row_ptr[[first, last]].tolist())
    source = torch.repeat_interleave(condition.bonds.row_ptr[first : last + 1].diff().long())
    target = condition.bonds.column[edges].long() - first
    expected = torch.zeros_like(outputs["dense_bias"])
    expected[:, source, target] = condition.edge_bias[edges].detach().T
    without_baseline = outputs["dense_bias"] - small_state["attn_bias_builder.head_bias_base"][:, None, None]
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
    template = template_of(inputs)
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
    ours_of = {official_name(name): name for name in ours}
    for official, norm in meta["grad_norms"][size].items():
        if official not in WITHOUT_COUNTERPART:
            assert float(ours[ours_of[official]].norm()) == pytest.approx(norm, rel=1e-5), official
    if size == "small":
        for name, expected in outputs.items():
            official = name.removeprefix("grad.")
            if name.startswith("grad.") and official not in WITHOUT_COUNTERPART:
                error = (ours[ours_of[official]] - expected).norm() / expected.norm()
                assert error < 5e-6, official


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("linear", ("linear", "linear")),
        ("quadratic", ("quadratic", "quadratic")),
        ("exponential", ("exponential", "exponential")),
        ("mixed", MIXED),
    ],
    ids=["linear", "quadratic", "exponential", "mixed"],
)
@torch.no_grad()
def test_twenty_euler_steps(small, inputs, outputs, name, kinds):
    """The released sampler; tolerance of the fixtures, in Å and degrees."""
    template = template_of(inputs)
    field = partial(small.forward, template=template)
    grids = [TimeGrid(kind, compat=True) for kind in kinds]
    positions, flow_lattice, _ = integrate(
        field, outputs["sample_init_x"], outputs["sample_init_lattice"], template.atom_ptr, solver_stages("euler", 20, *grids)
    )
    torch.testing.assert_close(positions, outputs[f"sample_{name}_x"], atol=1e-5, rtol=0)
    torch.testing.assert_close(flow_lattice, outputs[f"sample_{name}_lattice_state"], atol=1e-5, rtol=0)
    lattice = small.space.decode(positions, flow_lattice, template)[1]
    torch.testing.assert_close(lattice, outputs[f"sample_{name}_lattice_params"], atol=1e-4, rtol=0)


def test_times_are_theirs():
    for kind, of_steps in json.loads((FIXTURES / "lattice.json").read_text())["time_grids"].items():
        for n_steps, gone in of_steps.items():
            times = [t for t, _ in TimeGrid(kind, compat=True).steps(int(n_steps))]
            assert times == pytest.approx([1 - g for g in gone], abs=1e-7)


def test_lattices_are_theirs():
    """Saturating angles included."""
    recorded = json.loads((FIXTURES / "lattice.json").read_text())
    for case in recorded["constrained"]:
        encoded = angles_encode(torch.tensor(case["params"], dtype=torch.float32))
        torch.testing.assert_close(encoded, torch.tensor(case["unconstrained"]), atol=1e-5, rtol=1e-6)
        torch.testing.assert_close(angles_decode(encoded), torch.tensor(case["roundtrip"]), atol=2e-5, rtol=0)
    for case in recorded["unconstrained"]:
        decoded = angles_decode(torch.tensor(case["unconstrained"], dtype=torch.float32))
        torch.testing.assert_close(decoded, torch.tensor(case["params"]), atol=2e-5, rtol=0)

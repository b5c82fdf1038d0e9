"""Checkpoints in the format of the authors' code with made-up weights, and that code's forward pass as its description tells it."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import gelu, layer_norm, silu

# Of the recipe for random weights, beside 1.
SPREADS = {"_node_feat_mlp.0.weight": 0.2, "attn_bias_builder.edge_to_headlogits.2.weight": 4.0}


def mlp_shapes(name, n_in, d, n_out, first_bias):
    shapes = {f"{name}.0.weight": (d, n_in), f"{name}.2.weight": (n_out, d), f"{name}.2.bias": (n_out,)}
    return {**shapes, f"{name}.0.bias": (d,)} if first_bias else shapes


def layer_shapes(name, d, f):
    shapes = {"mha.in_proj_weight": (3 * d, d), "mha.in_proj_bias": (3 * d,), "mha.out_proj.weight": (d, d), "mha.out_proj.bias": (d,)}
    shapes |= {"linear1.weight": (f, d), "linear1.bias": (f,), "linear2.weight": (d, f), "linear2.bias": (d,)}
    shapes |= {f"norm{k}.{part}": (d,) for k in (1, 2) for part in ("weight", "bias")}
    return {f"{name}.{part}": shape for part, shape in shapes.items()}


@pytest.fixture(scope="session")
def official_shapes():
    """A function: width, heads, feed-forward width and layers to the name and shape of every tensor."""

    def make(d, n_heads, f, n_layers):
        shapes = {"attn_bias_scale": (), "attn_bias_builder.head_bias_base": (n_heads,)}
        shapes |= mlp_shapes("attn_bias_builder.edge_to_headlogits", 2, 64, n_heads, first_bias=True)
        for name, n_in in (("cart_coords_embedder", 3), ("lattice_embedder", 6), ("_node_feat_mlp", 10)):
            shapes |= mlp_shapes(name, n_in, d, d, first_bias=False)
        for name in ("time_cart_embedder", "time_lattice_embedder"):
            shapes |= mlp_shapes(name, 64, d, d, first_bias=True)
        for name, n_out in (("cart_coords_output_head", 3), ("lattice_output_head", 6)):
            shapes |= mlp_shapes(name, d, d, n_out, first_bias=True)
        for k in range(n_layers):
            shapes |= layer_shapes(f"transformer.layers.{k}", d, f)
        return shapes | {"transformer.norm.weight": (d,), "transformer.norm.bias": (d,)}

    return make


@pytest.fixture(scope="session")
def official_state():
    """A function: names and shapes to random weights, by the recipe of the parity fixtures' README."""

    def make(shapes, seed):
        random, state = np.random.RandomState(seed), {}
        for key in sorted(shapes):
            if key == "attn_bias_scale":
                state[key] = torch.tensor(1.0)
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

    return make


@pytest.fixture(scope="session")
def official_file():
    """A function that writes weights as the released trainer does, with what else it stores."""

    def write(path, state, **changes):
        content = {
            "epoch": 7,
            "model_state_dict": state,
            "optimizer_state_dict": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 3e-5, "params": [0]}]},
            "loss": 1.5,
            "lattice_loss_weight": 1.0,
            "shared_time": False,
            "model_config": {"max_num_elements": 100, "time_embed_dim": 64, "frac_coords_dim": 3, "lattice_dim": 6},
            "training_config": {"lr": 3e-5, "n_epochs": 10},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({**content, **changes}, path)
        return path

    return write


@pytest.fixture(scope="session")
def official_forward():
    """The released forward pass in float64, dense, one crystal after the other; features of the bonds as their code lists them."""

    def mlp(state, name, x):
        hidden = silu(x @ state[f"{name}.0.weight"].T + state.get(f"{name}.0.bias", 0))
        return hidden @ state[f"{name}.2.weight"].T + state[f"{name}.2.bias"]

    def time_features(t):
        angles = t[:, None] * torch.exp(-math.log(10_000) * torch.arange(32) / 32).double()
        return torch.cat([angles.sin(), angles.cos()], 1)

    def attention(state, name, x, bias):
        q, k, v = (x @ state[f"{name}.in_proj_weight"].T + state[f"{name}.in_proj_bias"]).chunk(3, 1)
        q, k, v = (part.unflatten(1, (len(bias), -1)).transpose(0, 1) for part in (q, k, v))
        weights = (q @ k.transpose(1, 2) / math.sqrt(q.shape[2]) + bias).softmax(-1)
        return (weights @ v).transpose(0, 1).flatten(1) @ state[f"{name}.out_proj.weight"].T + state[f"{name}.out_proj.bias"]

    def encode(state, x, bias):
        def norm(name, x):
            return layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

        def linear(name, x):
            return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

        for k in range(len({key.split(".")[2] for key in state if key.startswith("transformer.layers.")})):
            layer = f"transformer.layers.{k}"
            x = x + attention(state, f"{layer}.mha", norm(f"{layer}.norm1", x), bias)
            x = x + linear(f"{layer}.linear2", gelu(linear(f"{layer}.linear1", norm(f"{layer}.norm2", x)), approximate="tanh"))
        return norm("transformer.norm", x)

    def forward(state, x, lattice, t_x, t_lattice, template, bond_features, place_embedding=False):
        state = {name: value.double() for name, value in state.items()}
        owner, (source, target) = template.crystal_index, template.bond_index
        crystal = mlp(state, "lattice_embedder", lattice.double())
        crystal = crystal + mlp(state, "time_cart_embedder", time_features(t_x.double()))
        crystal = crystal + mlp(state, "time_lattice_embedder", time_features(t_lattice.double()))
        h = mlp(state, "cart_coords_embedder", x.double()) + mlp(state, "_node_feat_mlp", template.atom_features.double()) + crystal[owner]
        if place_embedding:
            d = h.shape[1]
            angles = torch.arange(len(h)).double()[:, None] * math.pi / 2048 ** (2 * torch.arange(d // 2).double() / d)
            h = h + torch.cat([angles.sin(), angles.cos()], 1)
        edges = mlp(state, "attn_bias_builder.edge_to_headlogits", bond_features.double())
        bias = state["attn_bias_builder.head_bias_base"][:, None, None].repeat(1, len(h), len(h))
        for i, j, of_edge in zip(source, target, edges, strict=True):
            bias[:, i, j] += of_edge
        bias *= state["attn_bias_scale"]
        parts = [encode(state, h[owner == c], bias[:, owner == c][:, :, owner == c]) for c in range(template.n_crystals)]
        pooled = torch.stack([part.mean(0) for part in parts])
        return mlp(state, "cart_coords_output_head", torch.cat(parts)), mlp(state, "lattice_output_head", pooled)

    return forward

"""A training step of base-2m on packed crystals against the same network on padded ones with a dense bias."""

from __future__ import annotations

import torch
from cases import sizes_of_crystals
from harness import compare, smallest
from padded import N_CRYSTALS, check, dense_bias, molecule_bonds, places, ragged
from torch import Tensor
from torch.nn.functional import gelu, scaled_dot_product_attention

from packflow.model import ModelConfig, PackFlow
from packflow.structure import TemplateBatch
from packflow.train import recipe_named


def padded_velocity(model: PackFlow, template: TemplateBatch, state: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The same network on padded tokens with a dense bias."""
    condition = model.condition(template)
    sizes, place = template.sizes, places(template.sizes)
    positions, flow_lattice, t_positions, t_lattice = state
    per_crystal = model.embed_lattice(flow_lattice) + model.embed_t_positions(t_positions) + model.embed_t_lattice(t_lattice)
    tokens = model.embed_positions(positions) + condition.atom_embedding
    x = tokens.new_zeros(len(sizes), max(sizes), tokens.shape[1]).index_put(place, tokens) + per_crystal[:, None]
    bias = dense_bias(sizes, condition.bonds, place, condition.edge_bias)
    for layer in model.encoder.layers:
        q, k, v = layer.attention_in(layer.norm_attention(x)).unflatten(2, (3, layer.n_heads, -1)).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)
        x = x + layer.attention_out(attended)
        x = x + layer.feedforward_out(gelu(layer.feedforward_in(layer.norm_feedforward(x)), approximate="tanh"))
    x = model.encoder.norm(x)
    real = (torch.arange(max(sizes)) < torch.tensor(sizes)[:, None])[:, :, None]
    return model.head_positions(x)[place], model.head_lattice((x * real).sum(1) / condition.n_atoms)


def training_step(sizes: list[int], config: ModelConfig, name: str, quick: bool) -> None:
    """Loss, gradients and a step of AdamW, of rate 0 so that both sides see the same weights."""
    torch.manual_seed(0)
    n, bond_index = sum(sizes), molecule_bonds(sizes)
    template = TemplateBatch(
        atomic_numbers=torch.full((n,), 6),
        atom_features=torch.randint(0, 3, (n, 10), dtype=torch.uint8),
        bond_index=bond_index,
        bond_features=torch.randint(0, 3, (bond_index.shape[1], 2), dtype=torch.uint8),
        pair_index=torch.zeros(2, 0, dtype=torch.int64),
        pair_features=torch.zeros(0, 3),
        atom_ptr=torch.tensor([0, *torch.tensor(sizes).cumsum(0).tolist()], dtype=torch.int32),
        n_copies=torch.ones(len(sizes), dtype=torch.int64),
    )
    state = [torch.randn(n, 3), torch.randn(len(sizes), 6), torch.rand(len(sizes)), torch.rand(len(sizes))]
    model = PackFlow(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)

    def step(velocity):
        optimizer.zero_grad()
        velocities = velocity()
        sum(v.square().mean() for v in velocities).backward()
        optimizer.step()
        return [p.grad.clone() for p in model.parameters()]

    compare(
        "train",
        f"step {name}",
        "padded, dense bias",
        lambda: step(lambda: model(*state, template)),
        lambda: step(lambda: padded_velocity(model, template, state)),
        lambda x, y: check([torch.cat([g.flatten() for g in x])], [torch.cat([g.flatten() for g in y])]),
        ("crystals", len(sizes)),
        quick=quick,
    )


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    batches = {f"{N_CRYSTALS} ragged": ragged()}
    batches[f"{N_CRYSTALS} up to 250 atoms"] = sizes_of_crystals(N_CRYSTALS, torch.Generator().manual_seed(1)).tolist()
    if quick:
        batches = {"4 ragged": ragged()[:4]}
    for name, sizes in batches.items():
        training_step(sizes, recipe_named("base-2m").model, f"base-2m, {name}", quick)


if __name__ == "__main__":
    main()

"""A training step of base-2m on packed crystals against the same network on padded ones with a dense bias."""

from __future__ import annotations

import torch
from cases import sizes_of_crystals
from harness import compare, smallest
from padded import N_CRYSTALS, check, padded_velocity, ragged, random_state, random_template

from packflow.model import ModelConfig, PackFlow
from packflow.train import recipe_named


def training_step(sizes: list[int], config: ModelConfig, name: str, quick: bool) -> None:
    """Loss, gradients and a step of AdamW, of rate 0 so that both sides see the same weights."""
    torch.manual_seed(0)
    template = random_template(sizes)
    state = random_state(sizes)
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

"""A step of the sampler with the network of base-2m, against the released algorithm on padded crystals.

The released code computes the embeddings of atoms and bonds and a dense bias in every step; here they are computed once and shared.
Ours is timed in float32 and in bf16, the other side in float32, which is all that it has.
"""

from __future__ import annotations

import random

import torch
from harness import compare, smallest
from padded import check, padded_velocity, random_state, random_template

from packflow.flow.trajectory import DTYPES, at_precision
from packflow.model import PackFlow
from packflow.model.inference import for_inference
from packflow.structure import TemplateBatch
from packflow.train import recipe_named

N_CRYSTALS, N_ATOMS = 32, 60
N_MIXED = (15, 200)
# of bf16 against float32: eight bits of every product
HALF = 3e-2


def near(ours: object, theirs: object) -> None:
    """Every pair of tensors is equal to half precision, as vectors."""
    for x, y in zip(ours, theirs, strict=True):
        assert (x - y).norm() < HALF * y.norm(), f"relative difference {(x - y).norm() / y.norm():.1e}"


@torch.inference_mode()
def step(name: str, sizes: list[int], quick: bool) -> None:
    """One evaluation of the network, as a step of a trajectory."""
    torch.manual_seed(0)
    template, state = random_template(sizes), random_state(sizes)
    model = PackFlow(recipe_named("base-2m").model).eval()
    for precision, agree in (("float32", check), ("bf16", near)):
        fast = for_inference(model, DTYPES[precision])
        with at_precision(precision, "cpu"):  # once per trajectory, as the sampler does
            condition, times = fast.condition(template), fast.times(*state[2:])

            def ours(fast=fast, condition=condition, times=times):
                return [x.float() for x in fast.velocity(*state[:2], times, condition)]

            compare(
                "sample",
                f"step {name}, {precision}",
                "padded, dense bias",
                ours,
                lambda: in_full_precision(model, template, state),
                agree,
                ("crystals", len(sizes)),
                quick=quick,
            )


@torch.autocast("cpu", enabled=False)
def in_full_precision(model: PackFlow, template: TemplateBatch, state: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The other side, which knows float32 alone."""
    return padded_velocity(model, template, state)


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    generator = random.Random(2)
    mixed = [generator.randint(*N_MIXED) for _ in range(N_CRYSTALS)]
    cases = {f"{N_CRYSTALS} of {N_ATOMS} atoms": [N_ATOMS] * N_CRYSTALS, f"{N_CRYSTALS} of 15 to 200 atoms": mixed}
    for name, sizes in ({"4 of 60 atoms": [N_ATOMS] * 4} if quick else cases).items():
        step(name, sizes, quick)


if __name__ == "__main__":
    main()

"""`pair_refinement` against the same module in torch: one refinement with its two projections, and all of a network's step; one thread."""

from __future__ import annotations

import torch
from harness import compare, smallest
from torch import Tensor

from packflow.model.pretrained import load
from packflow.structure import Molecule, Template, TemplateBatch

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
MIXTURE = (ASPIRIN, "NC(N)=O", "Cc1cc(C#N)c(s1)Nc1ccccc1[N+](=O)[O-]", "OC(=O)CCC(=O)O", "Cn1c(=O)c2c(ncn2C)n(C)c1=O")


def batches(quick: bool) -> dict[str, TemplateBatch]:
    """Cells of four molecules: one, many, and many of five kinds."""
    many = 2 if quick else 70
    cells = {"1 aspirin cell": [ASPIRIN], f"{many} aspirin cells": [ASPIRIN] * many}
    if not quick:
        cells["70 cells, 5 kinds"] = list(MIXTURE) * 14
    templates = {smiles: Template(Molecule.from_smiles(smiles), 4) for smiles in MIXTURE}
    return {name: TemplateBatch.pack([templates[s] for s in molecules]) for name, molecules in cells.items()}


def check(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def main() -> None:
    """With gradients allowed, though none is wanted of a number, the module computes in torch."""
    torch.set_num_threads(1)
    quick = smallest()
    model = load("open-2m").requires_grad_(False)
    for name, batch in batches(quick).items():
        generator = torch.Generator().manual_seed(0)
        positions, lattice = torch.randn(batch.n_atoms, 3, generator=generator), torch.randn(batch.n_crystals, 6, generator=generator)
        x = torch.randn(batch.n_atoms, model.config.d_model, generator=generator)
        condition, times = model.condition(batch), model.times(torch.ones(1), torch.ones(1))
        end = positions * condition.position_scale
        one, step = (x, end, condition.pairs), (positions, lattice, times, condition)
        work = "pairs", len(condition.pairs.source)
        for what, call in (
            ("refinement", lambda one=one: (model.refinements[0](*one),)),
            ("step", lambda step=step: model.velocity(*step)),
        ):
            ours = torch.no_grad()(call)
            compare("pair_refinement", f"{what}, {name}, {work[1]} pairs", "torch module", ours, call, check, work, quick=quick)


if __name__ == "__main__":
    main()

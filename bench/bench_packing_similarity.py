"""RMSD_15 of many pairs, against oxtalign pair by pair.

Both sides are given crystals and prepare them: oxtalign each once, as we do. The cases are what `packflow evaluate` compares, proposals of
open-2m without clash with a symmetric crystal, and the dearer ones in which all molecules match, noise of 0.1 Å. A pair costs more the
more conformations either crystal has: proposals have as many as molecules.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import oxtalign
import torch
from bench_evaluate import cases_of
from harness import compare, smallest

import packflow
from packflow.metrics import PackingSimilarities, clash_percent, packing_similarities
from packflow.metrics.packing_overlay import oxtalign_structure
from packflow.model import PackFlow
from packflow.structure import AtomsBatch, Crystal

N_SAMPLES, N_NOISY, NOISE = 20, 8, 0.1


def ours(reference: Crystal, others: list[Crystal]) -> PackingSimilarities:
    pairs = torch.tensor([[0, k] for k in range(1, len(others) + 1)])
    return packing_similarities([reference, *others], pairs)


def theirs(reference: Crystal, others: list[Crystal]) -> list[tuple[int, float]]:
    prepared = oxtalign_structure(reference)
    found = [oxtalign.compare(prepared, oxtalign_structure(other), n=15) for other in others]
    return [(one.n_matched, one.rmsd_n) for one in found]


def check(found: object, wanted: object) -> None:
    assert isinstance(found, PackingSimilarities)
    n_matched, rmsd = zip(*wanted, strict=True)
    np.testing.assert_array_equal(found.n_matched, n_matched)
    np.testing.assert_allclose(found.rmsd, rmsd, atol=1e-9)


def without_clash(model: PackFlow, reference: Crystal) -> list[Crystal]:
    made = [proposal.crystal for proposal in packflow.sample(model, reference.template, N_SAMPLES)]
    clash = clash_percent(AtomsBatch.from_crystals(made), bonded=False)
    return [crystal for crystal, percent in zip(made, clash.tolist(), strict=True) if percent == 0]


def noisy(reference: Crystal, rng: np.random.Generator) -> Crystal:
    noise = NOISE * rng.normal(size=reference.positions.shape)
    return Crystal(reference.template, reference.positions + noise, reference.lattice)


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    model, rng = packflow.load("open-2m"), np.random.default_rng(0)
    for case in cases_of(model)[: 1 if quick else None]:
        reference = case.crystals[0]
        for what, others in (
            ("proposals", without_clash(model, reference)),
            ("with noise", [noisy(reference, rng) for _ in range(N_NOISY)]),
        ):
            compare(
                "packing_similarity",
                f"{case.molecule}, {len(others)} {what}",
                "oxtalign",
                partial(ours, reference, others),
                partial(theirs, reference, others),
                check,
                ("pairs", len(others)),
                packages=("oxtalign",),
                quick=quick,
            )


if __name__ == "__main__":
    main()

"""Positions moved by a small network of near pairs, fused for evaluation on the CPU."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from packflow import _C
from packflow.ops._check import check_tensor

WIDTH, N_KNOWN, N_CENTERS = 64, 5, 12
N_FEATURES = N_KNOWN + N_CENTERS + 3


class RefinementWeights(NamedTuple):
    """The network of all pairs, as `packflow.model.pairs.PairRefinement` holds it; tensors are float32.

    pair:      [64, 20] matrix on the features of a pair.
    mix:       [64, 64] matrix of the second layer.
    mix_bias:  [64]
    step:      [1, 64] matrix that makes of a message how far its target is moved, in Å.
    step_bias: [1]
    centers:   [12] Å, where Gaussians sit that tell distances apart.
    width:     Å, of those.
    softening: Å that the smallest distance is kept from zero by.
    """

    pair: Tensor
    mix: Tensor
    mix_bias: Tensor
    step: Tensor
    step_bias: Tensor
    centers: Tensor
    width: float
    softening: float


def pair_refinement(
    positions: Tensor,  # [n_atoms, 3]
    source_state: Tensor,  # [n_atoms, 64]
    target_state: Tensor,  # [n_atoms, 64]
    source: Tensor,  # [n_pairs]
    target: Tensor,  # [n_pairs]
    known: Tensor,  # [n_pairs, 5]
    weights: RefinementWeights,
) -> Tensor:
    """Move each target along the direction to each of its sources, as far as a network of two layers says.

    With d the softened distance of a pair and silu(x) = x / (1 + exp(-x)): features = known, Gaussians of d, d - smallest,
    d - largest, d / 3; message = silu(mix silu(source_state + target_state + pair features) + mix_bias); the target moves by
    (step . message + step_bias) / d times the vector to the source. What `PairRefinement` computes in torch, to rounding; without
    gradients and on the CPU only, because on a GPU torch does well. Results do not depend on the number of threads, nor what
    a pair adds on the other pairs.

    Args:
        positions: Å, molecules whole, float32. [n_atoms, 3]
        source_state: What atoms say, float32. [n_atoms, 64]
        target_state: What atoms make of it, float32. [n_atoms, 64]
        source: Atom of each pair that tells, row of the packed atom axis, int64. [n_pairs]
        target: Atom of each pair that is told, int64. [n_pairs]
        known: Bonds apart as one of three, smallest and largest usual distance in Å, float32. [n_pairs, 5]
        weights: The network.

    Returns:
        Å; moves are added in the order of the pairs. [n_atoms, 3]

    Raises:
        ValueError: an argument has another shape, dtype or device, a pair has an atom that is not there, or a gradient is wanted.
    """
    cpu = torch.device("cpu")
    n_atoms = check_tensor("positions", positions, ("n_atoms", 3), torch.float32, cpu)["n_atoms"]
    n_pairs = check_tensor("source", source, ("n_pairs",), torch.int64, cpu)["n_pairs"]
    check_tensor("target", target, (n_pairs,), torch.int64, cpu)
    shapes = {
        "source_state": (source_state, (n_atoms, WIDTH)),
        "target_state": (target_state, (n_atoms, WIDTH)),
        "known": (known, (n_pairs, N_KNOWN)),
        "weights.pair": (weights.pair, (WIDTH, N_FEATURES)),
        "weights.mix": (weights.mix, (WIDTH, WIDTH)),
        "weights.mix_bias": (weights.mix_bias, (WIDTH,)),
        "weights.step": (weights.step, (1, WIDTH)),
        "weights.step_bias": (weights.step_bias, (1,)),
        "weights.centers": (weights.centers, (N_CENTERS,)),
    }
    for name, (x, shape) in shapes.items():
        check_tensor(name, x, shape, torch.float32, cpu)
    if torch.is_grad_enabled() and any(x.requires_grad for x in (positions, *(x for x, _ in shapes.values()))):
        raise ValueError("pair_refinement has no gradient: call it under torch.no_grad(), got an argument that requires one")
    return _launch(positions, source_state, target_state, source, target, known, weights)


def _launch(
    positions: Tensor,
    source_state: Tensor,
    target_state: Tensor,
    source: Tensor,
    target: Tensor,
    known: Tensor,
    weights: RefinementWeights,
    instruction_set: str = "",
) -> Tensor:
    """`instruction_set` is one of `_C.instruction_sets()`, or empty for the fastest."""
    batch = [x.contiguous() for x in (positions, source_state, target_state, source, target, known)]
    matrices = [x.contiguous() for x in (weights.pair, weights.mix, weights.mix_bias, weights.step)]
    centers, moved = weights.centers.contiguous(), torch.empty(positions.shape, dtype=positions.dtype)
    pair, mix, mix_bias, step = (x.data_ptr() for x in matrices)
    network = pair, mix, mix_bias, step, weights.step_bias.item(), centers.data_ptr(), weights.width, weights.softening
    a, b, c, d, e, f = (x.data_ptr() for x in batch)
    _C.pair_refinement_cpu(
        (a, b, c, d, e, f, len(positions), len(source)), network, moved.data_ptr(), torch.get_num_threads(), instruction_set
    )
    return moved

"""Distances within molecules: atoms up to three bonds apart tell each other where they should be.

Attention sees coordinates one atom at a time and learns bond lengths late. Here each near pair compares its distance with the
range that such a pair has.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, silu

from packflow.ops import RefinementWeights, pair_refinement
from packflow.structure.pairs import MOST_BONDS_APART

D_PAIR = 64
# Å, where Gaussians sit that tell distances apart, and their width
CENTERS = (0.6, 0.9, 1.2, 1.5, 1.8, 2.1, 2.4, 2.7, 3.0, 3.4, 3.8, 4.4)
WIDTH = 0.3
N_GEOMETRY = len(CENTERS) + 3
N_KNOWN = MOST_BONDS_APART + 2
# Å that the smallest distance is kept from zero by, where a direction is needed
SOFTENING = 0.1


@dataclass(frozen=True)
class Pairs:
    """Near pairs of a batch.

    target: [n_pairs] int64, the atom that is told.
    source: [n_pairs] int64, the atom that tells.
    range:  [n_pairs, 2] float32, smallest and largest usual distance in Å.
    known:  [n_pairs, 5] float32, what a network is told of the pair: bonds apart as one of three, and the range.
    """

    target: Tensor
    source: Tensor
    range: Tensor
    known: Tensor

    @classmethod
    def of(cls, pair_index: Tensor, pair_features: Tensor) -> Pairs:
        """From the pairs of a TemplateBatch."""
        apart = one_hot(pair_features[:, 0].long() - 1, MOST_BONDS_APART).float()
        return cls(pair_index[0], pair_index[1], pair_features[:, 1:], torch.cat([apart, pair_features[:, 1:]], 1))


def geometry(positions: Tensor, pairs: Pairs, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Distances of the pairs as a network sees them, and directions.

    Args:
        positions: Å, molecules whole. [n_atoms, 3]
        pairs: Which.
        centers: CENTERS, where the positions are. [12]

    Returns:
        Gaussians of the distance, then how far it is below and above the range and a third of itself, all in Å
        [n_pairs, N_GEOMETRY]; and the vector from target to source over its softened length [n_pairs, 3].
    """
    apart = positions[pairs.source] - positions[pairs.target]
    distance = (apart.square().sum(-1, keepdim=True) + SOFTENING**2).sqrt()
    gaussians = torch.exp(-(((distance - centers) / WIDTH) ** 2))
    return torch.cat([gaussians, distance - pairs.range, distance / 3], 1), apart / distance


class PairMessages(nn.Module):
    """One message for each near pair, from both atoms' states and the pair's geometry."""

    def __init__(self, d_model: int) -> None:
        """d_model: width of the atoms' states."""
        super().__init__()
        self.source = nn.Linear(d_model, D_PAIR, bias=False)
        self.target = nn.Linear(d_model, D_PAIR)
        self.pair = nn.Linear(N_KNOWN + N_GEOMETRY, D_PAIR, bias=False)
        self.mix = nn.Linear(D_PAIR, D_PAIR)

    def forward(self, x: Tensor, described: Tensor, pairs: Pairs) -> Tensor:
        """[n_atoms, d_model], [n_pairs, N_GEOMETRY] -> [n_pairs, D_PAIR]"""
        mixed = self.source(x)[pairs.source] + self.target(x)[pairs.target] + self.pair(torch.cat([pairs.known, described], 1))
        return silu(self.mix(silu(mixed)))


class PairRefinement(nn.Module):
    """Positions moved along the directions to near atoms, as far as messages say; not at all before training."""

    centers: Tensor

    def __init__(self, d_model: int) -> None:
        """d_model: width of the tokens."""
        super().__init__()
        self.messages = PairMessages(d_model)
        self.register_buffer("centers", torch.tensor(CENTERS), persistent=False)
        self.step = nn.Linear(D_PAIR, 1)
        nn.init.zeros_(self.step.weight)
        nn.init.zeros_(self.step.bias)

    def forward(self, x: Tensor, positions: Tensor, pairs: Pairs) -> Tensor:
        """[n_atoms, d_model], [n_atoms, 3] in Å -> [n_atoms, 3] in Å"""
        if can_be_fused(x, positions):
            states = self.messages.source(x), self.messages.target(x)
            return pair_refinement(positions, *states, pairs.source, pairs.target, pairs.known, self.weights())
        described, direction = geometry(positions, pairs, self.centers)
        moved = self.step(self.messages(x, described, pairs)) * direction
        return positions + torch.zeros_like(positions).index_add(0, pairs.target, moved)

    def weights(self) -> RefinementWeights:
        """What the op takes: all but the two projections of the tokens."""
        messages, step = self.messages, self.step
        return RefinementWeights(
            messages.pair.weight, messages.mix.weight, messages.mix.bias, step.weight, step.bias, self.centers, WIDTH, SOFTENING
        )


def can_be_fused(x: Tensor, positions: Tensor) -> bool:
    """Whether `pair_refinement` does what torch would do: in float32 on the CPU, without gradients."""
    plain = all(t.device.type == "cpu" and t.dtype == torch.float32 for t in (x, positions))
    return plain and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")

"""An iteration of physics alignment as the authors' released code does it, in plain PyTorch: the other side of bench_align.py.

A batch per template for the rollouts, rewards one structure at a time, updates by forwards of single structures with the losses of the
reference computed anew in every epoch, and attention with a dense bias. Crystals of one template have one size, so that nothing is padded.
It is kinder than the original where that costs no line: atoms and bonds are embedded once for all crystals of a batch, and states and
targets of the surrogate are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import gelu, mse_loss, scaled_dot_product_attention

from packflow.flow.draws import Draw, generator_of, noise_of
from packflow.flow.path import CrystalPath
from packflow.model import PackFlow
from packflow.model.pairs import Pairs, geometry
from packflow.potential.interface import Potential
from packflow.structure import Crystal, Template, TemplateBatch
from packflow.train.align_config import AlignConfig
from packflow.train.align_step import Clock
from packflow.train.grpo_math import LEAST_VALID, with_failures_last
from packflow.train.rewards import rewards_of


@dataclass(frozen=True)
class Graph:
    """Some crystals of one template.

    one:    the template.
    all:    the template once for each crystal.
    source: [n_bonds], atom of each directed bond.
    target: [n_bonds], likewise.
    pairs:  of `all`, for the refinements.
    scale:  Å of one unit of position.
    """

    one: TemplateBatch
    all: TemplateBatch
    source: Tensor
    target: Tensor
    pairs: Pairs
    scale: float

    @classmethod
    def of(cls, model: PackFlow, template: Template, n_crystals: int) -> Graph:
        """Tables of a template."""
        one, every = TemplateBatch.pack([template]), TemplateBatch.pack([template] * n_crystals)
        return cls(one, every, *one.bond_index, Pairs.of(every.pair_index, every.pair_features), model.space.position_scale(one).item())


@dataclass(frozen=True)
class Sample:
    """A proposal at its frozen time and noises.

    graph:      of the one crystal.
    positions:  [1, n_atoms, 3], state.
    lattice:    [1, 6], state.
    t:          [1], of both.
    velocities: of positions and lattice, what the network should say.
    """

    graph: Graph
    positions: Tensor
    lattice: Tensor
    t: Tensor
    velocities: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, model: PackFlow, template: Template, path: CrystalPath) -> Sample:
        """From the path of one crystal."""
        x, cell = path.positions, path.lattice
        return cls(Graph.of(model, template, 1), x.state[None], cell.state, x.t, (x.velocity[None], cell.velocity))


@dataclass(frozen=True)
class Learned:
    """What the updates did.

    losses:    [n_epochs, n], minus objective of each proposal.
    ratios:    [n_epochs, n]
    away:      [n_epochs, n], divergence.
    reference: [n], surrogate losses of the reference.
    norms:     [n_epochs], of the gradient before clipping.
    """

    losses: Tensor
    ratios: Tensor
    away: Tensor
    reference: Tensor
    norms: list[float]


def velocity(model: PackFlow, graph: Graph, positions: Tensor, lattice: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The network on dense tensors. [b, n_atoms, 3], [b, 6], [b] -> [b, n_atoms, 3], [b, 6]"""
    (b, n, _), heads = positions.shape, model.config.n_heads
    atoms, of_bonds = model.embed_template(graph.one)
    per_crystal = model.embed_lattice(lattice) + model.embed_t_positions(t) + model.embed_t_lattice(t)
    x = model.embed_positions(positions) + atoms + per_crystal[:, None]
    bias = of_bonds.new_zeros(n, n, heads).index_put((graph.source, graph.target), of_bonds, accumulate=True)
    bias = bias.permute(2, 0, 1).expand(b, heads, n, n).contiguous()
    for layer in model.encoder.layers:
        q, k, v = layer.attention_in(layer.norm_attention(x)).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)
        x = x + layer.attention_out(attended)
        x = x + layer.feedforward_out(gelu(layer.feedforward_in(layer.norm_feedforward(x)), approximate="tanh"))
    x = model.encoder.norm(x)
    return refined(model, graph, x, model.head_positions(x), positions, t), model.head_lattice(x.mean(1))


def refined(model: PackFlow, graph: Graph, x: Tensor, moving: Tensor, positions: Tensor, t: Tensor) -> Tensor:
    """The positions' velocity after the model's refinements, without the fused op. [b, n_atoms, 3]"""
    t = t[:, None, None]
    start = end = ((positions - t * moving) * graph.scale).flatten(0, 1)
    for refinement in model.refinements:
        described, direction = geometry(end, graph.pairs, refinement.centers)
        step = refinement.step(refinement.messages(x.flatten(0, 1), described, graph.pairs)) * direction
        end = end.index_add(0, graph.pairs.target, step)
    return moving - (end - start).view_as(moving) / (graph.scale * t.clamp(min=0.02))


@torch.no_grad()
def rolled_out(model: PackFlow, draws: Sequence[Draw], n_steps: int) -> list[Crystal]:
    """Crystals of one template's draws, as one batch, by Euler steps of one length."""
    template, b = draws[0].template, len(draws)
    graph = Graph.of(model, template, b)
    positions, lattice = noise_of(draws, [generator_of(draw) for draw in draws])
    positions = centered(positions.view(b, -1, 3))
    for k in range(n_steps):
        of_positions, of_lattice = velocity(model, graph, positions, lattice, torch.full((b,), 1 - k / n_steps))
        positions, lattice = centered(positions - of_positions / n_steps), lattice - of_lattice / n_steps
    of_atoms, cells = model.space.decode(positions.flatten(0, 1), lattice, graph.all)
    return [Crystal(template, x.double().numpy(), cell.double().numpy()) for x, cell in zip(of_atoms.view(b, -1, 3), cells, strict=True)]


def centered(positions: Tensor) -> Tensor:
    """[b, n_atoms, 3], the mean of each crystal at the origin, where the installed model's noise is."""
    return positions - positions.mean(1, keepdim=True)


def rewarded(crystals: Sequence[Crystal], potential: Potential) -> Tensor:
    """Energies and forces of one crystal after the other, higher is better. [n, 2]"""
    return torch.cat([rewards_of([crystal], potential).values for crystal in crystals])


def places_learned(rewards: Tensor) -> list[int]:
    """Proposals of groups that say what is better, as ours. [n_groups, k, 2]"""
    n_valid = rewards.isfinite().all(2).sum(1)
    return [k for k in range(rewards.shape[0] * rewards.shape[1]) if n_valid[k // rewards.shape[1]] >= LEAST_VALID]


def advantages(rewards: Tensor, share: float, clip: float) -> Tensor:
    """Algorithm 2, with our treatment of failures in place of an energy of 1e10. [n_groups, k, 2] -> [n_groups, k]"""
    filled, _ = with_failures_last(rewards, rewards.isfinite().all(2))
    standard = (filled - filled.mean(1, keepdim=True)) / (filled.std(1, correction=0, keepdim=True) + 1e-8)
    return (share * standard[..., 0] + (1 - share) * standard[..., 1]).clamp(-clip, clip)


def surrogate(model: PackFlow, sample: Sample) -> Tensor:
    """Algorithm 3 of one proposal. []"""
    found = velocity(model, sample.graph, sample.positions, sample.lattice, sample.t)
    return mse_loss(found[0], sample.velocities[0]) + mse_loss(found[1], sample.velocities[1])


def learned(
    model: PackFlow,
    reference: PackFlow,
    samples: Sequence[Sample],
    worth: Tensor,
    optimizer: torch.optim.Optimizer,
    config: AlignConfig,
    clock: Clock,
) -> Learned:
    """Part C of algorithm 1, proposal by proposal.

    Args:
        model: Changed.
        reference: Asked of every proposal in every epoch.
        samples: Proposals.
        worth: Their advantages. [n]
        optimizer: Of the model's weights.
        config: Of the objective.
        clock: Told what is the reference's time.
    """
    with torch.no_grad():
        old = [surrogate(model, sample) for sample in samples]
    rows, norms = [], []
    for _ in range(config.n_epochs):
        optimizer.zero_grad()
        for sample, advantage, before in zip(samples, worth, old, strict=True):
            clock.lap("update")
            with torch.no_grad():
                of_reference = surrogate(reference, sample)
            clock.lap("reference")
            now = surrogate(model, sample)
            ratio = (before - now).clamp(-config.log_ratio_limit, config.log_ratio_limit).exp()
            gain = torch.minimum(ratio * advantage, ratio.clamp(1 - config.ratio_clip, 1 + config.ratio_clip) * advantage)
            away = (now - of_reference).exp() - (now - of_reference) - 1
            loss = config.beta * away - gain
            (loss / len(samples)).backward()
            rows.append(torch.stack([loss, ratio, away, of_reference]).detach())
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), config.optim.clip_norm).item())
        optimizer.step()
        clock.lap("update")
    losses, ratios, far, of_references = torch.stack(rows).view(config.n_epochs, len(samples), 4).unbind(2)
    return Learned(losses, ratios, far, of_references[0], norms)

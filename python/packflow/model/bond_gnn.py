"""Bonds by message passing: graph attention over the molecules before the transformer (paper, section 4.1, "Bond-GNN")."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from packflow.structure.molecule import N_BOND_FEATURES

N_GNN_HEADS = 4
NEGATIVE_SLOPE = 0.2


def softmax_by_target(
    logits: Tensor,  # [n_bonds, n_heads]
    target: Tensor,  # [n_bonds]
    n_atoms: int,
) -> Tensor:
    """Softmax over the edges that end in the same atom.

    Args:
        logits: One row per directed edge. [n_bonds, n_heads]
        target: Atom that the edge ends in, int64. [n_bonds]
        n_atoms: Atoms of the batch.

    Returns:
        Shares of the edges, which add up to 1 over the edges of a target. [n_bonds, n_heads]
    """
    rows = target[:, None].expand_as(logits)
    # the largest of each target only keeps the exponentials finite; it cancels, and so does its gradient
    largest = logits.new_zeros(n_atoms, logits.shape[1]).scatter_reduce(0, rows, logits.detach(), "amax", include_self=False)
    weights = (logits - largest[target]).exp()
    total = torch.zeros_like(largest).index_add(0, target, weights)
    return weights / total[target]


class BondGnnLayer(nn.Module):
    """x + GATv2(norm(x)): each atom adds up what its bonded atoms send, weighed by attention over its bonds.

    The attention of an edge is a · leaky_relu(W_source x_source + W_target x_target + W_bond bond) and its message
    W_source x_source (Brody, Alon and Yahav 2021). An atom without bonds receives nothing.
    """

    def __init__(self, d_model: int) -> None:
        """d_model: width of the atoms' states, a multiple of N_GNN_HEADS."""
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.source = nn.Linear(d_model, d_model)
        self.target = nn.Linear(d_model, d_model)
        self.bond = nn.Linear(N_BOND_FEATURES, d_model, bias=False)
        self.attention = nn.Parameter(torch.empty(N_GNN_HEADS, d_model // N_GNN_HEADS))
        nn.init.xavier_uniform_(self.attention)

    def forward(self, x: Tensor, bond_index: Tensor, bond_features: Tensor) -> Tensor:
        """[n_atoms, d_model], [2, n_bonds] source and target, [n_bonds, 2] float32 -> [n_atoms, d_model]"""
        source, target = bond_index
        normed = self.norm(x)
        messages = self.source(normed)[source]
        mixed = messages + self.target(normed)[target] + self.bond(bond_features)
        by_head = leaky_relu(mixed, NEGATIVE_SLOPE).unflatten(1, self.attention.shape)
        logits = (by_head * self.attention).sum(-1).float()  # softmax in float32, whatever autocast multiplies in
        shares = softmax_by_target(logits, target, len(x))
        sent = (messages.unflatten(1, self.attention.shape).float() * shares[:, :, None]).flatten(1)
        return x + torch.zeros_like(x).index_add(0, target, sent.to(x.dtype))


class BondGnn(nn.Module):
    """The layers one after another."""

    def __init__(self, d_model: int, n_layers: int) -> None:
        """d_model: width of the atoms' states. n_layers: bonds that information travels along."""
        super().__init__()
        self.layers = nn.ModuleList(BondGnnLayer(d_model) for _ in range(n_layers))

    def forward(self, x: Tensor, bond_index: Tensor, bond_features: Tensor) -> Tensor:
        """[n_atoms, d_model], [2, n_bonds], [n_bonds, 2] vocabulary indices -> [n_atoms, d_model]"""
        features = bond_features.float()
        for layer in self.layers:
            x = layer(x, bond_index, features)
        return x

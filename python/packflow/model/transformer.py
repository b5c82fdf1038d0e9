"""Pre-norm transformer over packed atoms: each attends to the atoms of its own crystal, more to those it is bonded to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from packflow.structure.batch import TemplateBatch


@dataclass(frozen=True)
class BondLayout:
    """Where the atoms and bonds of each crystal lie on the packed axes. Bonds are ordered by crystal.

    sizes:   number of atoms of each crystal.
    order:   [n_bonds] int64, the batch's bond at each place of this order.
    sources: one [n_bonds of the crystal] int64 per crystal, row of the attention, counted from the crystal's first atom.
    targets: likewise the column of the attention.
    """

    sizes: tuple[int, ...]
    order: Tensor
    sources: tuple[Tensor, ...]
    targets: tuple[Tensor, ...]

    @classmethod
    def of(cls, template: TemplateBatch) -> BondLayout:
        """Find each crystal's bonds.

        Raises:
            ValueError: a bond joins two crystals.
        """
        owner = template.crystal_index[template.bond_index]
        if not torch.equal(owner[0], owner[1]):
            raise ValueError("bond_index must join atoms of the same crystal, got a bond between two crystals")
        order = owner[0].argsort(stable=True)
        n_bonds = torch.bincount(owner[0], minlength=template.n_crystals).tolist()
        local = (template.bond_index - template.atom_ptr.long()[owner])[:, order]
        return cls(tuple(template.sizes), order, local[0].split(n_bonds), local[1].split(n_bonds))


def bond_attention_per_crystal(q: Tensor, k: Tensor, v: Tensor, edge_bias: Tensor, layout: BondLayout) -> Tensor:
    """Softmax attention within each crystal with a bias at the bonded pairs, one crystal after the other.

    logit(i, j) = q_i . k_j / sqrt(d_head) + sum of edge_bias over the bonds from i to j (paper, section 4.1.2). The paper's
    learnable baseline per head is left out: it is the same along a row and cancels in the softmax.

    Args:
        q, k, v: [n_heads, n_atoms, d_head]
        edge_bias: Bias of each bond and head, in the layout's order. [n_bonds, n_heads]
        layout: Sizes and bonds of the crystals.

    Returns:
        [n_atoms, n_heads, d_head]
    """
    head = torch.arange(len(q), device=q.device)[:, None]
    q = q * q.shape[-1] ** -0.5
    biases = edge_bias.T.split([len(s) for s in layout.sources], 1)
    parts = zip(q.split(layout.sizes, 1), k.split(layout.sizes, 1), v.split(layout.sizes, 1), strict=True)
    out = []
    for (q_c, k_c, v_c), bias, source, target in zip(parts, biases, layout.sources, layout.targets, strict=True):
        logits = torch.bmm(q_c, k_c.transpose(1, 2))  # [n_heads, n, n]
        logits.index_put_((head, source, target), bias, accumulate=True)
        out.append(torch.bmm(logits.softmax(-1), v_c).transpose(0, 1))
    return torch.cat(out)


class EncoderLayer(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, d_model: int, n_heads: int, d_feedforward: int) -> None:
        """d_model: width of the tokens. d_feedforward: width inside the feed-forward part."""
        super().__init__()
        self.n_heads = n_heads
        self.norm_attention = nn.LayerNorm(d_model)
        self.attention_in = nn.Linear(d_model, 3 * d_model)
        self.attention_out = nn.Linear(d_model, d_model)
        self.norm_feedforward = nn.LayerNorm(d_model)
        self.feedforward_in = nn.Linear(d_model, d_feedforward)
        self.feedforward_out = nn.Linear(d_feedforward, d_model)

    def forward(self, x: Tensor, edge_bias: Tensor, layout: BondLayout) -> Tensor:
        """[n_atoms, d_model], [n_bonds, n_heads] -> [n_atoms, d_model]"""
        qkv = self.attention_in(self.norm_attention(x)).view(len(x), 3, self.n_heads, -1)
        q, k, v = qkv.permute(1, 2, 0, 3)
        x = x + self.attention_out(bond_attention_per_crystal(q, k, v, edge_bias, layout).reshape(x.shape))
        return x + self.feedforward_out(gelu(self.feedforward_in(self.norm_feedforward(x)), approximate="tanh"))


class Encoder(nn.Module):
    """The layers and the last normalisation."""

    def __init__(self, d_model: int, n_heads: int, d_feedforward: int, n_layers: int) -> None:
        """See EncoderLayer."""
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(d_model, n_heads, d_feedforward) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, edge_bias: Tensor, layout: BondLayout) -> Tensor:
        """[n_atoms, d_model], [n_bonds, n_heads] -> [n_atoms, d_model]; the same bias in every layer."""
        for layer in self.layers:
            x = layer(x, edge_bias, layout)
        return self.norm(x)

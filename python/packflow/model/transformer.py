"""Pre-norm transformer over packed atoms: each attends to the atoms of its own crystal, more to those it is bonded to."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import gelu

from packflow.ops import BondTable, bond_attention_qkv


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

    def forward(self, x: Tensor, edge_bias: Tensor, atom_ptr: Tensor, bonds: BondTable) -> Tensor:
        """[n_atoms, d_model], [n_bonds, n_heads], [n_crystals + 1] -> [n_atoms, d_model]"""
        qkv = self.attention_in(self.norm_attention(x)).unflatten(1, (3, self.n_heads, -1))
        x = x + self.attention_out(bond_attention_qkv(qkv, edge_bias, atom_ptr, bonds).flatten(1))
        return x + self.feedforward_out(gelu(self.feedforward_in(self.norm_feedforward(x)), approximate="tanh"))


class Encoder(nn.Module):
    """The layers and the last normalisation."""

    def __init__(self, d_model: int, n_heads: int, d_feedforward: int, n_layers: int) -> None:
        """See EncoderLayer."""
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(d_model, n_heads, d_feedforward) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, edge_bias: Tensor, atom_ptr: Tensor, bonds: BondTable) -> Tensor:
        """[n_atoms, d_model], [n_bonds, n_heads], [n_crystals + 1] -> [n_atoms, d_model]; the same bias in every layer."""
        for layer in self.layers:
            x = layer(x, edge_bias, atom_ptr, bonds)
        return self.norm(x)

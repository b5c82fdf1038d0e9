"""Attention weights of a network, computed anew from its projections: the kernels never have them (paper, Fig. 3e-f)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from packflow.errors import InputError
from packflow.flow.path import FlowPath, PathConfig, draw_noise
from packflow.model import PackFlow
from packflow.model.transformer import EncoderLayer
from packflow.ops import BondTable
from packflow.structure import Crystal, CrystalBatch

# atoms; layers * heads * n * n numbers are held
MOST_ATOMS = 1000


@dataclass(frozen=True)
class Attention:
    """How much the atoms of a crystal look at each other at a flow time.

    t:       of both channels.
    weights: [n_layers, n_heads, n_atoms, n_atoms] float32; atom i looks at atom j, rows add up to 1.
    """

    t: float
    weights: Tensor

    @property
    def relative(self) -> Tensor:
        """Mean over layers and heads times the number of atoms: 1 where an atom looks at all alike. [n_atoms, n_atoms]"""
        return self.weights.mean((0, 1)) * self.weights.shape[-1]


def attention_weights(
    q: Tensor,  # [n_atoms, n_heads, d_head]
    k: Tensor,  # [n_atoms, n_heads, d_head]
    edge_bias: Tensor,  # [n_bonds, n_heads]
    bonds: BondTable,
) -> Tensor:
    """The softmax of `packflow.ops.bond_attention` for one crystal, in plain PyTorch.

    Args:
        q: Queries. [n_atoms, n_heads, d_head]
        k: Keys. [n_atoms, n_heads, d_head]
        edge_bias: In the order of the table. [n_bonds, n_heads]
        bonds: From `packflow.ops.bond_table` of that crystal alone.

    Returns:
        [n_heads, n_atoms, n_atoms]
    """
    logits = torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(q.shape[-1])
    source = torch.repeat_interleave(torch.arange(len(q), device=q.device), bonds.row_ptr.diff().long())
    bias = torch.zeros_like(logits).permute(1, 2, 0)
    bias = bias.index_put((source, bonds.column.long()), edge_bias.to(logits.dtype), accumulate=True)
    return (logits + bias.permute(2, 0, 1)).softmax(-1)


@torch.no_grad()
def attention_of(model: PackFlow, crystal: Crystal, times: Sequence[float], generator: torch.Generator) -> list[Attention]:
    """What a network attends to on the straight path from a crystal to noise, at some flow times.

    Args:
        model: In evaluation mode, on the CPU.
        crystal: The data at t = 0.
        times: From 0 (the crystal) to 1 (noise), of positions and lattice alike.
        generator: Of the noise, the same at all times.

    Raises:
        InputError: the crystal has more than 1,000 atoms, or a time is not from 0 to 1.
    """
    if crystal.template.n_atoms > MOST_ATOMS:
        raise InputError(f"crystal must have at most {MOST_ATOMS} heavy atoms to show its attention, got {crystal.template.n_atoms}")
    if not all(0 <= t <= 1 for t in times):
        raise InputError(f"times must be from 0 to 1, got {list(times)}")
    batch = CrystalBatch.pack([crystal])
    template = batch.template
    positions, lattice = model.space.encode(batch.positions, batch.lattice, template)
    noise, lattice_noise = draw_noise(positions, template, PathConfig(model.config.center_noise), generator)
    condition = model.condition(template)
    found = []
    for t in times:
        at = torch.full((1,), float(t))
        path, lattice_path = FlowPath(positions, noise, at, template.crystal_index), FlowPath(lattice, lattice_noise, at)
        with Projections(model) as projections:
            model.velocity(path.state, lattice_path.state, model.times(at, at), condition)
        weights = [attention_weights(q, k, condition.edge_bias, condition.bonds) for q, k in projections.layers]
        found.append(Attention(float(t), torch.stack(weights)))
    return found


class Projections:
    """Notes queries and keys of all layers while a network runs.

    layers: [n_atoms, n_heads, d_head] of both, layer by layer.
    """

    def __init__(self, model: PackFlow) -> None:
        """`model` is left as it was at the end of the `with` block."""
        self.model = model
        self.layers: list[tuple[Tensor, Tensor]] = []
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> Projections:
        """Begin to note."""
        for layer in self.model.encoder.layers:
            assert isinstance(layer, EncoderLayer)
            self._hooks.append(layer.attention_in.register_forward_hook(self._noted(self.model.config.n_heads)))
        return self

    def __exit__(self, *error: object) -> None:
        """Stop."""
        for hook in self._hooks:
            hook.remove()

    def _noted(self, n_heads: int) -> Callable[[Any, Any, Tensor], None]:
        def note(_module: Any, _inputs: Any, qkv: Tensor) -> None:  # noqa: ANN401, as torch calls it
            q, k, _ = qkv.detach().unflatten(1, (3, n_heads, -1)).unbind(1)
            self.layers.append((q, k))

        return note


def mates(crystal: Crystal, atom: int) -> list[int]:
    """The same atom of the other copies: its symmetry mates where one molecule is independent."""
    size = crystal.template.molecule.n_atoms
    return [other for other in range(atom % size, crystal.template.n_atoms, size) if other != atom]

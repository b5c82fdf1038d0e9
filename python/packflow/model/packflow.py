"""PackFlow: the velocity of atoms and lattice on their way from noise to a crystal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from packflow.errors import InputError
from packflow.model.bond_gnn import BondGnn
from packflow.model.compat import misaligned_rows, place_embedding
from packflow.model.embedding import AtomEncoding, TimeEmbedding, atom_inputs, mlp, n_atom_inputs
from packflow.model.pairs import PairRefinement, Pairs
from packflow.model.transformer import Encoder
from packflow.ops import BondTable, bond_table
from packflow.ops.bond_attention import DIMS_STEP, MOST_DIMS
from packflow.structure.batch import TemplateBatch
from packflow.structure.flow_space import FlowSpace
from packflow.structure.molecule import N_BOND_FEATURES

BondsIn = Literal["bias", "gnn", "none"]

D_BOND_HIDDEN = 64
N_LATTICE = 6
# time of a sampler's last step of fifty; below it velocities to a refined end point do not grow any more
MIN_TIME = 0.02
# a field that a file may lack, which then means its default
OPTIONAL = {"optional": True}


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a PackFlow and what its numbers mean.

    Attributes:
        d_model: width of the tokens.
        n_heads: attention heads; divides d_model.
        d_feedforward: width inside the feed-forward parts.
        n_layers: transformer layers.
        space: the space that the flow runs in.
        time_scale: factor on the flow times before their sines (paper: 1).
        atom_encoding: "index" (paper) or "one_hot", see embedding.atom_inputs.
        center_noise: the noise it learns to start from has its mean at the origin (paper: not); samplers must do the same.
        compat: bond features in the misaligned order of the authors' released code, see compat.misaligned_rows.
        place_embedding: with the atom's place in the batch, see compat.place_embedding (paper: not).
        bonds: how the network is told of bonds: "bias" of the attention (paper), "gnn" before the transformer, or "none".
        n_bond_layers: layers of that "gnn".
        n_refinements: times that the end point of the positions' velocity is put right by distances within molecules, see
            pairs.PairRefinement (paper: 0).
    """

    d_model: int = 256
    n_heads: int = 8
    d_feedforward: int = 512
    n_layers: int = 4
    space: FlowSpace = field(default_factory=FlowSpace)
    time_scale: float = 1.0
    atom_encoding: AtomEncoding = "index"
    center_noise: bool = False
    compat: bool = field(default=False, metadata=OPTIONAL)
    place_embedding: bool = field(default=False, metadata=OPTIONAL)
    bonds: BondsIn = field(default="bias", metadata=OPTIONAL)
    n_bond_layers: int = field(default=3, metadata=OPTIONAL)
    n_refinements: int = field(default=0, metadata=OPTIONAL)

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have."""
        for name in ("d_model", "n_heads", "d_feedforward", "n_layers", "n_bond_layers", "n_refinements"):
            least = 0 if name == "n_refinements" else 1
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.d_model % self.n_heads:
            raise InputError(f"n_heads must divide d_model, got n_heads {self.n_heads} and d_model {self.d_model}")
        d_head = self.d_model // self.n_heads
        if d_head % DIMS_STEP or d_head > MOST_DIMS:
            raise InputError(f"d_model / n_heads must be a multiple of {DIMS_STEP} up to {MOST_DIMS}, got {d_head}")
        if self.atom_encoding not in ("index", "one_hot"):
            raise InputError(f"atom_encoding must be 'index' or 'one_hot', got {self.atom_encoding!r}")
        if self.bonds not in ("bias", "gnn", "none"):
            raise InputError(f"bonds must be 'bias', 'gnn' or 'none', got {self.bonds!r}")


@dataclass(frozen=True)
class Condition:
    """All that the network makes of a template alone: constant along a trajectory, so computed once.

    atom_embedding: [n_atoms, d_model]
    edge_bias:      [n_bonds, n_heads] float32, in the order of the table of bonds.
    crystal_index:  [n_atoms] int64, owner of each atom.
    n_atoms:        [n_crystals, 1] float32, atoms of each crystal.
    atom_ptr:       [n_crystals + 1] int32; crystal c owns atoms atom_ptr[c]:atom_ptr[c + 1].
    bonds:          the directed bonds, sorted for the attention; none where the attention has no bias.
    pairs:          atoms of a molecule at most three bonds apart.
    position_scale: [n_atoms, 1] float32, Å of one unit of position.
    """

    atom_embedding: Tensor
    edge_bias: Tensor
    crystal_index: Tensor
    n_atoms: Tensor
    atom_ptr: Tensor
    bonds: BondTable
    pairs: Pairs
    position_scale: Tensor


@dataclass(frozen=True)
class Times:
    """Flow times as the network sees them: of each crystal, or one row for all crystals.

    positions: [n_crystals] or [1]
    embedding: [n_crystals, d_model] or [1, d_model], of both times.
    """

    positions: Tensor
    embedding: Tensor

    def at(self, row: Tensor) -> Times:
        """One of the rows, for all crystals. [1] int64"""
        return Times(self.positions.index_select(0, row), self.embedding.index_select(0, row))


@dataclass(frozen=True)
class Kinds:
    """The different templates of a batch that holds some of them many times.

    template: each once.
    atoms:    [n_atoms of the batch] int64, row of each atom there.
    bonds:    [n_bonds of the batch] int64, row of each directed bond there.
    """

    template: TemplateBatch
    atoms: Tensor
    bonds: Tensor

    def to(self, device: torch.device | str) -> Kinds:
        """The same on another device."""
        return Kinds(self.template.to(device), self.atoms.to(device), self.bonds.to(device))


class PackFlow(nn.Module):
    """Transformer over the heavy atoms of a unit cell that predicts both velocities (paper, section 4.1).

    Times run from 0 (data) to 1 (noise). Positions and lattice are in the units of `config.space`.
    """

    def __init__(self, config: ModelConfig) -> None:
        """Weights are drawn from torch's global generator; seed it, or load weights."""
        super().__init__()
        self.config, d = config, config.d_model
        self.embed_positions = mlp(3, d, d, first_bias=False)
        self.embed_atoms = mlp(n_atom_inputs(config.atom_encoding), d, d, first_bias=False)
        self.embed_lattice = mlp(N_LATTICE, d, d, first_bias=False)
        self.embed_t_positions = TimeEmbedding(d, config.time_scale)
        self.embed_t_lattice = TimeEmbedding(d, config.time_scale)
        if config.bonds == "bias":
            self.bond_bias = mlp(N_BOND_FEATURES, D_BOND_HIDDEN, config.n_heads)
        if config.bonds == "gnn":
            self.bond_gnn = BondGnn(d, config.n_bond_layers)
        self.encoder = Encoder(d, config.n_heads, config.d_feedforward, config.n_layers)
        self.head_positions = mlp(d, d, 3)
        self.head_lattice = mlp(d, d, N_LATTICE)
        self.refinements = nn.ModuleList(PairRefinement(d) for _ in range(config.n_refinements))

    @property
    def space(self) -> FlowSpace:
        """The space that the flow runs in."""
        return self.config.space

    def condition(self, template: TemplateBatch, kinds: Kinds | None = None) -> Condition:
        """Embed what does not change along a trajectory: atoms and bonds.

        Args:
            template: The batch.
            kinds: Its different templates, which are then embedded once each.
        """
        if kinds is None or self.config.place_embedding:  # with it no two crystals are alike
            atom_embedding, bond_bias = self.embed_template(template)
        else:
            atom_embedding, bond_bias = self.embed_template(kinds.template)
            atom_embedding = atom_embedding[kinds.atoms]
            bond_bias = bond_bias[kinds.bonds] if bond_bias is not None else None
        bond_index = template.bond_index if bond_bias is not None else template.bond_index[:, :0]
        bonds = bond_table(bond_index, template.atom_ptr)
        no_bias = atom_embedding.new_zeros(0, self.config.n_heads, dtype=torch.float32)
        return Condition(
            atom_embedding=atom_embedding,
            edge_bias=bond_bias[bonds.order].float() if bond_bias is not None else no_bias,
            crystal_index=template.crystal_index,
            n_atoms=template.atom_ptr.diff().float()[:, None],
            atom_ptr=template.atom_ptr,
            bonds=bonds,
            pairs=Pairs.of(template.pair_index, template.pair_features),
            position_scale=self.space.position_scale(template)[template.crystal_index, None],
        )

    def embed_template(self, template: TemplateBatch) -> tuple[Tensor, Tensor | None]:
        """Embeddings of atoms [n_atoms, d_model], and bias of the directed bonds [n_bonds, n_heads] where the attention has one."""
        atom_embedding = self.embed_atoms(atom_inputs(template, self.config.atom_encoding))
        if self.config.place_embedding:
            atom_embedding = atom_embedding + place_embedding(template.n_atoms, self.config.d_model, atom_embedding.device)
        if self.config.bonds == "bias":
            rows = misaligned_rows(template) if self.config.compat else slice(None)
            return atom_embedding, self.bond_bias(template.bond_features[rows].float())
        if self.config.bonds == "gnn":
            atom_embedding = self.bond_gnn(atom_embedding, template.bond_index, template.bond_features)
        return atom_embedding, None

    def times(self, t_positions: Tensor, t_lattice: Tensor) -> Times:
        """Embed flow times; the times of a whole trajectory can be embedded at once.

        Args:
            t_positions: 0 = data, 1 = noise. [n]
            t_lattice: Likewise. [n]
        """
        return Times(t_positions, self.embed_t_positions(t_positions) + self.embed_t_lattice(t_lattice))

    def velocity(
        self,
        positions: Tensor,  # [n_atoms, 3]
        flow_lattice: Tensor,  # [n_crystals, 6]
        times: Times,
        condition: Condition,
    ) -> tuple[Tensor, Tensor]:
        """Velocities d(state)/dt of positions and lattice.

        Args:
            positions: In units of the flow space. [n_atoms, 3]
            flow_lattice: In units of the flow space. [n_crystals, 6]
            times: From `times`, of each crystal or one for all.
            condition: From `condition` of the same template batch.

        Returns:
            velocity_positions [n_atoms, 3] and velocity_lattice [n_crystals, 6].
        """
        per_crystal = self.embed_lattice(flow_lattice) + times.embedding
        x = self.embed_positions(positions) + condition.atom_embedding + per_crystal[condition.crystal_index]  # eq. 9
        x = self.encoder(x, condition.edge_bias, condition.atom_ptr, condition.bonds)
        pooled = x.new_zeros(per_crystal.shape).index_add(0, condition.crystal_index, x) / condition.n_atoms
        velocity = self.head_positions(x)
        if self.refinements:
            t = times.positions.expand(len(flow_lattice))
            with torch.autocast(x.device.type, enabled=False):  # bond lengths need more digits than half precision has
                velocity = self.refined(x.float(), velocity.float(), positions, t, condition)
        return velocity, self.head_lattice(pooled)

    def refined(self, x: Tensor, velocity: Tensor, positions: Tensor, t_positions: Tensor, condition: Condition) -> Tensor:
        """A velocity whose end point x - t v is that of another one with its molecules put right.

        Args:
            x: Tokens behind the encoder. [n_atoms, d_model]
            velocity: The one whose end point is put right, in units of the flow space. [n_atoms, 3]
            positions: Likewise. [n_atoms, 3]
            t_positions: [n_crystals]
            condition: Gives the pairs.

        Returns:
            [n_atoms, 3]; below MIN_TIME its end point is short of the refined one.
        """
        t = t_positions[condition.crystal_index, None]
        start = end = (positions - t * velocity) * condition.position_scale
        for refinement in self.refinements:
            end = refinement(x, end, condition.pairs)
        return velocity - (end - start) / (condition.position_scale * t.clamp(min=MIN_TIME))

    def forward(
        self,
        positions: Tensor,  # [n_atoms, 3]
        flow_lattice: Tensor,  # [n_crystals, 6]
        t_positions: Tensor,  # [n_crystals]
        t_lattice: Tensor,  # [n_crystals]
        template: TemplateBatch,
    ) -> tuple[Tensor, Tensor]:
        """`velocity` of a template; along a trajectory, call `condition` and `times` once and `velocity` at each step."""
        return self.velocity(positions, flow_lattice, self.times(t_positions, t_lattice), self.condition(template))

"""Numbers of atoms, bonds, lattice and time as token-wide vectors (paper, section 4.1.1)."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from packflow.structure.batch import TemplateBatch
from packflow.structure.molecule import ATOM_FEATURE_SIZES, N_ATOM_FEATURES

AtomEncoding = Literal["index", "one_hot"]

N_FREQUENCIES = 32
N_SIZE_FEATURES = 2


def mlp(n_in: int, n_hidden: int, n_out: int, first_bias: bool = True) -> nn.Sequential:
    """Linear, SiLU, linear: every embedding and both output heads."""
    return nn.Sequential(nn.Linear(n_in, n_hidden, bias=first_bias), nn.SiLU(), nn.Linear(n_hidden, n_out))


def n_atom_inputs(encoding: AtomEncoding) -> int:
    """Width of `atom_inputs`."""
    return N_ATOM_FEATURES if encoding == "index" else sum(ATOM_FEATURE_SIZES) + N_SIZE_FEATURES


def atom_inputs(template: TemplateBatch, encoding: AtomEncoding) -> Tensor:
    """What the network is told of each atom.

    "index" is the paper's: the ten vocabulary indices as plain numbers. "one_hot" gives every value of every vocabulary an
    input of its own, and adds the logarithms of the crystal's number of atoms (minus 4, about its mean) and of molecules:
    attention averages over atoms and cannot count them, while lengths in a scaled flow space depend on their number.

    Args:
        template: n_atoms atoms.
        encoding: "index" or "one_hot".

    Returns:
        float32. [n_atoms, n_atom_inputs(encoding)]
    """
    if encoding == "index":
        return template.atom_features.float()
    columns = template.atom_features.long().unbind(-1)
    known = [one_hot(column, size) for column, size in zip(columns, ATOM_FEATURE_SIZES, strict=True)]
    size = torch.stack([template.atom_ptr.diff().float().log() - 4, template.n_copies.float().log()], -1)
    return torch.cat([torch.cat(known, -1).float(), size[template.crystal_index]], -1)


class TimeEmbedding(nn.Module):
    """Sines and cosines of the flow time at 32 frequencies from 1 down to 1/10000, then an MLP.

    The paper feeds t in [0, 1] as it is, so that all but the first few sines are nearly linear in t. `time_scale` multiplies
    t before the sines: 30 spreads the interval over several periods, and small times become distinguishable.
    """

    frequencies: Tensor

    def __init__(self, d_model: int, time_scale: float) -> None:
        """d_model: width of the tokens. time_scale: factor on t."""
        super().__init__()
        exponents = torch.arange(N_FREQUENCIES) / N_FREQUENCIES
        self.register_buffer("frequencies", time_scale * torch.exp(-math.log(10_000.0) * exponents), persistent=False)
        self.mlp = mlp(2 * N_FREQUENCIES, d_model, d_model)

    def features(self, t: Tensor) -> Tensor:
        """The sines, then the cosines. [n_crystals] -> [n_crystals, 64]"""
        angles = t[:, None] * self.frequencies
        return torch.cat([angles.sin(), angles.cos()], -1)

    def forward(self, t: Tensor) -> Tensor:
        """[n_crystals] -> [n_crystals, d_model]"""
        return self.mlp(self.features(t))

"""What the authors' released code feeds its network and the paper does not say; only models with their weights need it."""

import math

import torch
from torch import Tensor

from packflow.structure.batch import TemplateBatch


def misaligned_rows(template: TemplateBatch) -> Tensor:
    """Row of `bond_features` that their code gives to each directed bond.

    Directed bonds 2k and 2k + 1 are the two directions of bond k, but their list of features is the list of bonds written
    twice: of a crystal with m bonds, directed bond n gets the features of bond n mod m.

    Args:
        template: n_bonds directed bonds, crystal after crystal, the two directions of each next to each other.

    Returns:
        int64. [n_bonds]
    """
    crystal = template.crystal_index[template.bond_index[0]]
    n_directed = torch.zeros(template.n_crystals, dtype=torch.int64, device=crystal.device)
    n_directed = n_directed.index_add(0, crystal, torch.ones_like(crystal))
    first = (n_directed.cumsum(0) - n_directed)[crystal]
    place = torch.arange(len(crystal), device=crystal.device) - first
    return first + 2 * (place % (n_directed[crystal] // 2))


def place_embedding(n_atoms: int, d_model: int, device: torch.device) -> Tensor:
    """Sines, then cosines, of each atom's place in the whole batch.

    Places count on from crystal to crystal, as in their code: with it the result for a crystal depends on what else is in
    the batch.

    Args:
        n_atoms: Atoms of all crystals.
        d_model: Width of the tokens, even.
        device: Where the result is made.

    Returns:
        float32. [n_atoms, d_model]
    """
    exponents = 2 * torch.arange(d_model // 2, device=device) / d_model
    angles = torch.arange(n_atoms, device=device)[:, None] * math.pi / 2048**exponents
    return torch.cat([angles.sin(), angles.cos()], -1)

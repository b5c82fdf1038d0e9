"""How crowded a proposal is among the others of its group: what the channel "duplicates" punishes, so that coverage is kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from packflow.errors import InputError
from packflow.metrics.amd import amd
from packflow.metrics.validity import volume
from packflow.structure import AtomsBatch

# Å: packings this far apart crowd each other 1/e as much as copies do. Copies are within 0.02 Å (docs/duplicates.md), the median pair of a
# group is 0.2 Å apart, and crowding then differs most within groups (docs/alignment_proxy.md).
SCALE = 0.2
# Å3 of each atom, where all packings are compared
VOLUME_PER_ATOM = 18.0


def crowding(atoms: AtomsBatch, groups: Sequence[int], scale: float = SCALE) -> Tensor:
    """Mean over the others of a group of exp(-d / scale), d the distance of average minimum distances (paper, eq. 27) at equal density.

    Packings are compared after each is scaled to 18 Å3 an atom. As they are, half of the order within a group would be that of
    densities, which energy and density judge already.

    Args:
        atoms: Any values.
        groups: Number of each structure's group, in any order. [n_structures]
        scale: Å.

    Returns:
        From 0, far from all others or alone, to 1, all the same; NaN for a structure that cannot be compared, which crowds no other.
        [n_structures] float64

    Raises:
        InputError: groups are not one number for each structure.
        ValueError: scale is no positive number.
    """
    if not 0 < scale < float("inf"):
        raise ValueError(f"scale must be a positive number of Å, got {scale}")
    if len(groups) != len(atoms):
        raise InputError(f"groups must be those of {len(atoms)} structures, got {len(groups)}")
    per_atom = volume(atoms).double().cpu() / atoms.sizes.cpu()
    amds = amd(atoms).cpu() * (VOLUME_PER_ATOM / per_atom).pow(1 / 3)[:, None]
    good = amds.isfinite().all(1)
    found = torch.full((len(atoms),), torch.nan, dtype=torch.float64)
    number = torch.tensor(list(groups), dtype=torch.int64)
    for group in number.unique():
        rows = (good & (number == group)).nonzero()[:, 0]
        near = torch.exp(-torch.cdist(amds[rows], amds[rows], p=torch.inf) / scale).fill_diagonal_(0.0)
        found[rows] = near.sum(1) / max(len(rows) - 1, 1)
    return found

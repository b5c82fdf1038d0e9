"""The meaning of every op in plain PyTorch: what the kernels are compared with. Never optimised."""

from __future__ import annotations

from itertools import pairwise, product

import torch
from torch import Tensor


def clash(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    radii: Tensor,  # [n_atoms]
    scale: float = 0.75,
) -> Tensor:
    """Atoms closer to another than `scale` times the sum of their covalent radii (paper, eq. 25 and 26).

    Args and result are those of `packflow.ops.clash`.
    """
    in_clash = torch.zeros(len(positions), dtype=torch.bool, device=positions.device)
    pointers = atom_ptr.tolist()
    for crystal, (first, last) in enumerate(pairwise(pointers)):
        if first == last:
            continue
        lattice = cell[crystal].double()
        # A lattice vector added to an atom changes nothing: with all atoms in the cell few images are near.
        fractional = (positions[first:last].double() @ lattice.inverse()) % 1.0
        r = fractional @ lattice
        cutoff = scale * (radii[first:last].double()[:, None] + radii[first:last].double()[None, :])
        # Fractions differ by at most 1, and one more unit of fraction is at least one height more of distance.
        heights = 1.0 / lattice.inverse().norm(dim=0)
        reach = (1.0 + cutoff.max() / heights).ceil().int().tolist()
        for shift in product(*(range(-n, n + 1) for n in reach)):
            offset = torch.tensor(shift, dtype=torch.float64, device=positions.device) @ lattice
            distance = (r[None, :] + offset - r[:, None]).norm(dim=2)
            close = distance < cutoff
            if shift == (0, 0, 0):
                close.fill_diagonal_(False)
            in_clash[first:last] |= close.any(dim=1)
    return in_clash

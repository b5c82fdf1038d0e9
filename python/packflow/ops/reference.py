"""The meaning of every op in plain PyTorch: what the kernels are compared with. Never optimised."""

from __future__ import annotations

from itertools import pairwise, product

import torch
from torch import Tensor

from packflow.ops.bond_attention import BondTable


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


def bond_attention(
    q: Tensor,  # [n_atoms, n_heads, d_head]
    k: Tensor,  # [n_atoms, n_heads, d_head]
    v: Tensor,  # [n_atoms, n_heads, d_head]
    edge_bias: Tensor,  # [n_bonds, n_heads]
    cu_seqlens: Tensor,  # [n_crystals + 1]
    bonds: BondTable,
) -> Tensor:
    """Softmax attention within each crystal with a bias at the bonded pairs (paper, eq. 6), in the precision of q.

    Args and result are those of `packflow.ops.bond_attention`; any d_head and float64 work as well.
    """
    out = [v[:0]]
    source = torch.repeat_interleave(torch.arange(len(q), device=q.device), bonds.row_ptr.diff().long())
    column = bonds.column.long()
    for first, last in pairwise(cu_seqlens.tolist()):
        edges = slice(int(bonds.row_ptr[first]), int(bonds.row_ptr[last]))
        logits = torch.einsum("ihd,jhd->ijh", q[first:last], k[first:last]) / q.shape[2] ** 0.5
        logits = logits.index_put((source[edges] - first, column[edges] - first), edge_bias[edges].to(q.dtype), accumulate=True)
        out.append(torch.einsum("ijh,jhd->ihd", logits.softmax(1), v[first:last]))
    return torch.cat(out)

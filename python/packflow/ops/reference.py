"""The meaning of every op in plain PyTorch: what the kernels are compared with. Never optimised."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product

import torch
from torch import Tensor

from packflow.ops.bond_attention import BondTable
from packflow.ops.neighbors import NeighborList
from packflow.ops.ode import Channels


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


def _images(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    cutoff: float,
) -> Iterator[tuple[int, Tensor, tuple[int, ...], Tensor]]:
    """For each crystal and each shift S that can be within the cutoff, all |r_j - r_i + S cell| of atoms moved into the cell.

    Yields the crystal's first atom, what moving subtracted [n, 3], S, and the distances in Å [n, n], infinite from an atom to itself.
    """
    for crystal, (first, last) in enumerate(pairwise(atom_ptr.tolist())):
        if first == last:
            continue
        lattice = cell[crystal].double()
        fractional = positions[first:last].double() @ lattice.inverse()
        moved = fractional.floor()
        r = positions[first:last].double() - moved @ lattice
        # Fractions differ by at most 1, and one more unit of fraction is at least one height more of distance.
        reach = (1.0 + cutoff * lattice.inverse().norm(dim=0)).ceil().int().tolist()
        for shift in product(*(range(-n, n + 1) for n in reach)):
            offset = torch.tensor(shift, dtype=torch.float64, device=positions.device) @ lattice
            distance = (r[None, :] - r[:, None] + offset).norm(dim=2)
            if shift == (0, 0, 0):
                distance.fill_diagonal_(torch.inf)
            yield first, moved, shift, distance


def neighbors(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    cutoff: float,
    half: bool = False,
) -> NeighborList:
    """All pairs (i, j, S) of atoms with |r_j - r_i + S cell| < cutoff.

    Args and result are those of `packflow.ops.neighbors`.
    """
    pairs = []
    for first, moved, shift, distance in _images(positions, cell, atom_ptr, cutoff):
        for i, j in (distance < cutoff).nonzero().tolist():
            if not half or i < j or (i == j and shift > (0, 0, 0)):
                as_given = torch.tensor(shift) + moved[i] - moved[j]
                pairs.append((first + i, first + j, *as_given.long().tolist()))
    table = torch.tensor(sorted(pairs), dtype=torch.int64).reshape(-1, 5)
    pair_ptr = torch.zeros(len(positions) + 1, dtype=torch.int64)
    pair_ptr[1:] = torch.bincount(table[:, 0], minlength=len(positions)).cumsum(0)
    return NeighborList(table[:, :2].T.contiguous(), table[:, 2:].int(), pair_ptr)


def rdf(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    r_max: float = 10.0,
    n_bins: int = 100,
) -> Tensor:
    """Histogram of the periodic distances of each crystal (paper, eq. 28, before normalisation).

    Args and result are those of `packflow.ops.rdf`.
    """
    counts = torch.zeros(len(cell), n_bins, dtype=torch.int64)
    crystal = {first: c for c, (first, last) in enumerate(pairwise(atom_ptr.tolist())) if first < last}
    for first, _, _, distance in _images(positions, cell, atom_ptr, r_max):
        near = distance[distance.isfinite()]
        counts[crystal[first]] += torch.bincount((near * (n_bins / r_max)).long().clamp(max=n_bins), minlength=n_bins + 1)[:n_bins]
    return counts


def pdd(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    k: int = 100,
) -> Tensor:
    """Distances from each atom to its k nearest, images included.

    Args and result are those of `packflow.ops.pdd`.
    """
    rows = torch.full((len(positions), k), torch.nan, dtype=torch.float64)
    for crystal, (first, last) in enumerate(pairwise(atom_ptr.tolist())):
        one = cell[crystal : crystal + 1]
        alone = torch.tensor([0, last - first], dtype=torch.int32)
        radius = float(torch.linalg.det(one[0].double()).abs()) ** (1 / 3)
        while first < last:
            images = [distance for _, _, _, distance in _images(positions[first:last], one, alone, radius)]
            nearest = torch.cat(images, dim=1).sort(dim=1).values[:, :k]
            if nearest.shape[1] == k and (nearest < radius).all():
                rows[first:last] = nearest
                break
            radius *= 1.5
    return rows.to(positions.dtype)


def amd(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    k: int = 100,
) -> Tensor:
    """Average minimum distances: the mean of `pdd` over the atoms of each crystal (paper, eq. 27).

    Args and result are those of `packflow.ops.amd`.
    """
    rows = pdd(positions.double(), cell.double(), atom_ptr, k)
    means = [rows[first:last].mean(0) for first, last in pairwise(atom_ptr.tolist())]
    return torch.stack(means).to(positions.dtype) if means else positions.new_zeros(0, k)


def min_image(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    pair_index: Tensor,  # [2, n_pairs]
) -> Tensor:
    """Distance between the atoms of given pairs at their nearest images (paper, eq. 38).

    Args and result are those of `packflow.ops.min_image`.
    """
    distances = []
    for i, j in pair_index.T.tolist():
        crystal = int((atom_ptr[1:] <= i).sum())
        lattice = cell[crystal].double()
        fractional = (positions[j].double() - positions[i].double()) @ lattice.inverse()
        fractional -= fractional.round()
        # The rounded image is an upper bound; nearer ones have no fraction beyond it over the height.
        upper = (fractional @ lattice).norm()
        reach = (0.5 + upper * lattice.inverse().norm(dim=0)).ceil().int().tolist()
        shifts = torch.tensor(list(product(*(range(-n, n + 1) for n in reach))), dtype=torch.float64)
        distances.append(((fractional + shifts) @ lattice).norm(dim=1).min())
    return torch.stack(distances).to(positions.dtype) if distances else positions.new_zeros(0)


def first_fit(
    cell: Tensor,  # [n_tries, 3, 3]
    rotation: Tensor,  # [n_tries, n_molecules, 3, 3]
    center: Tensor,  # [n_tries, n_molecules, 3]
    shape: Tensor,  # [n_atoms, 3]
    radii: Tensor,  # [n_atoms]
    operations: Tensor,  # [n_copies, 3, 4]
    molecule: Tensor,  # [n_copies]
) -> int:
    """Number of the first try in which no two molecules touch, or -1: every copy against every image of every copy.

    Args and result are those of `packflow.ops.first_fit`.
    """
    of_copy = molecule.long()
    contact = radii[:, None] + radii
    for number in range(len(cell)):
        rows = cell[number]
        seen = (shape @ rotation[number].mT) @ rows.inverse() + center[number][:, None]  # [n_molecules, n_atoms, 3], fractional
        atoms = seen[of_copy] @ operations[:, :, :3].mT + operations[:, None, :, 3]
        heights = 1.0 / rows.inverse().norm(dim=0)
        spread = atoms.flatten(0, 1).amax(0) - atoms.flatten(0, 1).amin(0)
        touching = False
        for shift in product(*(range(-n, n + 1) for n in (spread + contact.max() / heights).ceil().int().tolist())):
            moved = atoms + torch.tensor(shift, dtype=cell.dtype)
            distance = ((moved[None, :, None] - atoms[:, None, :, None]) @ rows).norm(dim=-1)  # [n_copies, n_copies, n_atoms, n_atoms]
            other = torch.ones(len(atoms), len(atoms), dtype=torch.bool) if any(shift) else ~torch.eye(len(atoms), dtype=torch.bool)
            touching |= bool((distance < contact)[other].any())
        if not touching:
            return number
    return -1


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


def ode(
    state: Channels,  # [n_atoms, 3], [n_crystals, 6]
    velocity: Channels,  # [n_atoms, 3], [n_crystals, 6]
    history: Channels,  # [n_atoms, 3], [n_crystals, 6]
    coefficients: Tensor,  # [n_crystals, 2, 6]
    atom_ptr: Tensor,  # [n_crystals + 1]
    finite: Tensor,  # [n_crystals]
    noise: Channels | None = None,  # [n_atoms, 3], [n_crystals, 6]
    center: bool = False,
) -> None:
    """Update state and history in place by a linear combination per crystal and channel.

    Args are those of `packflow.ops.ode`.
    """

    def term(coefficient: Tensor, x: Tensor) -> Tensor:
        return torch.where(coefficient == 0, 0.0, coefficient * x)

    for crystal, atoms in enumerate(pairwise(atom_ptr.tolist())):
        for channel, (first, last) in enumerate((atoms, (crystal, crystal + 1))):
            x, v, y = (operand[channel][first:last] for operand in (state, velocity, history))
            a, b, h, s, d, e = coefficients[crystal, channel]
            moved = term(a, x) + term(b, v) + term(h, y)
            if noise:
                moved += term(s, noise[channel][first:last])
            if center and channel == 0:
                moved = (moved.double() - moved.double().mean(0)).to(moved.dtype)
            y.copy_(term(d, x) + term(e, v))
            x.copy_(moved)
            finite[crystal] &= moved.isfinite().all()

"""Lattice parameters, the cell in pymatgen's frame (c along z), and two coordinates free of constraints for the flow.

All functions take and return tensors with any number of leading axes; parameters are a, b, c (Å), alpha, beta, gamma (degrees).
"""

import torch
from torch import Tensor

# The open interval (0, 1) as float32 sees it: the ends between which the paper's angle transform saturates.
SMALLEST = torch.finfo(torch.float32).tiny
LARGEST = 1 - torch.finfo(torch.float32).eps
MIN_ANGLE = 60.0
ANGLE_RANGE = 60.0


def cell_from_lattice(lattice: Tensor) -> Tensor:
    """Lattice vectors as rows, c along z and a in the xz plane (pymatgen's convention).

    Args:
        lattice: a, b, c (Å), alpha, beta, gamma (degrees). [..., 6]

    Returns:
        Rows a, b, c in Å; right-handed. Angles that no cell can have give a cell of zero volume. [..., 3, 3]
    """
    a, b, c = lattice[..., :3].unbind(-1)
    alpha, beta, gamma = torch.deg2rad(lattice[..., 3:]).unbind(-1)
    cos_gamma_star = (alpha.cos() * beta.cos() - gamma.cos()) / (alpha.sin() * beta.sin())
    gamma_star = cos_gamma_star.clamp(-1, 1).acos()
    zero = torch.zeros_like(a)
    rows = (
        torch.stack([a * beta.sin(), zero, a * beta.cos()], -1),
        torch.stack([-b * alpha.sin() * gamma_star.cos(), b * alpha.sin() * gamma_star.sin(), b * alpha.cos()], -1),
        torch.stack([zero, zero, c], -1),
    )
    return torch.stack(rows, -2)


def lattice_from_cell(cell: Tensor) -> Tensor:
    """Lattice parameters of a cell in any orientation.

    Args:
        cell: Rows are the lattice vectors, Å. [..., 3, 3]

    Returns:
        a, b, c (Å), alpha, beta, gamma (degrees). [..., 6]
    """
    return lattice_from_gram(cell @ cell.transpose(-1, -2))


def lattice_from_gram(gram: Tensor) -> Tensor:
    """Lattice parameters of the matrix of scalar products of the lattice vectors (Å2). [..., 3, 3] -> [..., 6]"""
    lengths = gram.diagonal(dim1=-2, dim2=-1).sqrt()
    a, b, c = lengths.unbind(-1)
    cosines = torch.stack([gram[..., 1, 2] / (b * c), gram[..., 0, 2] / (a * c), gram[..., 0, 1] / (a * b)], -1)
    return torch.cat([lengths, torch.rad2deg(cosines.clamp(-1, 1).acos())], -1)


def volume(lattice: Tensor) -> Tensor:
    """Volume of the unit cell in Å3. [..., 6] -> [...]"""
    return torch.linalg.det(cell_from_lattice(lattice)).abs()


def min_height(lattice: Tensor) -> Tensor:
    """Smallest distance in Å between opposite faces of the cell; 0 for a flat one. [..., 6] -> [...]"""
    a, b, c = cell_from_lattice(lattice).unbind(-2)
    cross = torch.linalg.cross
    areas = torch.stack([cross(b, c), cross(c, a), cross(a, b)], -2).norm(dim=-1).amax(-1)
    return volume(lattice) / areas.clamp(min=torch.finfo(lattice.dtype).tiny)


def angles_encode(lattice: Tensor) -> Tensor:
    """Lengths in Å and the logit of (angle - 60) / 60, after Miller et al. 2024 (FlowMM); the paper's unconstrained lattice.

    Angles at or outside 60 and 120 degrees saturate: they do not survive the round trip.

    Args:
        lattice: [..., 6]

    Returns:
        [..., 6]
    """
    share = ((lattice[..., 3:] - MIN_ANGLE) / ANGLE_RANGE).clamp(SMALLEST, LARGEST)
    return torch.cat([lattice[..., :3], torch.log(share / (1 - share))], -1)


def angles_decode(flow_lattice: Tensor) -> Tensor:
    """Inverse of angles_encode; lengths pass unchanged, negative ones too. [..., 6] -> [..., 6]"""
    share = torch.sigmoid(flow_lattice[..., 3:]).clamp(SMALLEST, LARGEST)
    return torch.cat([flow_lattice[..., :3], MIN_ANGLE + ANGLE_RANGE * share], -1)


def cholesky_encode(lattice: Tensor, scale: Tensor) -> Tensor:
    """Cholesky factor of the Gram matrix over a length, with the logarithm of its diagonal.

    Every six numbers are a valid cell, and every cell has its six numbers: nothing saturates, no length is negative.

    Args:
        lattice: [..., 6]
        scale: Length in Å that makes the factor a pure number. [...]

    Returns:
        log L00, log L11, log L22, L10, L20, L21. [..., 6]
    """
    cell = cell_from_lattice(lattice)
    factor = torch.linalg.cholesky(cell @ cell.transpose(-1, -2)) / scale[..., None, None]
    below = torch.stack([factor[..., 1, 0], factor[..., 2, 0], factor[..., 2, 1]], -1)
    return torch.cat([factor.diagonal(dim1=-2, dim2=-1).log(), below], -1)


def cholesky_decode(flow_lattice: Tensor, scale: Tensor) -> Tensor:
    """Inverse of cholesky_encode. [..., 6], [...] -> [..., 6]"""
    factor = torch.diag_embed(flow_lattice[..., :3].exp())
    factor[..., [1, 2, 2], [0, 0, 1]] = flow_lattice[..., 3:]
    factor = factor * scale[..., None, None]
    return lattice_from_gram(factor @ factor.transpose(-1, -2))

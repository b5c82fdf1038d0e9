"""What the cutoff leaves out of the van der Waals energy of a crystal of uniform density."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

SWITCH_WIDTH = 1.0  # Å before the cutoff
N_POINTS = 24  # of each Gauss-Legendre quadrature: exact to some 1e-12 of the integral


def van_der_waals(
    r: Tensor,  # [...]
    radius: Tensor,  # [...]
    epsilon: Tensor,  # [...]
) -> Tensor:
    """Buffered 14-7 energy in eV at r Å (Halgren, J. Am. Chem. Soc. 114, 7827, 1992, eq. 10). [...]"""
    x = r / radius
    return epsilon * (1.07 / (x + 0.07)) ** 7 * (1.12 / (x**7 + 0.12) - 2)


def switch(
    r: Tensor,  # [...]
    cutoff: float,
) -> Tensor:
    """1 up to 1 Å before the cutoff, 0 from there on, with two continuous derivatives. [...]"""
    t = ((r - cutoff) / SWITCH_WIDTH + 1).clamp(0, 1)
    return 1 - t**3 * (10 - 15 * t + 6 * t**2)


def nonbonded_tail(
    atom_ptr: Tensor,  # [n_structures + 1]
    types: Tensor,  # [n_atoms]
    radius: Tensor,  # [2, n_types, n_types]
    epsilon: Tensor,  # [2, n_types, n_types]
    cutoff: float,
) -> Tensor:
    """Volume times the energy that the switch and the cutoff take from each structure, were its atoms spread evenly.

    Half the sum over all pairs of atoms of the integral of 4 pi r2 (1 - switch) times the energy of two molecules' atoms.

    Args:
        atom_ptr: First atom of each structure, then n_atoms, int32. [n_structures + 1]
        types: Row of each atom in the tables, int32. [n_atoms]
        radius: Å, float64; the second table counts. [2, n_types, n_types]
        epsilon: eV, likewise. [2, n_types, n_types]
        cutoff: Å.

    Returns:
        eV Å3, negative: divide by the volume. [n_structures]
    """
    device = radius.device
    points, weights = (torch.from_numpy(x).to(device) for x in np.polynomial.legendre.leggauss(N_POINTS))
    u, weights = (points + 1) / 2, weights / 2
    inside = cutoff - SWITCH_WIDTH + SWITCH_WIDTH * u
    # r = cutoff / u from the cutoff to infinity; dr = cutoff / u2 du.
    r = torch.cat([inside, cutoff / u])[:, None, None]
    dr = torch.cat([SWITCH_WIDTH * weights, cutoff * weights / u**2])[:, None, None]
    integrals = (4 * math.pi * r**2 * (1 - switch(r, cutoff)) * van_der_waals(r, radius[1], epsilon[1]) * dr).sum(0)
    n_structures, n_types = len(atom_ptr) - 1, len(integrals)
    owner = torch.repeat_interleave(torch.arange(n_structures, device=device), atom_ptr.diff().long())
    counts = torch.bincount(owner * n_types + types.long(), minlength=n_structures * n_types)
    counts = counts.reshape(n_structures, n_types).to(radius.dtype)
    return 0.5 * torch.einsum("sa,ab,sb->s", counts, integrals, counts)

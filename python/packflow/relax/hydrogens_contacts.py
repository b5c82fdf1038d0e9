"""Contacts of hydrogens: which are too short, and what a contact costs a hydrogen that can choose."""

from __future__ import annotations

import numpy as np

from packflow.relax.hydrogens_cells import APART, HydrogenCells, Pairs, lengths

# A contact of a hydrogen with an atom of another molecule is a clash below this share of the sum of van der Waals radii; a hydrogen bond
# may be this many Å shorter.
CLASH_SHARE, BOND_ALLOWANCE = 0.75, 0.55
# kcal/mol at the sum of the van der Waals radii; 1/Å, as steep as the repulsion of hydrogens in hydrocarbons (Williams, J. Chem. Phys. 47,
# 4680, 1967)
CONTACT_ENERGY, STEEPNESS = 0.3, 3.7
# Å: beyond the sum of radii plus this a contact counts nothing; a hydrogen bond's contact is as cheap at this much less
REACH, BOND_SHORTENING = 0.5, 0.9
# Å, kcal/mol, Å: best distance between oxygens, strength and reach of a hydrogen bond, as DREIDING's (J. Phys. Chem. 94, 8897, 1990)
BOND_DISTANCE, BOND_ENERGY, BOND_REACH = 2.75, 7.0, 4.2
# Å added to the radii of two hydrogens that both make hydrogen bonds: they are charged alike
LIKE_CHARGES = 0.3
OXYGEN_RADIUS = 1.52


def clashes(cells: HydrogenCells) -> Pairs:
    """Contacts of hydrogens with atoms of other molecules, or of images of their own, that are too short; the hydrogen is i.

    Two hydrogens are listed once.
    """
    radii, is_hydrogen = cells.of_atoms("radii"), cells.of_atoms("bearer") >= 0
    if not is_hydrogen.any():
        return cells.pairs(CLASH_SHARE).select(np.zeros(0, dtype=np.int64))
    pairs = cells.pairs(CLASH_SHARE * float(radii[is_hydrogen].max() + radii.max()), half=True)
    pairs = pairs.select(np.nonzero((pairs.bonds == APART) & (is_hydrogen[pairs.i] | is_hydrogen[pairs.j]))[0])
    turned = ~is_hydrogen[pairs.i]
    i, j = np.where(turned, pairs.j, pairs.i), np.where(turned, pairs.i, pairs.j)
    donates, accepts = cells.of_atoms("donates"), cells.of_atoms("accepts")
    limit = CLASH_SHARE * (radii[i] + radii[j]) - BOND_ALLOWANCE * ((donates[i] > 0) & (accepts[j] > 0))
    vectors = np.where(turned[:, None], -pairs.vectors, pairs.vectors)
    return Pairs(i, j, vectors, pairs.distances, pairs.bonds).select(pairs.distances < limit)


def repulsion(distances: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Cost of contacts whose radii sum to `radii`, which broadcasts; 0 beyond reach. Å, Å -> kcal/mol"""
    return np.where(distances < radii + REACH, CONTACT_ENERGY * np.exp(-STEEPNESS * (distances - radii)), 0.0)


def bond_depth(heavy_distances: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Depth of a straight hydrogen bond by the distance of its heavy atoms: DREIDING's 12-10 function, flat below its minimum.

    Args:
        heavy_distances: From donor to acceptor, Å. [n]
        radii: Sum of their van der Waals radii, Å; the best distance of two oxygens is BOND_DISTANCE. [n]

    Returns:
        0 beyond BOND_REACH, kcal/mol, positive. [n]
    """
    best = BOND_DISTANCE + radii - 2 * OXYGEN_RADIUS
    ratio = np.minimum(best / np.maximum(heavy_distances, best), 1.0)
    return np.where(heavy_distances < BOND_REACH, BOND_ENERGY * (6 * ratio**10 - 5 * ratio**12), 0.0)


def straightness(to_donor: np.ndarray, to_acceptor: np.ndarray) -> np.ndarray:
    """cos^4 of the angle donor-hydrogen-acceptor, 0 below 90 degrees. [..., 3], [..., 3], seen from the hydrogen -> [...]"""
    scalar = np.einsum("...x,...x->...", to_donor, to_acceptor)
    product = lengths(to_donor) * lengths(to_acceptor)
    return np.minimum(scalar / np.maximum(product, np.finfo(np.float64).tiny), 0.0) ** 4

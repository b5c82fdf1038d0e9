"""What every position of every rotor costs, alone and beside every position of its neighbors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from packflow.relax.hydrogens_cells import HydrogenCells, Pairs, lengths
from packflow.relax.hydrogens_contacts import BOND_REACH, BOND_SHORTENING, LIKE_CHARGES, REACH, bond_depth, repulsion, straightness
from packflow.relax.rotors import Rotors

# contacts whose costs are computed at once, to bound the memory
CONTACTS_AT_ONCE = 2048


@dataclass(frozen=True)
class RotorCosts:
    """Costs in kcal/mol of rotors at n_states angles each.

    alone:  [n_rotors, n_states] by the rotor's own state: its bond, atoms that do not turn, its own images.
    first:  [n_edges] int64, a rotor.
    second: [n_edges] int64, another rotor, which it can touch; first < second.
    both:   [n_edges, n_states, n_states] by the states of the first and the second.
    """

    alone: np.ndarray
    first: np.ndarray
    second: np.ndarray
    both: np.ndarray


@dataclass(frozen=True)
class Turning:
    """Hydrogens of rotors at several angles, seen from their centers.

    hydrogens: [n] int64, rows of the cells, by rotor.
    rotor:     [n] int64.
    vectors:   [n, n_states, 3] from the center, Å.
    first:     [n_rotors + 1] int64; rotor r owns first[r]:first[r + 1].
    """

    hydrogens: np.ndarray
    rotor: np.ndarray
    vectors: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, cells: HydrogenCells, rotors: Rotors, angles: np.ndarray) -> Turning:
        """Turn from where they are by angles in degrees. [n_rotors, n_states]"""
        hydrogens = np.nonzero(rotors.of_atom >= 0)[0]
        hydrogens = hydrogens[np.argsort(rotors.of_atom[hydrogens], kind="stable")]
        rotor = rotors.of_atom[hydrogens]
        x = cells.positions
        axes = x[rotors.centers] - x[rotors.neighbors].mean(1)
        axes /= np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        vectors = turned((x[hydrogens] - x[rotors.centers[rotor]])[:, None], axes[rotor][:, None], np.deg2rad(angles)[rotor])
        return cls(hydrogens, rotor, vectors, np.searchsorted(rotor, np.arange(len(rotors.centers) + 1)))

    def owned(self, rotor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each rotor of a list, [n], as often as it has hydrogens: its place in the list, and the row of the hydrogen here."""
        counts = self.first[rotor + 1] - self.first[rotor]
        place = np.repeat(np.arange(len(rotor)), counts)
        return place, np.arange(len(place)) - (np.cumsum(counts) - counts)[place] + self.first[rotor][place]


def turned(vectors: np.ndarray, axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Turn vectors about unit axes by angles in radians (Rodrigues); exact at 0. [..., 3], [..., 3], [...] -> [..., 3]"""
    cosine, sine = np.cos(angles)[..., None], np.sin(angles)[..., None]
    along = (vectors * axes).sum(-1, keepdims=True) * axes
    return vectors + (cosine - 1) * (vectors - along) + sine * np.cross(axes, vectors)


def rotor_pairs(cells: HydrogenCells, rotors: Rotors) -> Pairs:
    """From the centers of rotors to all that their hydrogens can touch, and to rotors that can; the same wherever rotors are turned."""
    radii = cells.of_atoms("radii")
    hydrogens = np.nonzero(rotors.of_atom >= 0)[0]
    reach = lengths(cells.positions[hydrogens] - cells.positions[rotors.centers[rotors.of_atom[hydrogens]]]).max() + radii[hydrogens].max()
    is_center = np.zeros(len(radii), dtype=bool)
    is_center[rotors.centers] = True
    pairs = cells.pairs(max(reach + REACH + max(radii.max(), reach + LIKE_CHARGES), BOND_REACH), of=is_center)
    return pairs.select((rotors.of_atom[pairs.j] < 0) & (pairs.bonds > 1))


def rotor_costs(cells: HydrogenCells, rotors: Rotors, pairs: Pairs, angles: np.ndarray) -> RotorCosts:
    """Costs of turning by each of the given angles, degrees; `pairs` are those of `rotor_pairs`. [n_rotors, n_states]"""
    turning = Turning.of(cells, rotors, angles)
    rotor_of = np.full(len(cells.positions), -1)
    rotor_of[rotors.centers] = np.arange(len(rotors.centers))
    alone = torsion_costs(cells, rotors, angles)
    _add_fixed(alone, cells, turning, rotor_of, pairs.select(pairs.bonds > 2))
    beside = pairs.select(rotor_of[pairs.j] >= rotor_of[pairs.i])
    return RotorCosts(alone, *_of_rotors(alone, cells, turning, rotor_of, beside))


def torsion_costs(cells: HydrogenCells, rotors: Rotors, angles: np.ndarray) -> np.ndarray:
    """Cost of turning within the molecule, kcal/mol. [n_rotors, n_states] degrees -> [n_rotors, n_states]"""
    x, center, bearer = cells.positions, rotors.centers, rotors.neighbors[:, 0]
    axis = x[center] - x[bearer]
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    hydrogen, other = x[rotors.first] - x[center], x[rotors.reference] - x[bearer]
    sine = (np.cross(other, hydrogen) * axis).sum(1)
    cosine = (other * hydrogen).sum(1) - (other * axis).sum(1) * (hydrogen * axis).sum(1)
    f = np.arctan2(sine, cosine)[:, None] + np.deg2rad(angles)
    waves = np.stack([1 + np.cos(f), 1 - np.cos(2 * f), 1 + np.cos(3 * f)], 2) / 2
    return np.einsum("rsn,rn->rs", waves, rotors.costs)


def _add_fixed(alone: np.ndarray, cells: HydrogenCells, turning: Turning, rotor_of: np.ndarray, pairs: Pairs) -> None:
    """Add contacts and hydrogen bonds with atoms that do not turn; `pairs` lead from the centers to them."""
    radii, donates, accepts = (cells.of_atoms(name) for name in ("radii", "donates", "accepts"))
    place, row = turning.owned(rotor_of[pairs.i])
    h, i, j = turning.hydrogens[row], pairs.i[place], pairs.j[place]
    bond, sums = donates[h] * accepts[j], radii[h] + radii[j]
    depth = bond * bond_depth(pairs.distances[place], radii[i] + radii[j])
    sums -= BOND_SHORTENING * np.minimum(bond, 1)
    touches = np.nonzero(pairs.distances[place] < lengths(turning.vectors[row, 0]) + sums + REACH)[0]
    for some in np.array_split(touches, len(touches) // CONTACTS_AT_ONCE + 1):
        to_other = pairs.vectors[place[some]][:, None] - turning.vectors[row[some]]
        np.add.at(alone, turning.rotor[row[some]], repulsion(lengths(to_other), sums[some][:, None]))
    for some in np.array_split(np.nonzero(depth)[0], np.count_nonzero(depth) // CONTACTS_AT_ONCE + 1):
        to_hydrogen = turning.vectors[row[some]]
        straight = straightness(-to_hydrogen, pairs.vectors[place[some]][:, None] - to_hydrogen)
        np.add.at(alone, turning.rotor[row[some]], -depth[some][:, None] * straight)


def _of_rotors(
    alone: np.ndarray, cells: HydrogenCells, turning: Turning, rotor_of: np.ndarray, pairs: Pairs
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contacts between hydrogens of rotors as `first`, `second`, `both`; those of a rotor with its own images are added to `alone`."""
    radii, donates = cells.of_atoms("radii"), cells.of_atoms("donates")
    place, row = turning.owned(rotor_of[pairs.i])
    again, other = turning.owned(rotor_of[pairs.j[place]])
    place, row = place[again], row[again]
    h, g = turning.hydrogens[row], turning.hydrogens[other]
    sums = radii[h] + radii[g] + LIKE_CHARGES * ((donates[h] > 0) & (donates[g] > 0))
    bonds = lengths(turning.vectors[:, 0])
    near = np.nonzero(pairs.distances[place] < bonds[row] + bonds[other] + sums + REACH)[0]
    n_rotors, n_states = alone.shape
    edges, edge = np.unique(turning.rotor[row[near]] * n_rotors + turning.rotor[other[near]], return_inverse=True)
    both = np.zeros((len(edges), n_states, n_states))
    for some in np.array_split(np.arange(len(near)), len(near) // CONTACTS_AT_ONCE + 1):
        rows = near[some]
        one = turning.vectors[row[rows]]
        two = pairs.vectors[place[rows]][:, None] + turning.vectors[other[rows]]
        squares = (lengths(one) ** 2)[:, :, None] + (lengths(two) ** 2)[:, None] - 2 * one @ two.transpose(0, 2, 1)
        np.add.at(both, edge[some], repulsion(np.sqrt(np.maximum(squares, 0)), sums[rows][:, None, None]))
    first, second = edges // n_rotors, edges % n_rotors
    own = first == second
    # both directions of an image are listed, and the cell has one of them
    alone[first[own]] += both[own].diagonal(axis1=1, axis2=2) / 2
    return first[~own], second[~own], both[~own]

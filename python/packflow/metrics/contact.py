"""How well the contacts between molecules agree, whatever the order of the atoms."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from packflow.metrics.pairs import nearest_of, pair_distances
from packflow.metrics.references import reference_rows
from packflow.metrics.validity import over_good
from packflow.ops import neighbors
from packflow.structure import AtomsBatch

# Å: contacts fade out to nothing at R_MAX (C to C of methyl groups is 4.0), and are told apart by this distance
R_MAX, WIDTH = 4.5, 0.25
N_BINS = round(R_MAX / WIDTH)


def contact_f1(predictions: AtomsBatch, references: AtomsBatch, reference_of: Tensor | None = None) -> Tensor:
    """F1 score of the intermolecular contacts of a prediction against its reference's.

    A structure is the multiset of its contacts per atom: pairs of atoms of different molecules, or of one molecule and its image, below
    4.5 Å, each known by its two elements and its distance alone. A contact is shared linearly by the two nearest of the distances
    0, 0.25, 0.5, ... 4.25 Å (none at 4.5 Å), so that the score is continuous. F1 = 2 sum(min(p, q)) / (sum(p) + sum(q)): 1 for the same
    crystal in whatever cell, supercell, frame or order of atoms. Means of 20 pairs from crystal structure landscapes: 0.90 with
    0.1 Å of noise, 0.75 for two polymorphs, 0.58 with the molecules turned at random.

    Args:
        predictions: Any values.
        references: Any values.
        reference_of: The reference of each prediction; the one in its place if not given. [n_predictions] int64

    Returns:
        0 to 1; NaN where either has a problem or unknown bonds, or neither has a contact. [n_predictions] float64

    Raises:
        ValueError: `reference_of` does not fit.
    """
    rows = reference_rows(predictions, references, reference_of)
    elements = torch.cat([predictions.atomic_numbers, references.atomic_numbers]).unique()
    return f1(contacts(predictions, elements), contacts(references, elements)[rows])


def contacts(atoms: AtomsBatch, elements: Tensor) -> Tensor:
    """Contacts between molecules per atom, by pair of elements and distance.

    Args:
        atoms: Any values.
        elements: Ascending atomic numbers, all that occur in `atoms`. [n_elements] int64

    Returns:
        NaN for a structure with a problem or unknown bonds. [n_structures, n_elements (n_elements + 1) / 2 * 18] float64
    """
    return over_good(atoms, lambda good: contacts_of_good(good, elements), n_contacts(elements))


def n_contacts(elements: Tensor) -> int:
    """Kinds of contacts among so many elements."""
    return len(elements) * (len(elements) + 1) // 2 * N_BINS


def contacts_of_good(atoms: AtomsBatch, elements: Tensor) -> Tensor:
    """As `contacts`, of structures without problems, in float64. [n_structures, n_contacts] float64"""
    width = n_contacts(elements)
    if not atoms.has_bonds.any():
        return torch.full((len(atoms), width), torch.nan, dtype=torch.float64, device=atoms.cell.device)
    pairs = neighbors(atoms.positions, atoms.cell, atoms.atom_ptr, R_MAX, half=True)
    distance = pair_distances(atoms, pairs)
    apart = ~_within_molecules(atoms, pairs.pair_index, pairs.cell_shifts, distance)
    (i, j), distance = pairs.pair_index[:, apart], distance[apart]
    one, other = torch.searchsorted(elements, atoms.atomic_numbers[torch.stack([i, j])]).sort(0).values
    # the structure, its pair of elements, the distance: row by row of the result
    row = atoms.structure_index[i] * width + (other * (other + 1) // 2 + one) * N_BINS
    below = (distance / WIDTH).long().clamp(max=N_BINS - 1)
    share = distance / WIDTH - below
    counts = torch.zeros(len(atoms) * width, dtype=torch.float64, device=i.device)
    counts.index_add_(0, row + below, 1 - share)
    counts.index_add_(0, (row + below + 1).clamp(max=max(len(counts) - 1, 0)), share.where(below + 1 < N_BINS, 0))
    return (counts.reshape(len(atoms), width) / atoms.sizes[:, None]).where(atoms.has_bonds[:, None], torch.nan)


def f1(p: Tensor, q: Tensor) -> Tensor:
    """F1 score of two multisets; NaN if both are empty or either holds NaN. [n, k], [n, k] -> [n]"""
    return 2 * torch.minimum(p, q).sum(1) / (p.sum(1) + q.sum(1))


def _within_molecules(atoms: AtomsBatch, pair_index: Tensor, shifts: Tensor, distance: Tensor) -> Tensor:
    """Pairs of a half list that lie in one molecule, made whole along its bonds' nearest images. [n_pairs] bool"""
    bonds = nearest_of(atoms.bond_index, pair_index, distance, len(atoms.positions))
    molecule, image = _unwrap(len(atoms.positions), pair_index[:, bonds], shifts[bonds].long())
    i, j = pair_index
    return (molecule[i] == molecule[j]) & (image[i] + shifts == image[j]).all(1)


def _unwrap(n_atoms: int, bonds: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """The molecule of each atom, and the cell in which it is when molecules are whole.

    Where bonds lead from an atom to its own image, as in bad predictions, the image depends on the order of the atoms.

    Args:
        n_atoms: Number of atoms.
        bonds: Atoms i and j, each bond once. [2, n_bonds]
        shifts: The cell of j seen from that of i. [n_bonds, 3]

    Returns:
        [n_atoms] int64, [n_atoms, 3] int64
    """
    i, j = bonds.cpu().numpy()
    _, label = connected_components(coo_array((np.ones(len(i)), (i, j)), (n_atoms, n_atoms)), directed=False)
    molecule = torch.from_numpy(label.astype(np.int64)).to(bonds.device)
    reached = torch.zeros(n_atoms, dtype=torch.bool, device=bonds.device)
    reached[torch.from_numpy(np.unique(label, return_index=True)[1]).to(bonds.device)] = True
    image = torch.zeros(n_atoms, 3, dtype=torch.int64, device=bonds.device)
    begin, end, step = torch.cat([bonds[0], bonds[1]]), torch.cat([bonds[1], bonds[0]]), torch.cat([shifts, -shifts])
    while (edge := reached[begin] & ~reached[end]).any():
        image[end[edge]] = image[begin[edge]] + step[edge]
        reached[end[edge]] = True
    return molecule, image

"""Whether two structures are the same by their pointwise distance distributions (PDD)."""

from __future__ import annotations

import math

import numpy as np
import torch

from packflow.metrics.pdd import earth_movers_distance
from packflow.ops import pdd
from packflow.structure import AtomsBatch

# PDD values held at once: 64 MiB of float64.
BLOCK_VALUES = 2**23


class SamePdd:
    """Confirms by PDD what the AMD, its mean, leaves open; computes rows when asked, so that few are held at a time.

    Atoms are matched with atoms of the same element only: the mean over elements, by their shares, of `earth_movers_distance`. That is
    never less than the AMD distance, so no pair is lost to a search by AMD.
    """

    def __init__(self, atoms: AtomsBatch, k: int, tolerance: float) -> None:
        """Compare the structures of `atoms` with k neighbors per atom; the same are at most `tolerance` (Å) apart."""
        self.atoms, self.k, self.tolerance = atoms, k, tolerance
        self.atom_ptr = atoms.atom_ptr.tolist()
        self.atomic_numbers = atoms.atomic_numbers.cpu().numpy()

    def __call__(self, structure: int, others: np.ndarray) -> np.ndarray:
        """Which of the others [n_others], of the same composition, are the same as the structure. [n_others] bool"""
        rows = self.rows([structure])[0]
        same = []
        for block in self._blocks(others.tolist()):
            near = zip(block, self.rows(block), strict=True)
            same += [self.distance(structure, rows, other, other_rows) <= self.tolerance for other, other_rows in near]
        return np.array(same, dtype=bool)

    def rows(self, structures: list[int]) -> list[np.ndarray]:
        """PDD rows of some structures, Å. [n_atoms of each, k]"""
        atoms = [slice(self.atom_ptr[s], self.atom_ptr[s + 1]) for s in structures]
        positions = torch.cat([self.atoms.positions[a] for a in atoms])
        begins = np.cumsum([0, *(a.stop - a.start for a in atoms)])
        atom_ptr = torch.from_numpy(begins.astype(np.int32)).to(positions.device)
        rows = pdd(positions, self.atoms.cell[structures], atom_ptr, self.k).double().cpu().numpy()
        return np.split(rows, begins[1:-1])

    def distance(self, structure: int, rows: np.ndarray, other: int, other_rows: np.ndarray) -> float:
        """Distance between the PDDs of two structures of the same composition, Å."""
        elements, other_elements = self._elements(structure), self._elements(other)
        total = 0.0
        for element in np.unique(elements).tolist():
            mine = elements == element
            total += mine.mean() * earth_movers_distance(rows[mine], other_rows[other_elements == element])
        return total

    def _elements(self, structure: int) -> np.ndarray:
        return self.atomic_numbers[self.atom_ptr[structure] : self.atom_ptr[structure + 1]]

    def _blocks(self, structures: list[int]) -> list[list[int]]:
        """The structures in order, in lists whose rows fit the memory."""
        blocks: list[list[int]] = []
        held = math.inf
        for structure in structures:
            size = self.k * (self.atom_ptr[structure + 1] - self.atom_ptr[structure])
            if held + size > BLOCK_VALUES:
                blocks.append([])
                held = 0
            blocks[-1].append(structure)
            held += size
        return blocks

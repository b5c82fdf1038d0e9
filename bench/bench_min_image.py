"""`min_image` of bonded pairs against ASE's find_mic and pymatgen's pbc_shortest_vectors, crystal by crystal; one thread."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from ase.geometry import find_mic
from cases import Case, measured
from harness import compare, smallest
from peers import crystals_of
from pymatgen.core import Lattice
from pymatgen.util.coord import pbc_shortest_vectors

from packflow.ops import min_image, neighbors

NEAR = 1.9  # Å, of bonded heavy atoms


def bonds_of(case: Case) -> torch.Tensor:
    """Pairs of near atoms, each in both directions. [2, n_pairs]"""
    return neighbors(case.positions.double(), case.cell.double(), case.atom_ptr, NEAR).pair_index.unique(dim=1)


def with_ase(case: Case, pairs: torch.Tensor):
    systems = []
    for crystal, (first, last) in zip(crystals_of(case), itertools.pairwise(case.atom_ptr.tolist()), strict=True):
        i, j = pairs[:, (pairs[0] >= first) & (pairs[0] < last)].numpy() - first
        systems.append((crystal.positions[j] - crystal.positions[i], crystal.cell))
    return lambda: np.concatenate([find_mic(steps, cell, pbc=True)[1] for steps, cell in systems])


def with_pymatgen(case: Case, pairs: torch.Tensor):
    """It takes all pairs of two lists of atoms: the distances of the bonded ones are picked."""
    systems = []
    for crystal, (first, last) in zip(crystals_of(case), itertools.pairwise(case.atom_ptr.tolist()), strict=True):
        i, j = pairs[:, (pairs[0] >= first) & (pairs[0] < last)].numpy() - first
        systems.append((Lattice(crystal.cell), crystal.positions @ np.linalg.inv(crystal.cell), i, j))

    def run():
        found = []
        for lattice, fractional, i, j in systems:
            _, distance2 = pbc_shortest_vectors(lattice, fractional, fractional, return_d2=True)
            found.append(np.sqrt(distance2[i, j]))
        return np.concatenate(found)

    return run


def check(ours: torch.Tensor, theirs: np.ndarray) -> None:
    worst = np.abs(ours.numpy() - theirs).max()
    assert worst < 1e-5, f"differs by {worst} Å"


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    case = measured(4 if quick else 64)
    pairs = bonds_of(case)
    batch = case.positions.double(), case.cell.double(), case.atom_ptr
    for peer, make, package in (("ase", with_ase, "ase"), ("pymatgen", with_pymatgen, "pymatgen-core")):
        compare(
            "min_image",
            f"{case.name}, {pairs.shape[1]} bonds",
            peer,
            lambda: min_image(*batch, pairs),
            make(case, pairs),
            check,
            ("pairs", pairs.shape[1]),
            packages=(package,),
            quick=quick,
        )


if __name__ == "__main__":
    main()

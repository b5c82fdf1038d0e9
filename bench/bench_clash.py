"""`clash` against the same flags from vesin's and ASE's neighbor lists, one thread."""

from __future__ import annotations

import itertools

import numpy as np
import torch
import vesin
from ase.neighborlist import primitive_neighbor_list
from cases import Case, cases
from harness import compare, smallest

from packflow.ops import clash

SCALE = 0.75


def crystals_of(case: Case) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, slice]]:
    """Positions, cell and radii of each crystal in double and where its atoms lie: made once, outside the clock."""
    positions, cell, radii = (x.double().numpy() for x in (case.positions, case.cell, case.radii))
    slices = [slice(first, last) for first, last in itertools.pairwise(case.atom_ptr.tolist())]
    return [(np.ascontiguousarray(positions[s]), np.ascontiguousarray(c), radii[s], s) for s, c in zip(slices, cell, strict=True)]


def with_vesin(case: Case):
    """The fastest fair use: one list object, half the pairs, no copies."""
    crystals = crystals_of(case)
    neighbors = vesin.NeighborList(cutoff=2 * SCALE * float(case.radii.max()), full_list=False, n_threads=1)

    def run():
        in_clash = np.zeros(len(case.positions), dtype=bool)
        for positions, cell, radii, atoms in crystals:
            i, j, distance = neighbors.compute(positions, cell, True, "ijd", copy=False)
            close = distance < SCALE * (radii[i] + radii[j])
            flags = in_clash[atoms]
            flags[i[close]] = True
            flags[j[close]] = True
        return in_clash

    return run


def with_ase(case: Case):
    crystals = crystals_of(case)
    cutoff = 2 * SCALE * float(case.radii.max())

    def run():
        in_clash = np.zeros(len(case.positions), dtype=bool)
        for positions, cell, radii, atoms in crystals:
            i, j, distance = primitive_neighbor_list("ijd", (True, True, True), cell, positions, cutoff)
            in_clash[atoms][i[distance < SCALE * (radii[i] + radii[j])]] = True
        return in_clash

    return run


def check(ours: torch.Tensor, theirs: np.ndarray) -> None:
    assert np.array_equal(ours.numpy(), theirs), f"{(ours.numpy() != theirs).sum()} flags differ"


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    for case in cases(quick):
        peers = {"vesin": with_vesin(case), "ase": with_ase(case)}
        pairs = float((case.atom_ptr.diff().double() ** 2).sum())
        for peer, theirs in peers.items():
            compare(
                op="clash",
                case=case.name,
                peer=peer,
                ours=lambda case=case: clash(case.positions, case.cell, case.atom_ptr, case.radii, SCALE),
                theirs=theirs,
                check=check,
                work=("pairs", pairs),
                packages=(peer,),
                quick=quick,
            )


if __name__ == "__main__":
    main()

"""`clash` against the same flags from vesin's and ASE's neighbor lists, one thread."""

from __future__ import annotations

import numpy as np
import torch
import vesin
from ase.neighborlist import primitive_neighbor_list
from cases import Case, cases, measured
from harness import compare, smallest
from peers import crystals_of

from packflow.ops import clash

SCALE = 0.75


def with_vesin(case: Case):
    """The fastest fair use: one list object, half the pairs, no copies."""
    crystals = crystals_of(case)
    neighbors = vesin.NeighborList(cutoff=2 * SCALE * float(case.radii.max()), full_list=False, n_threads=1)

    def run():
        in_clash = np.zeros(len(case.positions), dtype=bool)
        for x in crystals:
            i, j, distance = neighbors.compute(x.positions, x.cell, True, "ijd", copy=False)
            close = distance < SCALE * (x.radii[i] + x.radii[j])
            flags = in_clash[x.place]
            flags[i[close]] = True
            flags[j[close]] = True
        return in_clash

    return run


def with_ase(case: Case):
    crystals = crystals_of(case)
    cutoff = 2 * SCALE * float(case.radii.max())

    def run():
        in_clash = np.zeros(len(case.positions), dtype=bool)
        for x in crystals:
            i, j, distance = primitive_neighbor_list("ijd", (True, True, True), x.cell, x.positions, cutoff)
            in_clash[x.place][i[distance < SCALE * (x.radii[i] + x.radii[j])]] = True
        return in_clash

    return run


def check(ours: torch.Tensor, theirs: np.ndarray) -> None:
    assert np.array_equal(ours.numpy(), theirs), f"{(ours.numpy() != theirs).sum()} flags differ"


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    for case in [measured(4 if quick else 64), *cases(quick)]:
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

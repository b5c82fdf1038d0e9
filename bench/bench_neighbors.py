"""`neighbors` against vesin, matscipy, ASE and pymatgen, full lists with shifts, one thread."""

from __future__ import annotations

import numpy as np
import torch
import vesin
from ase.neighborlist import primitive_neighbor_list
from cases import Case, measured
from harness import compare, smallest
from matscipy.neighbours import neighbour_list
from peers import crystals_of
from pymatgen.optimization.neighbors import find_points_in_spheres

from packflow.ops import NeighborList, neighbors

CUTOFFS = (6.0, 10.0)
PERIODIC = np.ones(3, dtype=np.int64)


def with_vesin(case: Case, cutoff: float):
    """The fastest fair use: one list object, no copies."""
    crystals, search = crystals_of(case), vesin.NeighborList(cutoff=cutoff, full_list=True, n_threads=1)
    return lambda: [len(search.compute(x.positions, x.cell, True, "ijS", copy=False)[0]) for x in crystals]


def with_matscipy(case: Case, cutoff: float):
    atoms = [x.atoms for x in crystals_of(case)]
    return lambda: [len(neighbour_list("ijS", x, cutoff=cutoff)[0]) for x in atoms]


def with_ase(case: Case, cutoff: float):
    crystals = crystals_of(case)
    return lambda: [len(primitive_neighbor_list("ijS", (True, True, True), x.cell, x.positions, cutoff)[0]) for x in crystals]


def with_pymatgen(case: Case, cutoff: float):
    """Its list holds each atom itself too."""
    crystals = crystals_of(case)

    def run():
        return [
            len(find_points_in_spheres(x.positions, x.positions, cutoff, PERIODIC, x.cell, tol=1e-8)[0]) - len(x.positions)
            for x in crystals
        ]

    return run


PEERS = {"vesin": with_vesin, "matscipy": with_matscipy, "ase": with_ase, "pymatgen": with_pymatgen}


def check(case: Case, ours: NeighborList, theirs: list[int]) -> None:
    """The number of pairs of each crystal; that the pairs are the same is the tests' business."""
    counts = ours.pair_ptr[case.atom_ptr.long()].diff()
    assert counts.tolist() == theirs, f"{(counts - torch.tensor(theirs)).abs().sum()} pairs differ"


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    case = measured(4 if quick else 64)
    # Everybody gets the same numbers, in double and inside the cell.
    positions = torch.from_numpy(np.concatenate([x.positions for x in crystals_of(case)]))
    batch = positions, case.cell.double(), case.atom_ptr
    for cutoff in CUTOFFS:
        n_pairs = neighbors(*batch, cutoff).pair_index.shape[1]
        for peer, make in PEERS.items():
            compare(
                "neighbors",
                f"{case.name}, {cutoff:g} Å",
                peer,
                lambda cutoff=cutoff: neighbors(*batch, cutoff),
                make(case, cutoff),
                lambda x, y: check(case, x, y),
                ("pairs", n_pairs),
                packages=({"ase": "ase", "pymatgen": "pymatgen-core"}.get(peer, peer),),
                quick=quick,
            )


if __name__ == "__main__":
    main()

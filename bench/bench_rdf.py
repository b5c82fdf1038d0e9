"""`rdf` to 10 Å against freud on the supercell that it needs, and against vesin with a numpy histogram; one thread."""

from __future__ import annotations

import freud
import numpy as np
import torch
import vesin
from ase.geometry import cell_to_cellpar
from cases import Case, measured
from harness import compare, smallest
from peers import OneCrystal, crystals_of

from packflow.ops import rdf

R_MAX, N_BINS = 10.0, 100


def supercell(crystal: OneCrystal) -> tuple[freud.box.Box, np.ndarray, np.ndarray]:
    """Box and points of a supercell of more than twice r_max across, and the points of one cell, which come first."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(crystal.cell), axis=0)
    repeats = np.floor(2.0 * R_MAX / heights).astype(int) + 1
    a, b, c, *angles = cell_to_cellpar(crystal.cell)
    box = freud.box.Box.from_box_lengths_and_angles(*(np.array([a, b, c]) * repeats), *np.deg2rad(angles))
    fractional = crystal.positions @ np.linalg.inv(crystal.cell)
    shifts = np.stack(np.meshgrid(*(np.arange(n) for n in repeats), indexing="ij"), -1).reshape(-1, 1, 3)
    points = box.make_absolute(((fractional + shifts) / repeats).reshape(-1, 3))
    return box, points, points[: len(fractional)]


def with_freud(case: Case):
    systems = [supercell(x) for x in crystals_of(case)]
    histogram = freud.density.RDF(bins=N_BINS, r_max=R_MAX)
    query = {"mode": "ball", "r_max": R_MAX, "exclude_ii": True}

    def run():
        counts = []
        for box, points, cell in systems:
            counts.append(histogram.compute((box, points), query_points=cell, neighbors=query).bin_counts.copy())
        return np.stack(counts)

    return run


def with_vesin(case: Case):
    crystals, search = crystals_of(case), vesin.NeighborList(cutoff=R_MAX, full_list=True, n_threads=1)

    def run():
        distances = (search.compute(x.positions, x.cell, True, "d", copy=False)[0] for x in crystals)
        return np.stack([np.histogram(d, N_BINS, (0.0, R_MAX))[0] for d in distances])

    return run


def check(ours: torch.Tensor, theirs: np.ndarray) -> None:
    """A distance on the edge of two bins may be in either; freud works in float32, where many are."""
    moved = np.abs(np.cumsum(ours.numpy() - theirs.astype(np.int64), axis=1)).sum()
    assert moved < 2e-3 * theirs.sum(), f"{moved} of {theirs.sum()} distances are in another bin"


def main() -> None:
    torch.set_num_threads(1)
    freud.parallel.set_num_threads(1)
    quick = smallest()
    case = measured(4 if quick else 64)
    batch = case.positions.double(), case.cell.double(), case.atom_ptr
    for peer, make, package in (("freud", with_freud, "freud-analysis"), ("vesin + numpy", with_vesin, "vesin")):
        compare(
            "rdf",
            f"{case.name}, {R_MAX:g} Å",
            peer,
            lambda: rdf(*batch, R_MAX, N_BINS),
            make(case),
            check,
            ("crystals", len(case.cell)),
            packages=(package,),
            quick=quick,
        )


if __name__ == "__main__":
    main()

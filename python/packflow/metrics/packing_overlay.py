"""Packing overlay: how a crystal has to be moved to lie best on another, for a picture of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import oxtalign
from oxtalign.cluster import nearest_shell_images

from packflow.elements import SYMBOLS
from packflow.metrics.packing_molecules import Reader
from packflow.metrics.packing_similarity import packing_similarity
from packflow.structure import Crystal


@dataclass(frozen=True)
class PackingOverlay:
    """A crystal moved onto a reference: its point x comes to `rotation @ x + shift`.

    n_matched:   molecules of the cluster that lie on one of the crystal.
    n_molecules: molecules of the cluster.
    rmsd:        of the heavy atoms of those that do, Å.
    rotation:    [3, 3] float64; with an inversion where the mirror image fits better.
    shift:       [3] float64, Å.
    cluster:     [n_molecules, 4] int64, molecules of the reference: copy, and the lattice vectors that it is shifted by.
    """

    n_matched: int
    n_molecules: int
    rmsd: float
    rotation: np.ndarray
    shift: np.ndarray
    cluster: np.ndarray


def packing_overlay(reference: Crystal, other: Crystal, n_molecules: int = 15, tolerance: float = 1.0) -> PackingOverlay | None:
    """The motion behind `packing_similarity(reference, other)`.

    Args:
        reference: Gives the cluster.
        other: A crystal of the same molecule.
        n_molecules: Size of the cluster.
        tolerance: A molecule matches if its heavy atoms have a smaller RMSD, Å.

    Returns:
        The overlay in the frames of the two crystals as they are given; None where nothing fits.

    Raises:
        StructureError: as `packing_similarity`.
    """
    if not packing_similarity(reference, other, n_molecules, tolerance).n_matched:
        return None
    one, two = oxtalign_structure(reference), oxtalign_structure(other)
    result = oxtalign.compare(one, two, n=n_molecules, mol_rmsd_tol=tolerance)
    if result.transform is None:
        return None
    motion = np.asarray(result.transform, dtype=np.float64)
    rotation = -motion[:3, :3] if result.inverted else motion[:3, :3]
    return PackingOverlay(result.n_matched, n_molecules, float(result.rmsd_n), rotation, motion[:3, 3], cluster_of(reference, one, result))


def oxtalign_structure(crystal: Crystal) -> oxtalign.Structure:
    """A crystal as oxtalign takes it, its molecules those of the template.

    Raises:
        StructureError: coordinates or a cell that are not those of a crystal.
    """
    packing, molecule = Reader().packing(crystal), crystal.template.molecule
    elements = tuple(SYMBOLS[z] for z in molecule.atomic_numbers.tolist())
    labels = tuple(f"{element}{k + 1}" for k, element in enumerate(elements))
    bonds = tuple((i, j) if i < j else (j, i) for i, j in molecule.bond_index[:, ::2].T.tolist())
    molecules = [oxtalign.Molecule(elements, atoms, labels, bonds, packing.species[0]) for atoms in packing.molecules]
    # oxtalign's matrices have the lattice vectors as columns
    cell = packing.cell.T
    unit_cell = oxtalign.UnitCell(*crystal.lattice.tolist(), symops=["x,y,z"], orth=cell, frac=np.linalg.inv(packing.cell).T)
    return oxtalign.Structure(molecules, unit_cell, packing.name)


def cluster_of(reference: Crystal, prepared: oxtalign.Structure, result: oxtalign.ComparisonResult) -> np.ndarray:
    """Copies of the reference that were compared, and their shifts in lattice vectors. [n_molecules, 4]"""
    to_fractional = np.linalg.inv(reference.cell)
    copies = reference.positions.reshape(reference.template.n_copies, -1, 3)
    # oxtalign was given copies whose centroids lie in the cell
    wrapped = -np.floor(copies.mean(1) @ to_fractional)
    rows = [
        [copy, *(wrapped[copy] + np.rint(offset @ to_fractional))]
        for copy, offset in nearest_shell_images(prepared, result.central_a, result.n)
    ]
    return np.array(rows, dtype=np.int64)

"""Packing similarity: how many molecules of a cluster overlay on another crystal, and how well (RMSD_15), by oxtalign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import oxtalign
import torch
from oxtalign.cluster import image_radius
from torch import Tensor

from packflow.elements import SYMBOLS
from packflow.errors import InputError, StructureError
from packflow.ops._check import check_tensor
from packflow.ops._crystals import check_count, check_positive
from packflow.structure import Crystal
from packflow.structure.cif import from_ase, read_cif
from packflow.structure.lattice import min_height
from packflow.structure.sites import MIN_HEIGHT, Sites

if TYPE_CHECKING:
    from ase import Atoms

# Molecules of the cluster times those around it, which oxtalign holds at once; a packing needs some ten thousand.
MOST_PAIRS = 10**7
# Å; molecules whose heavy atoms have a smaller root-mean-square distance from a line do not fix a rigid motion, which oxtalign starts from.
LEAST_WIDTH = 0.1
# Å3 of a heavy atom; diamond has 5.7. Denser atoms bond to all others, and oxtalign would list all those bonds.
LEAST_VOLUME = 4.0


@dataclass(frozen=True)
class PackingSimilarity:
    """How a cluster of the reference crystal overlays on another crystal.

    n_matched:   molecules of the cluster that lie on one of the other crystal, after the best rigid motion; 0 where nothing fits.
    n_molecules: molecules of the cluster.
    rmsd:        of the heavy atoms of those that do, Å; NaN where nothing fits. Low with few matched says little: look at n_matched first.
    """

    n_matched: int
    n_molecules: int
    rmsd: float

    @property
    def same(self) -> bool:
        """Whether the whole cluster matches."""
        return self.n_matched == self.n_molecules


@dataclass(frozen=True)
class PackingSimilarities:
    """Packing similarity of many pairs.

    n_matched:   [n_pairs] int64; -1 where the pair could not be compared.
    n_molecules: molecules of the cluster.
    rmsd:        [n_pairs] float64, Å; NaN where nothing fits or the pair could not be compared.
    problems:    why each pair could not be compared; empty for those that were. n_pairs of them.
    """

    n_matched: Tensor
    n_molecules: int
    rmsd: Tensor
    problems: tuple[str, ...]

    @property
    def same(self) -> Tensor:
        """Whether the whole cluster matches. [n_pairs] bool"""
        return self.n_matched == self.n_molecules


def packing_similarity(
    reference: Crystal | Sites | Atoms | str | Path,
    other: Crystal | Sites | Atoms | str | Path,
    n_molecules: int = 15,
    tolerance: float = 1.0,
    mirror: bool = True,
) -> PackingSimilarity:
    """Overlay a molecule of the reference and those in closest contact with it on the other crystal, heavy atoms only.

    The measure of COMPACK (Chisholm and Motherwell, J. Appl. Cryst. 38, 228, 2005) as the library oxtalign computes it
    (arXiv 2512.06987): COMPACK's distance and angle tolerances are replaced by one, the RMSD of a single molecule. The molecules of a
    Crystal are those of its template, however its bonds are stretched; elsewhere oxtalign takes distances up to the sum of covalent
    radii + 0.4 Å for bonds. Swapping the two crystals can change the result by a molecule or two: the cluster is the reference's.

    Args:
        reference: Gives the cluster; a crystal, sites, periodic ASE atoms, or the path of a CIF file of one structure.
        other: Of the same molecule.
        n_molecules: Size of the cluster.
        tolerance: A molecule matches if its heavy atoms have a smaller RMSD, Å.
        mirror: Try the mirror image of `other` too.

    Returns:
        Number of matched molecules and their RMSD.

    Raises:
        StructureError: a structure that cannot be compared: coordinates or a cell that are not those of a crystal, disorder, an infinite
            network of bonds, another molecule, or one whose heavy atoms lie on a line.
        InputError: no such file.
        ValueError: n_molecules is no integer of at least 1, or tolerance no positive number.
    """
    _check_options(n_molecules, tolerance)
    return _compare(_molecules(reference), _molecules(other), n_molecules, tolerance, mirror)


def packing_similarities(
    structures: Sequence[Crystal | Sites | Atoms | str | Path],
    pairs: Tensor,  # [n_pairs, 2]
    n_molecules: int = 15,
    tolerance: float = 1.0,
    mirror: bool = True,
) -> PackingSimilarities:
    """`packing_similarity` of many pairs; each structure is prepared once, and one that cannot be compared is marked.

    Args:
        structures: As for `packing_similarity`.
        pairs: Reference and other, places in `structures`, int64. [n_pairs, 2]
        n_molecules: Size of the cluster.
        tolerance: A molecule matches if its heavy atoms have a smaller RMSD, Å.
        mirror: Try the mirror image too.

    Raises:
        ValueError: n_molecules, tolerance or pairs of another kind, shape or range.
    """
    _check_options(n_molecules, tolerance)
    check_tensor("pairs", pairs, ("n_pairs", 2), torch.int64)
    if len(pairs) and not 0 <= int(pairs.min()) <= int(pairs.max()) < len(structures):
        raise ValueError(f"pairs must lie between 0 and {len(structures) - 1}, got {int(pairs.min())} to {int(pairs.max())}")
    prepared: dict[int, oxtalign.Structure | str] = {}
    for place in sorted(set(pairs.flatten().tolist())):
        try:
            prepared[place] = _molecules(structures[place])
        except InputError as error:
            prepared[place] = str(error)
    rows = [_compare_or_say_why(prepared[i], prepared[j], n_molecules, tolerance, mirror) for i, j in pairs.tolist()]
    return PackingSimilarities(
        n_matched=torch.tensor([-1 if isinstance(row, str) else row.n_matched for row in rows], dtype=torch.int64),
        n_molecules=n_molecules,
        rmsd=torch.tensor([np.nan if isinstance(row, str) else row.rmsd for row in rows], dtype=torch.float64),
        problems=tuple(row if isinstance(row, str) else "" for row in rows),
    )


def _check_options(n_molecules: int, tolerance: float) -> None:
    check_count("n_molecules", n_molecules)
    check_positive("tolerance", tolerance)


def _compare_or_say_why(
    reference: oxtalign.Structure | str, other: oxtalign.Structure | str, n_molecules: int, tolerance: float, mirror: bool
) -> PackingSimilarity | str:
    """The comparison, or what keeps either structure from it."""
    if isinstance(reference, str):
        return reference
    if isinstance(other, str):
        return other
    try:
        return _compare(reference, other, n_molecules, tolerance, mirror)
    except InputError as error:
        return str(error)


def _compare(
    reference: oxtalign.Structure, other: oxtalign.Structure, n_molecules: int, tolerance: float, mirror: bool
) -> PackingSimilarity:
    kinds = [sorted({molecule.species_key for molecule in s.molecules}) for s in (reference, other)]
    if kinds[0] != kinds[1]:
        raise StructureError("another molecule", f"{', '.join(kinds[1])} in {other.source}, {', '.join(kinds[0])} in {reference.source}")
    for structure in (reference, other):
        if _width(structure) < LEAST_WIDTH:
            raise StructureError("linear molecule", f"the heavy atoms of a molecule of {structure.source} must not lie on a line")
        n_pairs = n_molecules * len(structure.molecules) * (2.0 * image_radius(structure, n_molecules, contact=True) + 1) ** 3
        if n_pairs > MOST_PAIRS:
            detail = f"{n_pairs:.0f} pairs of molecules are near enough in {structure.source}, at most {MOST_PAIRS} are taken"
            raise StructureError("too sparse, too thin or n_molecules too large", detail)
    result = oxtalign.compare(reference, other, n=n_molecules, mol_rmsd_tol=tolerance, allow_inversion=mirror)
    return PackingSimilarity(result.n_matched, n_molecules, float(result.rmsd_n))


def _width(structure: oxtalign.Structure) -> float:
    """Root-mean-square distance in Å of the atoms of the largest molecule from the line nearest to them."""
    molecule = max(structure.molecules, key=lambda m: m.n_atoms)
    spread = np.linalg.svd(molecule.coords - molecule.centroid, compute_uv=False)
    return float(np.sqrt((spread[1:] ** 2).sum() / molecule.n_atoms))


def _molecules(structure: Crystal | Sites | Atoms | str | Path) -> oxtalign.Structure:
    """The whole molecules of a unit cell, as oxtalign takes them."""
    if isinstance(structure, Crystal):
        return _of_crystal(structure)
    if isinstance(structure, str | Path):
        found = read_cif(structure)
        if len(found) != 1:
            raise StructureError("several structures", f"{structure} must hold 1 structure, got {len(found)}")
        return _of_sites(found[0])
    return _of_sites(structure if isinstance(structure, Sites) else from_ase(structure))


def _of_crystal(crystal: Crystal) -> oxtalign.Structure:
    """Molecules of the template, each moved by lattice vectors so that its centroid lies in the cell."""
    name = f"{crystal.template.n_copies} x {crystal.template.molecule.smiles}"
    if not np.isfinite(crystal.positions).all():
        raise StructureError("missing coordinates", f"some atoms of {name} have no coordinates")
    if not (np.isfinite(crystal.lattice).all() and min_height(torch.from_numpy(crystal.lattice)) > MIN_HEIGHT):
        raise StructureError("no valid cell", f"lattice parameters of {name} are {crystal.lattice.tolist()}")
    molecule, cell = crystal.template.molecule, crystal.cell
    elements = tuple(SYMBOLS[z] for z in molecule.atomic_numbers.tolist())
    labels = tuple(f"{element}{k + 1}" for k, element in enumerate(elements))
    bonds = tuple((i, j) if i < j else (j, i) for i, j in molecule.bond_index[:, ::2].T.tolist())
    copies = crystal.positions.reshape(-1, molecule.n_atoms, 3)
    copies = copies - np.floor(copies.mean(1) @ np.linalg.inv(cell))[:, None] @ cell
    molecules = [oxtalign.Molecule(elements, copy, labels, bonds) for copy in copies]
    for one in molecules:
        one.species_key = one.formula()
    # oxtalign's matrices have the lattice vectors as columns
    unit_cell = oxtalign.UnitCell(*crystal.lattice.tolist(), symops=["x,y,z"], orth=cell.T, frac=np.linalg.inv(cell).T)
    return oxtalign.Structure(molecules, unit_cell, name)


def _of_sites(sites: Sites) -> oxtalign.Structure:
    """Molecules that oxtalign finds among the heavy atoms."""
    if not sites.heavy.any():
        raise StructureError("no heavy atoms", f"{sites.name} has hydrogen only")
    elements = [SYMBOLS[z] for z in sites.atomic_numbers[sites.heavy].tolist()]
    volume = abs(np.linalg.det(sites.cell)) / len(elements)
    if volume < LEAST_VOLUME:
        raise StructureError("too dense", f"{sites.name} must have at least {LEAST_VOLUME} Å3 for each heavy atom, got {volume:.2f}")
    try:
        found = oxtalign.from_arrays(elements, sites.fractional[sites.heavy], cell=sites.lattice, source=sites.name)
    except ValueError as error:
        raise StructureError("no molecules", f"the atoms of {sites.name} do not fall into finite molecules: {error}") from error
    if sum(molecule.n_atoms for molecule in found.molecules) != len(elements):
        raise StructureError("no molecules", f"the atoms of {sites.name} do not fall into whole molecules")
    return found

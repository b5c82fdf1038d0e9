"""Packing similarity: how many molecules of a cluster overlay on another crystal, and how well (RMSD_15)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from packflow import ops
from packflow.errors import InputError, StructureError
from packflow.metrics.packing_molecules import Packing, Reader, arrays_of
from packflow.ops._check import check_tensor
from packflow.ops._crystals import check_count, check_positive
from packflow.structure import Crystal
from packflow.structure.sites import Sites

if TYPE_CHECKING:
    from ase import Atoms

# Molecules of the cluster times those around it, which the search lists; a packing needs some ten thousand.
MOST_PAIRS = 10**7
# Å; molecules whose heavy atoms have a smaller root-mean-square distance from a line do not fix a rigid motion, where the search starts.
LEAST_WIDTH = 0.1


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

    The measure of COMPACK (Chisholm and Motherwell, J. Appl. Cryst. 38, 228, 2005) as the library oxtalign defines it
    (arXiv 2512.06987), searched as it does, in C++ (`packflow.ops.packing_similarity`): COMPACK's distance and angle tolerances are
    replaced by one, the RMSD of a single molecule. The molecules of a Crystal are those of its template, however its bonds are
    stretched; elsewhere oxtalign finds them and takes distances up to the sum of covalent radii + 0.4 Å for bonds. Swapping the two
    crystals can change the result by a molecule or two: the cluster is the reference's.

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
    pairs = torch.tensor([[0, 1]])
    found, problems = _found([reference, other], pairs, n_molecules, tolerance, mirror)
    if problems:
        raise problems[0]
    return PackingSimilarity(int(found.n_matched[0]), n_molecules, float(found.rmsd[0]))


def packing_similarities(
    structures: Sequence[Crystal | Sites | Atoms | str | Path],
    pairs: Tensor,  # [n_pairs, 2]
    n_molecules: int = 15,
    tolerance: float = 1.0,
    mirror: bool = True,
) -> PackingSimilarities:
    """`packing_similarity` of many pairs; each structure is prepared once, and one that cannot be compared is marked.

    The pairs are shared by torch's threads.

    Args:
        structures: As for `packing_similarity`.
        pairs: Reference and other, places in `structures`, int64. [n_pairs, 2]
        n_molecules: Size of the cluster.
        tolerance: A molecule matches if its heavy atoms have a smaller RMSD, Å.
        mirror: Try the mirror image too.

    Raises:
        ValueError: n_molecules, tolerance or pairs of another kind, shape or range.
    """
    return _found(structures, pairs, n_molecules, tolerance, mirror)[0]


def _found(
    structures: Sequence[Crystal | Sites | Atoms | str | Path], pairs: Tensor, n_molecules: int, tolerance: float, mirror: bool
) -> tuple[PackingSimilarities, dict[int, InputError]]:
    """`packing_similarities`, and the problems by the row of their pair."""
    check_count("n_molecules", n_molecules)
    check_positive("tolerance", tolerance)
    check_tensor("pairs", pairs, ("n_pairs", 2), torch.int64)
    if len(pairs) and not 0 <= int(pairs.min()) <= int(pairs.max()) < len(structures):
        raise ValueError(f"pairs must lie between 0 and {len(structures) - 1}, got {int(pairs.min())} to {int(pairs.max())}")
    used = sorted(set(pairs.flatten().tolist()))
    prepared = dict(zip(used, Reader().packings([structures[place] for place in used]), strict=True))
    reaches = {place: one.reach(n_molecules) for place, one in prepared.items() if isinstance(one, Packing)}
    own = {place: _problem(one, reaches.get(place, 0), n_molecules) for place, one in prepared.items()}
    problems: dict[int, InputError] = {}
    compared: list[int] = []
    for row, (i, j) in enumerate(pairs.tolist()):
        problem = _problem_of_pair(prepared[i], prepared[j]) or own[i] or own[j]
        if problem is None:
            compared.append(row)
        else:
            problems[row] = problem
    n_matched = torch.full((len(pairs),), -1, dtype=torch.int64)
    rmsd = torch.full((len(pairs),), torch.nan, dtype=torch.float64)
    if compared:
        places, numbered = torch.unique(pairs[compared], return_inverse=True)
        packings = [one for place in places.tolist() if isinstance(one := prepared[place], Packing)]
        kinds, molecules = arrays_of(packings, [reaches[place] for place in places.tolist()])
        n_matched[compared], rmsd[compared] = ops.packing_similarity(kinds, molecules, numbered, n_molecules, tolerance, mirror)
    texts = tuple(str(problems[row]) if row in problems else "" for row in range(len(pairs)))
    return PackingSimilarities(n_matched, n_molecules, rmsd, texts), problems


def _problem_of_pair(reference: Packing | InputError, other: Packing | InputError) -> InputError | None:
    """What keeps two structures from being compared, as far as each by itself could be."""
    if isinstance(reference, InputError):
        return reference
    if isinstance(other, InputError):
        return other
    if reference.species != other.species:
        here, there = ", ".join(other.species), ", ".join(reference.species)
        return StructureError("another molecule", f"{here} in {other.name}, {there} in {reference.name}")
    return None


def _problem(packing: Packing | InputError, reach: int, n_molecules: int) -> InputError | None:
    """What keeps a structure from being compared with any other."""
    if isinstance(packing, InputError):
        return packing
    if packing.width < LEAST_WIDTH:
        return StructureError("linear molecule", f"the heavy atoms of a molecule of {packing.name} must not lie on a line")
    n_pairs = n_molecules * len(packing.kinds) * (2.0 * reach + 1) ** 3
    if n_pairs > MOST_PAIRS:
        detail = f"{n_pairs:.0f} pairs of molecules are near enough in {packing.name}, at most {MOST_PAIRS} are taken"
        return StructureError("too sparse, too thin or n_molecules too large", detail)
    return None

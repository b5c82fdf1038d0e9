"""Hydrogens for crystals of heavy atoms: placed by RDKit molecule by molecule, then turned to fit the crystal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from packflow.ops import neighbors, problems
from packflow.relax.hydrogens_cells import HydrogenCells
from packflow.relax.hydrogens_contacts import clashes
from packflow.relax.hydrogens_placement import place_hydrogens
from packflow.relax.rotor_scan import turn_rotors
from packflow.structure.crystal import Crystal
from packflow.structure.full import FullStructure
from packflow.structure.lattice import cell_from_lattice
from packflow.structure.unwrap import unwrap

# Å: heavy atoms nearer than this are one atom twice, from which no direction of a hydrogen follows
COINCIDENT = 0.5
# Å around the tabulated length of a bond to hydrogen
LENGTH_TOLERANCE = 0.15
# degrees between a hydrogen's bond and another bond of its heavy atom; less, and the hydrogen is nearly on the other atom
MIN_ANGLE = 30.0
# Å: how far the search for contacts reaches; a cell that cannot be searched so far is refused
SEARCHED = 6.0
# heavy atoms that are worked on at once, to bound the memory
ATOMS_AT_ONCE = 3000


@dataclass(frozen=True)
class Hydrogenated:
    """A crystal with its hydrogens, or why there is none.

    structure:       all atoms; None if there is a problem.
    problem:         what is wrong with the crystal; empty if nothing is.
    n_turned:        groups that were turned away from where RDKit placed them.
    clash_index:     [2, n_clashes] int64, atoms of the structure: a hydrogen, and an atom of another molecule or image that is too near
                     wherever the hydrogens are turned.
    clash_distances: [n_clashes] float64, Å.
    """

    structure: FullStructure | None
    problem: str = ""
    n_turned: int = 0
    clash_index: np.ndarray = field(default_factory=lambda: np.zeros((2, 0), dtype=np.int64))
    clash_distances: np.ndarray = field(default_factory=lambda: np.zeros(0))


def add_hydrogens(crystals: Sequence[Crystal], turn: bool = True) -> list[Hydrogenated]:
    """Add hydrogens to heavy atoms, which stay where they are.

    RDKit places them by the bonds of their heavy atom alone (paper, section 4.5.1). Groups that can turn are then turned, away from
    atoms of other molecules and images and towards acceptors of hydrogen bonds. A molecule that the cell's faces cut is made whole first.
    The result depends neither on the other crystals nor on the order of the molecules in the cell or the image that each is in.

    Args:
        crystals: Of any molecules, coordinates of any quality.
        turn: Whether to turn them.

    Returns:
        One for each crystal, in their order. A crystal has a problem if its cell or coordinates are no numbers of a cell, if heavy atoms
        coincide, or if a hydrogen is not where its bonds' lengths and angles are sane.
    """
    return [result for part in _parts(crystals) for result in _add_to_some(part, turn)]


def _parts(crystals: Sequence[Crystal]) -> list[list[Crystal]]:
    """Crystals in their order, in parts of at most ATOMS_AT_ONCE heavy atoms; a larger crystal is a part alone."""
    parts: list[list[Crystal]] = []
    n_atoms = ATOMS_AT_ONCE
    for crystal in crystals:
        n_atoms += crystal.template.n_atoms
        if n_atoms > ATOMS_AT_ONCE:
            parts.append([])
            n_atoms = crystal.template.n_atoms
        parts[-1].append(crystal)
    return parts


def _add_to_some(crystals: list[Crystal], turn: bool) -> list[Hydrogenated]:
    cells = cells_of(crystals)
    found = heavy_atom_problems(crystals, cells)
    good = [c for c, problem in enumerate(found) if not problem]
    placed = dict(zip(good, _placed(_whole([crystals[c] for c in good], cells[good])), strict=True))
    for c, problem in zip(good, hydrogen_problems(_packed(crystals, placed, cells)) if good else [], strict=True):
        found[c] = problem
    results = [Hydrogenated(None, problem) for problem in found]
    kept = {c: positions for c, positions in placed.items() if not found[c]}
    if kept:
        for c, result in zip(kept, _turned([crystals[c] for c in kept], _packed(crystals, kept, cells), turn), strict=True):
            results[c] = result
    return results


def _packed(crystals: list[Crystal], placed: dict[int, np.ndarray], cells: np.ndarray) -> HydrogenCells:
    """Some of the crystals, with all their atoms at the positions given for them."""
    return HydrogenCells.pack([crystals[c].template for c in placed], list(placed.values()), cells[list(placed)])


def _turned(crystals: list[Crystal], cells: HydrogenCells, turn: bool) -> list[Hydrogenated]:
    """Results of cells with their hydrogens where RDKit placed them."""
    n_turned = np.zeros(len(crystals), dtype=np.int64)
    if turn:
        cells, n_turned = turn_rotors(cells)
    close = clashes(cells)
    owner = cells.crystal[close.i]
    results = []
    for c, (crystal, first, last) in enumerate(zip(crystals, cells.atom_ptr, cells.atom_ptr[1:], strict=False)):
        of_crystal = np.nonzero(owner == c)[0]
        structure = FullStructure(crystal.template, cells.positions[first:last].copy(), cells.cells[c].copy())
        index = np.stack([close.i[of_crystal], close.j[of_crystal]]) - first
        results.append(Hydrogenated(structure, "", int(n_turned[c]), index, close.distances[of_crystal]))
    return results


def cells_of(crystals: Sequence[Crystal]) -> np.ndarray:
    """Lattice vectors as rows, Å; NaN where lengths or angles are impossible. [n_crystals, 3, 3]"""
    lattices = np.array([crystal.lattice for crystal in crystals], dtype=np.float64).reshape(-1, 6)
    possible = (lattices.min(1) > 0) & (lattices[:, 3:].max(1) < 180)
    return np.where(possible[:, None, None], cell_from_lattice(torch.from_numpy(lattices)).numpy(), np.nan)


def heavy_atom_problems(crystals: Sequence[Crystal], cells: np.ndarray) -> list[str]:
    """Why hydrogens cannot be added to each crystal; empty where they can. cells [n_crystals, 3, 3]"""
    batch = _heavy_batch(crystals, cells)
    found = problems(*batch, SEARCHED)
    good = [c for c, problem in enumerate(found) if not problem]
    positions, cell, atom_ptr = _heavy_batch([crystals[c] for c in good], cells[good])
    close = neighbors(positions, cell, atom_ptr, COINCIDENT, half=True).pair_index.numpy()
    ends = atom_ptr.numpy()
    for i, j in close.T[::-1]:
        c = int(np.searchsorted(ends, i, side="right")) - 1
        found[good[c]] = f"heavy atoms {i - ends[c]} and {j - ends[c]} coincide: they must be at least {COINCIDENT} Å apart"
    return found


def _heavy_batch(crystals: Sequence[Crystal], cells: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    positions = np.concatenate([np.zeros((0, 3)), *(crystal.positions for crystal in crystals)])
    atom_ptr = np.cumsum([0, *(crystal.template.n_atoms for crystal in crystals)])
    return torch.from_numpy(positions), torch.from_numpy(cells), torch.from_numpy(atom_ptr).int()


def _whole(crystals: list[Crystal], cells: np.ndarray) -> list[Crystal]:
    """With their molecules whole: themselves, unless a bond is longer than half a lattice vector along one of them."""
    return [_mended(*both) for both in zip(crystals, cells, np.linalg.inv(cells), strict=True)]


def _mended(crystal: Crystal, cell: np.ndarray, inverse: np.ndarray) -> Crystal:
    fractional = crystal.positions @ inverse
    i, j = crystal.template.bond_index
    if not len(i) or np.abs(fractional[j] - fractional[i]).max() <= 0.5:
        return crystal
    shifts = np.rint(unwrap(fractional, crystal.template.bond_index, cell) - fractional)
    return replace(crystal, positions=crystal.positions + shifts @ cell)


def _placed(crystals: list[Crystal]) -> list[np.ndarray]:
    """All atoms of each crystal, [n_full_atoms, 3], hydrogens where RDKit puts them; one call for all copies of a molecule."""
    placed: list[np.ndarray] = [np.zeros((0, 3))] * len(crystals)
    by_molecule: dict[str, list[int]] = {}
    for c, crystal in enumerate(crystals):
        by_molecule.setdefault(crystal.template.molecule.smiles, []).append(c)
    for smiles, rows in by_molecule.items():
        n_heavy = crystals[rows[0]].template.molecule.n_atoms
        copies = place_hydrogens(smiles, np.concatenate([crystals[c].positions.reshape(-1, n_heavy, 3) for c in rows]))
        ends = np.cumsum([crystals[c].template.n_copies for c in rows])
        for c, part in zip(rows, np.split(copies, ends[:-1]), strict=True):
            placed[c] = part.reshape(-1, 3)
    return placed


def hydrogen_problems(cells: HydrogenCells) -> list[str]:
    """What is wrong with the hydrogens of each crystal; empty where nothing is."""
    found = [""] * len(cells.cells)
    lengths, expected, angles, triples = local_geometry(cells)
    hydrogens = np.nonzero(expected > 0)[0]
    # a comparison that NaN fails too
    wrong = hydrogens[~(np.abs(lengths - expected)[hydrogens] <= LENGTH_TOLERANCE)]
    sharp = np.nonzero(~(angles >= MIN_ANGLE))[0]
    for h, center, other in triples[:, sharp[::-1]].T:
        c = int(cells.crystal[h])
        h, center, other = (int(atom - cells.atom_ptr[c]) for atom in (h, center, other))
        found[c] = f"hydrogen {h} stands within {MIN_ANGLE:g} degrees of the bond from atom {center} to {other}"
    for h in wrong[::-1]:
        c = int(cells.crystal[h])
        found[c] = (
            f"hydrogen {h - cells.atom_ptr[c]} is {lengths[h]:.2f} Å from its atom, wanted are {expected[h]:.2f} ± {LENGTH_TOLERANCE} Å"
        )
    return found


def local_geometry(cells: HydrogenCells) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bonds and angles of hydrogens.

    Returns:
        Length of each hydrogen's bond, 0 of heavy atoms, and the tabulated one, Å [n_atoms] each; angles at their heavy atoms in degrees
        [n_angles]; hydrogen, heavy atom and the other atom of each, rows of the cells [3, n_angles].
    """
    x, bearer = cells.positions, cells.of_atoms("bearer")
    start = cells.start[cells.copy]
    to_bearer = x[np.where(bearer < 0, np.arange(len(x)), start + bearer)] - x
    counts = np.array([t.angles.shape[1] for t in cells.tables])[cells.table]
    parts = [cells.tables[kind].angles + first for kind, first in zip(cells.table, cells.start, strict=True)]
    triples = np.concatenate(parts, 1) if counts.any() else np.zeros((3, 0), dtype=np.int64)
    h, center, other = triples
    one, two = x[h] - x[center], x[other] - x[center]
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
    return np.linalg.norm(to_bearer, axis=1), cells.of_atoms("lengths"), np.degrees(np.arccos(np.clip(cosine, -1, 1))), triples

"""Which structures can be judged at all, and whether a cell is one of a molecular crystal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from packflow import ops
from packflow.elements import ATOMIC_NUMBERS
from packflow.structure import AtomsBatch
from packflow.structure.lattice import lattice_from_cell

# Å and Å3 per atom: no crystal is thinner between opposite faces or denser (diamond has 5.7), and a search of such a cell is slow
MIN_HEIGHT = 1.0
MIN_VOLUME_PER_ATOM = 1.0
# Å, to which distances are counted, and how many neighbors are searched, unless a metric is asked for more
REACH = 10.0
N_NEIGHBORS = 100
# atoms that are looked at together: bounds the memory of neighbor lists, 2 GB if all structures have the least volume
MAX_ATOMS = 50_000

# Å3 per atom; 28,627 open crystals have 11.7 to 72
VOLUME_RANGE = (8.0, 80.0)
# Å; the shortest axis of the same crystals is 3.28
MIN_LENGTH = 3.0
# degrees; of their angles, cells as published, 0.01 % lie below 16 and 0.01 % above 167
ANGLE_RANGE = (15.0, 167.0)

SUPPORTED = torch.zeros(max(ATOMIC_NUMBERS.values()) + 1, dtype=torch.bool)
SUPPORTED[list(ATOMIC_NUMBERS.values())] = True


def problems(atoms: AtomsBatch, reach: float | Tensor = REACH) -> list[str]:
    """Why each structure has no metrics.

    It has no atoms or an element without mass and radius here, coordinates or a cell that are not finite, or a cell that is flat:
    less than 1 Å between opposite faces, or less than 1 Å3 per atom.

    Args:
        atoms: Any values.
        reach: How far neighbors will be searched, Å, one number or [n_structures]; at least 10 and to the 100th is assumed.

    Returns:
        A sentence per structure that says what is wanted and what came; empty for a good one.
    """
    reach = torch.maximum(torch.as_tensor(reach, dtype=torch.float64, device=atoms.cell.device), _default_reach(atoms))
    unfit = ops.problems(atoms.positions, atoms.cell, atoms.atom_ptr, reach)
    flat, foreign = _flat(atoms), _foreign(atoms)
    empty = {s: "structure must have atoms, got none" for s, n in enumerate(atoms.sizes.tolist()) if n == 0}
    return [empty.get(s) or foreign.get(s) or found or flat.get(s, "") for s, found in enumerate(unfit)]


def good(atoms: AtomsBatch, reach: float | Tensor = REACH) -> Tensor:
    """Structures without a problem. [n_structures] bool, on the device of the atoms"""
    return torch.tensor([not problem for problem in problems(atoms, reach)], dtype=torch.bool, device=atoms.cell.device)


def valid_cell(atoms: AtomsBatch) -> Tensor:
    """Whether the cell could be a molecular crystal's: 8 to 80 Å3 per atom, axes of at least 3 Å, angles from 15 to 167 degrees.

    All but 0.03 % of 28,627 open crystals are within these bounds. Axes and angles are those of the cell as given, not a reduced one.

    Args:
        atoms: Heavy atoms only.

    Returns:
        1 or 0; NaN for a structure with a problem. [n_structures] float64
    """
    return over_good(atoms, valid_cell_of_good)


def valid_cell_of_good(atoms: AtomsBatch) -> Tensor:
    """As `valid_cell`, of structures without problems, in float64. [n_structures] float64"""
    lengths, angles = lattice_from_cell(atoms.cell).split(3, 1)
    per_atom = volume(atoms) / atoms.sizes
    valid = (per_atom >= VOLUME_RANGE[0]) & (per_atom <= VOLUME_RANGE[1]) & (lengths >= MIN_LENGTH).all(1)
    return (valid & ((angles >= ANGLE_RANGE[0]) & (angles <= ANGLE_RANGE[1])).all(1)).double()


def volume(atoms: AtomsBatch) -> Tensor:
    """Volume of the unit cell in Å3, whatever the cell. [n_structures] float64"""
    a, b, c = atoms.cell.double().unbind(1)
    return (torch.linalg.cross(a, b) * c).sum(1).abs()


def over_good(
    atoms: AtomsBatch,
    compute: Callable[[AtomsBatch], Tensor],
    width: int | None = None,
    reach: float | Tensor = REACH,
) -> Tensor:
    """A metric of structures that may have problems.

    Args:
        atoms: Any values.
        compute: The metric of structures without problems, [n] or [n, width] float64; called with some of them at a time, in float64.
        width: Numbers per structure, if it is a vector.
        reach: How far neighbors will be searched, Å, one number or [n_structures].

    Returns:
        NaN for a structure with a problem. [n_structures] or [n_structures, width] float64
    """
    return over(atoms, good(atoms, reach), compute, width)


def over(atoms: AtomsBatch, fine: Tensor, compute: Callable[[AtomsBatch], Tensor], width: int | None = None) -> Tensor:
    """`over_good` for structures already known to be good, fine [n_structures] bool."""
    shape = (len(atoms),) if width is None else (len(atoms), width)
    out = torch.full(shape, torch.nan, dtype=torch.float64, device=atoms.cell.device)
    rows = fine.nonzero()[:, 0]
    # structures whose last atoms lie in the same stretch of the atom axis go together
    stretch = (atoms.sizes[rows].cumsum(0) - 1) // MAX_ATOMS
    for part in rows.split(stretch.unique_consecutive(return_counts=True)[1].tolist()):
        some = atoms if len(part) == len(atoms) else atoms.select(part)
        out[part] = compute(replace(some, positions=some.positions.double(), cell=some.cell.double()))
    return out


def sum_per_structure(atoms: AtomsBatch, x: Tensor) -> Tensor:
    """Sum over the atoms of each structure. [n_atoms] -> [n_structures] float64"""
    return torch.zeros(len(atoms), dtype=torch.float64, device=x.device).index_add(0, atoms.structure_index, x.double())


def by_atomic_number(table: Mapping[str, float]) -> Tensor:
    """What a table has for element symbols, by atomic number; NaN for elements that are not supported. [54] float64"""
    values = torch.full((len(SUPPORTED),), torch.nan, dtype=torch.float64)
    values[[ATOMIC_NUMBERS[symbol] for symbol in table]] = torch.tensor(list(table.values()), dtype=torch.float64)
    return values


def neighbor_radius(atoms: AtomsBatch, n_neighbors: int) -> Tensor:
    """Radius of a ball that holds so many atoms where they are evenly spread, Å. [n_structures] float64"""
    return ops.neighbor_radius(atoms.cell, atoms.atom_ptr, n_neighbors)


def _default_reach(atoms: AtomsBatch) -> Tensor:
    # infinite where the cell is not finite, which is then the problem that is found
    return neighbor_radius(atoms, N_NEIGHBORS).nan_to_num(nan=REACH, posinf=REACH).clamp(min=REACH)


def _flat(atoms: AtomsBatch) -> dict[int, str]:
    """What is wrong with cells that are finite but too small, by structure."""
    a, b, c = atoms.cell.double().unbind(1)
    cross = torch.linalg.cross
    areas = torch.stack([cross(b, c), cross(c, a), cross(a, b)], 1).norm(dim=2)
    height, per_atom = volume(atoms) / areas.amax(1), volume(atoms) / atoms.sizes
    wanted = f"cell must have at least {MIN_HEIGHT} Å between opposite faces and {MIN_VOLUME_PER_ATOM} Å3 per atom"
    small = ~((height >= MIN_HEIGHT) & (per_atom >= MIN_VOLUME_PER_ATOM))
    rows = zip(small.nonzero()[:, 0].tolist(), height[small].tolist(), per_atom[small].tolist(), strict=True)
    return {s: f"{wanted}, got {h:.3g} Å and {v:.3g} Å3" for s, h, v in rows}


def _foreign(atoms: AtomsBatch) -> dict[int, str]:
    """What is wrong with structures that hold an element that is not supported."""
    numbers = atoms.atomic_numbers
    listed = (numbers >= 0) & (numbers < len(SUPPORTED))
    foreign = ~(listed & SUPPORTED.to(numbers.device)[torch.where(listed, numbers, 0)])
    rows = zip(atoms.structure_index[foreign].tolist(), numbers[foreign].tolist(), strict=True)
    return {s: f"elements must be among {', '.join(ATOMIC_NUMBERS)}, got atomic number {number}" for s, number in rows}

"""Whether the molecules of a structure are still those of its template: lengths of bonds, broken bonds, formed bonds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from packflow.elements import SYMBOLS
from packflow.metrics.bonds import TOLERANCE
from packflow.metrics.clash import RADIUS
from packflow.ops import neighbors, problems
from packflow.structure.bonds import TOLERANCE as FORMED
from packflow.structure.full import FullBatch, full_mol

# Å beyond the covalent radii: a hydrogen so near to a second atom is bound to it too, however near its own is
SHARED = 0.1


@dataclass(frozen=True)
class Connectivity:
    """How the bonds of some structures are, hydrogens included.

    worst_bond_error:  [n_structures] Å, largest deviation of a bond from the covalent radii's sum (paper, eq. 40); NaN where the
                       coordinates are no numbers, 0 without bonds.
    n_invalid_heavy:   [n_structures] int64, bonds between heavy atoms that deviate by more than the tolerance.
    n_invalid_hydrogen: [n_structures] int64, the same for bonds to hydrogen.
    n_broken:          [n_structures] int64, bonds of the template that are longer than the tolerance allows, or whose hydrogen has moved.
    n_formed:          [n_structures] int64, pairs of atoms at the distance of a bond that are none in the template, images included.
    reasons:           [n_structures], the first thing that is wrong, empty where the molecules are intact.
    """

    worst_bond_error: Tensor
    n_invalid_heavy: Tensor
    n_invalid_hydrogen: Tensor
    n_broken: Tensor
    n_formed: Tensor
    reasons: tuple[str, ...]

    @property
    def intact(self) -> Tensor:
        """Whether all bonds are valid, none broken and none formed. [n_structures] bool"""
        return torch.tensor([not reason for reason in self.reasons], dtype=torch.bool)


@lru_cache(maxsize=1024)
def molecule_bonds(smiles: str) -> np.ndarray:
    """Bonds of a molecule with its hydrogens, each once, lower atom first, ascending. [2, n_bonds] int64"""
    ends = sorted(sorted((b.GetBeginAtomIdx(), b.GetEndAtomIdx())) for b in full_mol(smiles).GetBonds())
    return np.array(ends, dtype=np.int64).reshape(-1, 2).T


def connectivity(batch: FullBatch, tolerance: float = TOLERANCE) -> Connectivity:
    """Compare distances with the bonds of the templates.

    Lengths are those within whole molecules, as `FullBatch` has them; where they are whole this is the nearest image of eq. 38. A bond is
    formed by two heavy atoms within the covalent radii + 0.3 Å, or two hydrogens; a hydrogen has moved if it fits another heavy atom
    within that distance better than its own, or is shared (within the radii + 0.1 Å of both).

    Args:
        batch: Any values, in crystals or in vacuum.
        tolerance: Å, delta of eq. 40.

    Returns:
        What was found, on the CPU.
    """
    batch = _in_boxes(batch.to("cpu"))
    bonds, owner = template_bonds(batch), batch.structure_index
    i, j = bonds
    radii = RADIUS[batch.atomic_numbers]
    length = (batch.positions[j] - batch.positions[i]).norm(dim=1)
    error = length - radii[i] - radii[j]
    invalid = ~(error.abs() <= tolerance)  # NaN is invalid
    hydrogen = (batch.atomic_numbers[i] == 1) | (batch.atomic_numbers[j] == 1)
    n = len(batch)
    worst = torch.zeros(n, dtype=torch.float64).scatter_reduce(0, owner[i], error.abs().nan_to_num(torch.inf), "amax")
    formed, distance, moved = _formed(batch, bonds, error)
    broken = moved | ~(error <= tolerance)
    reasons = _unsearchable(batch)
    for k in invalid.nonzero()[:, 0].tolist():
        s = int(owner[i[k]])
        reasons[s] = reasons[s] or f"the bond {_pair(batch, int(i[k]), int(j[k]))} is {length[k]:.2f} Å long"
    for (a, b), d in zip(formed.T.tolist(), distance.tolist(), strict=True):
        s = int(owner[a])
        reasons[s] = reasons[s] or f"{_pair(batch, a, b)} are {d:.2f} Å apart, as if bonded"
    return Connectivity(
        worst_bond_error=worst.where(worst.isfinite(), torch.nan),
        n_invalid_heavy=torch.bincount(owner[i[invalid & ~hydrogen]], minlength=n),
        n_invalid_hydrogen=torch.bincount(owner[i[invalid & hydrogen]], minlength=n),
        n_broken=torch.bincount(owner[i[broken]], minlength=n),
        n_formed=torch.bincount(owner[formed[0]], minlength=n),
        reasons=tuple(reasons),
    )


def _in_boxes(batch: FullBatch) -> FullBatch:
    """The batch with boxes around molecules in vacuum, so large that no image is near."""
    if bool(batch.periodic.all()):
        return batch
    extent = torch.zeros(len(batch), dtype=batch.cell.dtype)
    extent = extent.scatter_reduce(0, batch.structure_index, batch.positions.abs().amax(1), "amax")
    box = (2.0 * extent + 10.0)[:, None, None] * torch.eye(3, dtype=batch.cell.dtype)
    return batch.at(batch.positions, torch.where(batch.periodic[:, None, None], batch.cell, box))


def template_bonds(batch: FullBatch) -> Tensor:
    """Bonds that the templates have, each once, lower atom first, ascending. [2, n_bonds] int64, rows of the atom axis"""
    parts = [np.zeros((2, 0), dtype=np.int64)]
    for template, first, size in zip(batch.templates, batch.atom_ptr.tolist(), batch.sizes.tolist(), strict=False):
        begins = first + np.arange(template.n_copies) * (size // template.n_copies)
        parts.append((molecule_bonds(template.molecule.smiles)[:, None] + begins[:, None]).reshape(2, -1))
    return torch.from_numpy(np.concatenate(parts, axis=1))


def _reach(batch: FullBatch) -> float:
    """Å, how far atoms can be apart that are bonded."""
    return 2.0 * float(RADIUS[batch.atomic_numbers].max()) + FORMED if len(batch.positions) else 1.0


def _unsearchable(batch: FullBatch) -> list[str]:
    return list(problems(batch.positions, batch.cell, batch.atom_ptr, _reach(batch)))


def _formed(batch: FullBatch, bonds: Tensor, error: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs that are bonded by their distance alone, the distance in Å, and the template's bonds whose hydrogen has moved.

    bonds, error: [2, n_bonds] and their deviation from the covalent radii, Å.

    Returns:
        [2, n_formed], [n_formed], [n_bonds] bool
    """
    good = torch.tensor([not problem for problem in _unsearchable(batch)], dtype=torch.bool)
    rows = good[batch.structure_index].nonzero()[:, 0]
    part = batch.select(good)
    found = neighbors(part.positions, part.cell, part.atom_ptr, _reach(batch), half=True)
    i, j = rows[found.pair_index]
    shift = torch.einsum("pi,pij->pj", found.cell_shifts.double(), batch.cell[batch.structure_index[i]])
    distance = (batch.positions[j] + shift - batch.positions[i]).norm(dim=1)
    excess = distance - RADIUS[batch.atomic_numbers[i]] - RADIUS[batch.atomic_numbers[j]]
    n_atoms = len(batch.positions)
    bonded = torch.isin(i * n_atoms + j, bonds[0] * n_atoms + bonds[1]) & (found.cell_shifts == 0).all(1)
    # of each hydrogen the bond that it has, and how well it fits; of others the last, which never does
    own, error = torch.full((n_atoms,), len(error), dtype=torch.int64), torch.cat([error, error.new_full((1,), torch.inf)])
    for end in bonds:
        own[end[batch.atomic_numbers[end] == 1]] = (batch.atomic_numbers[end] == 1).nonzero()[:, 0]
    near = ~bonded & (excess < FORMED)
    moved = torch.zeros(len(error), dtype=torch.bool)
    for hydrogen, other in ((i, j), (j, i)):
        to_heavy = (batch.atomic_numbers[hydrogen] == 1) & (batch.atomic_numbers[other] > 1)
        better = to_heavy & near & (excess < error[own[hydrogen]])
        near &= ~to_heavy | better | (excess < SHARED)
        moved[own[hydrogen[better]]] = True
    return torch.stack([i[near], j[near]]), distance[near], moved[:-1]


def _pair(batch: FullBatch, i: int, j: int) -> str:
    """Two atoms as "C1-O2 of molecule 1", or "C1 of molecule 1 and O2 of molecule 3"; numbers from 1, atoms by their place."""
    names, molecules = [], []
    for atom in (i, j):
        s = int(batch.structure_index[atom])
        size = int(batch.sizes[s]) // batch.templates[s].n_copies
        molecule, place = divmod(atom - int(batch.atom_ptr[s]), size)
        names.append(f"{SYMBOLS[int(batch.atomic_numbers[atom])]}{place + 1}")
        molecules.append(molecule + 1)
    if molecules[0] == molecules[1]:
        return f"{names[0]}-{names[1]} of molecule {molecules[0]}"
    return " and ".join(f"{name} of molecule {molecule}" for name, molecule in zip(names, molecules, strict=True))

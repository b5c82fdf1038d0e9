"""Lennard-Jones spheres joined by springs: a fast and smooth potential that holds molecular crystals together, for tests and examples.

Not for predictions: no charges, no hydrogen bonds, and torsions are decided by repulsion alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from rdkit import Chem
from rdkit.Chem import rdDistGeom
from rdkit.rdBase import BlockLogs
from torch import Tensor

from packflow.ops import neighbors, problems
from packflow.potential.interface import Evaluation
from packflow.structure.full import FullBatch, full_mol
from packflow.structure.template import Template

# UFF (Rappé et al., J. Am. Chem. Soc. 1992, 114, 10024, table 1): distance of the minimum, Å, and depth, kcal/mol
WELLS = {
    1: (2.886, 0.044),
    5: (4.083, 0.180),
    6: (3.851, 0.105),
    7: (3.660, 0.069),
    8: (3.500, 0.060),
    9: (3.364, 0.050),
    14: (4.295, 0.402),
    15: (4.147, 0.305),
    16: (4.035, 0.274),
    17: (3.947, 0.227),
    33: (4.230, 0.309),
    34: (4.205, 0.291),
    35: (4.189, 0.251),
    53: (4.500, 0.339),
}
EV_PER_KCAL_MOL = 0.0433641
# eV/Å2, between bonded atoms and between the ends of an angle
SPRINGS = {1: 30.0, 2: 10.0}


@dataclass(frozen=True)
class Springs:
    """What holds the atoms of a structure's molecules together, rows of its own atom axis.

    index, length, stiffness:  [2, n_springs], [n_springs] Å, [n_springs] eV/Å2; atoms one or two bonds apart.
    inner:                     [2, n_inner], atoms of one molecule three or more bonds apart.
    molecule:                  [n_atoms], the copy that an atom belongs to.
    """

    index: np.ndarray
    length: np.ndarray
    stiffness: np.ndarray
    inner: np.ndarray
    molecule: np.ndarray


@lru_cache(maxsize=1024)
def springs_of(smiles: str, n_copies: int) -> Springs:
    """Springs of n_copies of a molecule; their lengths are the middle of the range that RDKit's distance geometry allows."""
    mol = full_mol(smiles)
    n = mol.GetNumAtoms()
    with BlockLogs():
        bounds = rdDistGeom.GetMoleculeBoundsMatrix(mol, doTriangleSmoothing=False)
    apart = Chem.GetDistanceMatrix(mol)
    first, second = np.triu_indices(n, 1)
    bonds = apart[first, second]
    near = bonds < 3
    copies = n * np.arange(n_copies)

    def in_copies(pairs: np.ndarray) -> np.ndarray:
        return (pairs[:, None] + copies[:, None]).reshape(2, -1)

    first_near, second_near = first[near], second[near]
    length = (bounds[first_near, second_near] + bounds[second_near, first_near]) / 2
    stiffness = np.where(bonds[near] == 1, SPRINGS[1], SPRINGS[2])
    return Springs(
        index=in_copies(np.stack([first_near, second_near])),
        length=np.tile(length, n_copies),
        stiffness=np.tile(stiffness, n_copies),
        inner=in_copies(np.stack([first[~near], second[~near]])),
        molecule=np.repeat(np.arange(n_copies), n),
    )


def lennard_jones_pairs(squared: Tensor, minimum: Tensor, depth: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """Energy of pairs and its derivative divided by the distance; both go to zero at the cutoff.

    E(r) = e(r) - e(cutoff) - (r - cutoff) e'(cutoff), with e(r) = depth ((minimum / r)^12 - 2 (minimum / r)^6).

    Args:
        squared: Squares of distances below the cutoff, Å2. [n_pairs]
        minimum: Distance where e is least, Å. [n_pairs]
        depth: eV. [n_pairs]
        cutoff: Å.

    Returns:
        eV, and eV/Å2. [n_pairs] each
    """
    r = squared.sqrt()
    sixth, at_cutoff = (minimum * minimum / squared) ** 3, (minimum / cutoff) ** 6
    slope = -12.0 * depth / cutoff * (at_cutoff * at_cutoff - at_cutoff)
    energy = depth * (sixth * sixth - 2.0 * sixth - at_cutoff * at_cutoff + 2.0 * at_cutoff) - (r - cutoff) * slope
    return energy, -12.0 * depth * (sixth * sixth - sixth) / squared - slope / r


@dataclass(frozen=True)
class LennardJones:
    """Lennard-Jones between all atoms that are not within two bonds of each other, springs between those that are.

    cutoff: Å; energy and forces go to zero there.
    """

    cutoff: float = 8.0
    name: str = "lennard_jones"

    def prepare(self, batch: FullBatch) -> PreparedLennardJones:
        """Springs and parameters of some structures; all supported elements have them."""
        return PreparedLennardJones(batch.templates, batch.periodic, batch.atom_ptr, batch.atomic_numbers, self.cutoff)


class PreparedLennardJones:
    """`LennardJones` of some structures; see `packflow.potential.interface.Prepared`."""

    def __init__(self, templates: Sequence[Template], periodic: Tensor, atom_ptr: Tensor, atomic_numbers: Tensor, cutoff: float) -> None:
        """Pack springs along one axis. Arguments as in `FullBatch`; cutoff in Å."""
        self.templates, self.periodic, self.atom_ptr, self.cutoff = tuple(templates), periodic, atom_ptr, cutoff
        self.atomic_numbers = atomic_numbers
        self.problems = [""] * len(self.templates)
        device = periodic.device
        parts = [springs_of(t.molecule.smiles, t.n_copies) for t in self.templates]
        begins = atom_ptr.tolist()[:-1]

        def joined(arrays: list[np.ndarray], empty: tuple[int, ...], dtype: type) -> Tensor:
            return torch.from_numpy(np.concatenate([np.zeros(empty, dtype), *arrays], axis=-1)).to(device)

        self.spring_index = joined([p.index + b for p, b in zip(parts, begins, strict=True)], (2, 0), np.int64)
        self.spring_length = joined([p.length for p in parts], (0,), np.float64)
        self.spring_stiffness = joined([p.stiffness for p in parts], (0,), np.float64)
        self.inner = joined([p.inner + b for p, b in zip(parts, begins, strict=True)], (2, 0), np.int64)
        # no copy has more atoms than its structure, so first atom + copy is a name that no other molecule has
        self.molecule = joined([p.molecule + b for p, b in zip(parts, begins, strict=True)], (0,), np.int64)
        wells = torch.zeros(max(WELLS) + 1, 2, dtype=torch.float64)
        for number, (minimum, depth) in WELLS.items():
            wells[number] = torch.tensor([minimum, depth * EV_PER_KCAL_MOL])
        # geometric combination, as in UFF
        self.root_minimum, self.root_depth = wells.to(device)[atomic_numbers].sqrt().T.contiguous()
        self.owner = torch.repeat_interleave(torch.arange(len(self.templates), device=device), atom_ptr.diff().long())

    def select(self, structures: Tensor) -> PreparedLennardJones:
        """The same for some of the structures. [n] int64"""
        atom_ptr = self.atom_ptr.long()
        sizes = atom_ptr.diff()[structures]
        new_ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        shift = torch.repeat_interleave(atom_ptr[:-1][structures] - new_ptr[:-1], sizes)
        atoms = torch.arange(len(shift), device=shift.device) + shift
        templates = [self.templates[s] for s in structures.tolist()]
        return PreparedLennardJones(templates, self.periodic[structures], new_ptr.int(), self.atomic_numbers[atoms], self.cutoff)

    def evaluate(self, positions: Tensor, cell: Tensor) -> Evaluation:
        """Energy, forces and stress; see `packflow.potential.interface.Prepared`."""
        cell = self._cell_to_search(positions, cell)
        found = problems(positions, cell, self.atom_ptr, self.cutoff)
        bad = torch.tensor([bool(p) for p in found], device=cell.device)
        if bad.any():
            positions, cell = self._apart(positions, cell, bad)
        energy, forces, virial = self._sums(positions, cell)
        volume = torch.where(self.periodic, torch.linalg.det(cell).abs(), torch.inf)
        stress = virial / volume[:, None, None]
        for x, rows in ((energy, bad), (forces, bad[self.owner]), (stress, bad)):
            x[rows] = torch.nan
        return Evaluation(energy, forces, stress, found)

    def _cell_to_search(self, positions: Tensor, cell: Tensor) -> Tensor:
        """Around molecules in vacuum a cell so large that no image is in reach."""
        if bool(self.periodic.all()):
            return cell
        farthest = torch.zeros(len(cell), dtype=cell.dtype, device=cell.device)
        farthest = farthest.scatter_reduce(0, self.owner, positions.abs().amax(1), "amax")
        vacuum = (2.0 * farthest + 2.0 * self.cutoff)[:, None, None] * torch.eye(3, dtype=cell.dtype, device=cell.device)
        return torch.where(self.periodic[:, None, None], cell, vacuum)

    def _apart(self, positions: Tensor, cell: Tensor, bad: Tensor) -> tuple[Tensor, Tensor]:
        """Structures in `bad` with their atoms in a row, far from each other, so that the others can be evaluated with them."""
        step = 2.0 * self.cutoff
        place = torch.arange(1, len(positions) + 1, dtype=positions.dtype, device=positions.device)
        row = step * place[:, None] * torch.tensor([1.0, 0.0, 0.0], dtype=positions.dtype, device=positions.device)
        box = step * (len(positions) + 2.0) * torch.eye(3, dtype=cell.dtype, device=cell.device)
        return torch.where(bad[self.owner][:, None], row, positions), torch.where(bad[:, None, None], box, cell)

    def _sums(self, positions: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Energy, forces, and the sum over pairs of force times distance. [n], [n_atoms, 3], [n, 3, 3]"""
        pairs = neighbors(positions, cell, self.atom_ptr, self.cutoff, half=True)
        i, j = pairs.pair_index
        outside = (self.molecule[i] != self.molecule[j]) | (pairs.cell_shifts != 0).any(1)
        i, j, shifts = i[outside], j[outside], pairs.cell_shifts[outside].to(cell.dtype)
        i, j = torch.cat([i, self.inner[0]]), torch.cat([j, self.inner[1]])
        shifts = torch.cat([shifts, shifts.new_zeros(self.inner.shape[1], 3)])
        owner = self.owner[i]
        distance = positions[j] - positions[i] + sum(shifts[:, k, None] * cell[owner, k] for k in range(3))
        squared = (distance * distance).sum(1)
        minimum, depth = self.root_minimum[i] * self.root_minimum[j], self.root_depth[i] * self.root_depth[j]
        energy, slope = lennard_jones_pairs(squared, minimum, depth, self.cutoff)
        beyond = squared >= self.cutoff**2
        energy, slope = energy.masked_fill(beyond, 0.0), slope.masked_fill(beyond, 0.0)

        first, second = self.spring_index
        stretched = positions[second] - positions[first]
        length = stretched.norm(dim=1)
        longer = length - self.spring_length
        energy = torch.cat([energy, 0.5 * self.spring_stiffness * longer**2])
        slope = torch.cat([slope, self.spring_stiffness * longer / length])
        return self._add(torch.cat([i, first]), torch.cat([j, second]), torch.cat([distance, stretched]), energy, slope)

    def _add(self, i: Tensor, j: Tensor, distance: Tensor, energy: Tensor, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sums of `_sums` over pairs of given energies and derivatives over distances. [n_pairs] each, distance [n_pairs, 3]"""
        owner, pull = self.owner[i], slope[:, None] * distance
        total = torch.zeros(len(self.templates), dtype=energy.dtype, device=energy.device).index_add(0, owner, energy)
        forces = torch.zeros(len(self.owner), 3, dtype=energy.dtype, device=energy.device).index_add(0, i, pull).index_add(0, j, -pull)
        outer = torch.stack([pull[:, a] * distance[:, b] for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))], 1)
        six = torch.zeros(len(self.templates), 6, dtype=energy.dtype, device=energy.device).index_add(0, owner, outer)
        return total, forces, six[:, [0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(-1, 3, 3)

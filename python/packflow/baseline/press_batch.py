"""Packings as functions of their degrees of freedom: what a cell may become and where molecules may go without breaking symmetry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from packflow.baseline.random_packing import Packing
from packflow.baseline.tries import Arrangement, cartesian

# strains of a cell, then shift and turn of each independent molecule
N_STRAINS, N_OF_MOLECULE = 6, 6
SYMMETRIC = np.array([np.eye(3)[[i]].T @ np.eye(3)[[j]] + np.eye(3)[[j]].T @ np.eye(3)[[i]] for i in range(3) for j in range(i, 3)]) / 2


@dataclass(frozen=True)
class PressBatch:
    """Packings along one axis, and one of independent molecules, of copies, and of atoms, hydrogens included; float64.

    A row of degrees of freedom has N_STRAINS numbers, then N_OF_MOLECULE for each independent molecule of the packing, zeros behind them.
    All are lengths in Å: strains times half the cube root of the volume, shifts, and turns times the size of a molecule. What symmetry
    forbids has no effect.

    cell:           [n, 3, 3], rows are the lattice vectors.
    strains:        [n, N_STRAINS, 3, 3], symmetric matrices that commute with the group's rotations, 1/Å; zeros behind them.
    of_packing:     [n_molecules] int64.
    place:          [n_molecules] int64, of a molecule's numbers among those of its packing, from 0.
    center:         [n_molecules, 3], fractional.
    rotation:       [n_molecules, 3, 3].
    shifts:         [n_molecules, 3, 3], projection onto the shifts that a site allows, to fractional coordinates, 1/Å.
    turns:          [n_molecules, 3, 3], projection onto the axes of the turns that a site allows, 1/Å.
    molecule:       [n_copies of all] int64, independent molecule of each copy.
    operations:     [n_copies of all, 3, 4], W and w.
    linear:         [n_copies of all, 3, 3], W as a Cartesian matrix, whatever the strain.
    copy:           [n_atoms] int64.
    shape:          [n_atoms, 3], seen from the center of its molecule.
    radii:          [n_atoms], van der Waals.
    share:          [n_atoms], copies per molecule of the cell of an atom of an independent molecule; 0 of the others.
    atom_ptr:       [n + 1] int32.
    """

    cell: Tensor
    strains: Tensor
    of_packing: Tensor
    place: Tensor
    center: Tensor
    rotation: Tensor
    shifts: Tensor
    turns: Tensor
    molecule: Tensor
    operations: Tensor
    linear: Tensor
    copy: Tensor
    shape: Tensor
    radii: Tensor
    share: Tensor
    atom_ptr: Tensor

    def __len__(self) -> int:
        """Number of packings."""
        return len(self.cell)

    @property
    def n_freedoms(self) -> int:
        """Numbers of a row of degrees of freedom."""
        return N_STRAINS + N_OF_MOLECULE * (int(self.place.max()) + 1)

    def moved(self, freedoms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cells [n, 3, 3], and centers [n_molecules, 3] and rotations [n_molecules, 3, 3] of the independent molecules.

        Args:
            freedoms: [n, n_freedoms]
        """
        strain = torch.einsum("ns,nsij->nij", freedoms[:, :N_STRAINS], self.strains)
        cell = self.cell @ (torch.eye(3, dtype=strain.dtype) + strain)
        of_molecules = freedoms[:, N_STRAINS:].unflatten(1, (-1, N_OF_MOLECULE))[self.of_packing, self.place]
        center = self.center + torch.einsum("mij,mj->mi", self.shifts, of_molecules[:, :3])
        axis = torch.einsum("mij,mj->mi", self.turns, of_molecules[:, 3:])
        return cell, center, torch.linalg.matrix_exp(cross_matrices(axis)) @ self.rotation

    def atoms(self, cell: Tensor, center: Tensor, rotation: Tensor) -> Tensor:
        """Cartesian coordinates of all atoms, molecules whole. [n_atoms, 3]"""
        molecule, of_packing = self.molecule, self.of_packing[self.molecule]
        fractional = torch.einsum("kij,kj->ki", self.operations[:, :, :3], center[molecule]) + self.operations[:, :, 3]
        at = torch.einsum("ki,kij->kj", fractional, cell[of_packing])
        turned = self.linear @ rotation[molecule]
        return at[self.copy] + torch.einsum("aij,aj->ai", turned[self.copy], self.shape)

    def arrangements(self, freedoms: Tensor) -> list[Arrangement]:
        """Where everything is."""
        cell, center, rotation = (x.numpy() for x in self.moved(freedoms))
        of_packing = self.of_packing.numpy()
        return [Arrangement(cell[k], rotation[of_packing == k], center[of_packing == k]) for k in range(len(self))]


def cross_matrices(axes: Tensor) -> Tensor:
    """Generators of rotations about axes. [n, 3] -> [n, 3, 3]"""
    x, y, z = axes.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([torch.stack(row, -1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))], -2)


def press_batch(parts: Sequence[Mapping[str, np.ndarray]]) -> PressBatch:
    """A batch of at least one packing, from `press_part` of each."""
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    n_molecules = [len(part["center"]) for part in parts]
    n_copies = [len(part["operations"]) for part in parts]
    n_atoms = [len(part["shape"]) for part in parts]
    joined["molecule"] += np.repeat(np.cumsum([0, *n_molecules[:-1]]), n_copies)
    joined["copy"] += np.repeat(np.cumsum([0, *n_copies[:-1]]), n_atoms)
    tensors = {name: torch.from_numpy(x) for name, x in joined.items()}
    of_packing = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor(n_molecules))
    return PressBatch(**tensors, of_packing=of_packing, atom_ptr=torch.tensor(np.cumsum([0, *n_atoms]), dtype=torch.int32))


def press_part(packing: Packing, isotropic: bool) -> dict[str, np.ndarray]:
    """What a batch holds of one packing, molecules and copies counted from 0.

    Args:
        packing: Without a problem.
        isotropic: Whether the cell keeps its shape.
    """
    placement, conformer, found = packing.placement, packing.conformer, packing.arrangement
    n_copies, n_full = len(placement.operations), len(conformer.positions)
    linear = cartesian(placement.operations[:, :, :3], found.cell[None])[0]
    group = cartesian(placement.group.rotations.astype(float), found.cell[None])[0]
    sites = [cartesian(site.symmetry[:, :, :3], found.cell[None])[0] for site in placement.sites]
    size = max(1.0, float(np.sqrt((conformer.positions**2).sum(1).mean())))
    first = np.diff(placement.molecule, prepend=-1) > 0
    shares = np.where(first, np.array([site.n_copies for site in placement.sites])[placement.molecule] / n_copies, 0.0)
    strains = np.zeros((N_STRAINS, 3, 3))
    basis = np.eye(3)[None] if isotropic else invariant_strains(group)
    strains[: len(basis)] = basis / (0.5 * np.cbrt(np.linalg.det(found.cell)))
    return {
        "cell": found.cell[None],
        "strains": strains[None],
        "place": np.arange(len(sites)),
        "center": found.centers,
        "rotation": found.rotations,
        "shifts": np.linalg.inv(found.cell).T @ np.array([site.mean(0) for site in sites]),
        "turns": np.array([(np.linalg.det(site)[:, None, None] * site).mean(0) for site in sites]) / size,
        "molecule": placement.molecule.astype(np.int64),
        "operations": placement.operations,
        "linear": linear,
        "copy": np.repeat(np.arange(n_copies), n_full),
        "shape": np.tile(conformer.positions, (n_copies, 1)),
        "radii": np.tile(conformer.radii, n_copies),
        "share": np.repeat(shares, n_full),
    }


def invariant_strains(group: np.ndarray) -> np.ndarray:
    """Symmetric matrices that commute with all rotations of a point group: what a cell may be stretched by. [n, 3, 3]"""
    means = np.einsum("gij,sjk,glk->sil", group, SYMMETRIC, group) / len(group)
    _, weights, rows = np.linalg.svd(means.reshape(len(SYMMETRIC), 9))
    kept: np.ndarray = rows[: len(weights)][weights > 1e-6]
    return kept.reshape(-1, 3, 3)

"""Van der Waals and Coulomb energy, forces and stress of packed crystals and of molecules in vacuum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from packflow import _C
from packflow.ops._check import check_tensor
from packflow.ops.ewald import COULOMB, n_waves, split_of, wave_box
from packflow.ops.ewald import _launch as ewald_of
from packflow.ops.nonbonded_pairs import LARGEST_SKIN, SHIFTS, NonbondedPairs, PackedPairs, find_pairs
from packflow.ops.nonbonded_tail import nonbonded_tail

SHORTEST_CUTOFF = 2.0  # Å
NEUTRAL = 1e-5  # e; a crystal's charge is refused above
BUFFER = 0.05  # Å, kBuffer of nonbonded.h
SUMS_OF_ATOM = 9  # kNonbondedSums of nonbonded.h
# What is searched: within what `packflow.ops.neighbors` accepts.
MOST_IMAGES, MOST_HELD = 9e5, 1.9e7  # of an atom within the cutoff, of all atoms of a crystal
MOST_WAVES = 10**7  # reciprocal vectors of a crystal
DENSEST = 2.0  # atoms per Å3, twenty times an organic crystal
THINNEST, LONGEST = 0.1, 1e5  # Å
MOST_CELLS = SHIFTS // 2 - 2  # between two atoms of a pair

# Bits of Nonbonded.problem.
NOT_FINITE, OVERLAP, CHARGED, CANNOT_SEARCH = 1, 2, 4, 8
REASONS = {
    NOT_FINITE: "positions, cell and energy must be finite",
    OVERLAP: "atoms that are not bonded must be at least 0.3 Å apart",
    CHARGED: f"charges of a crystal must add up to zero within {NEUTRAL} e",
    CANNOT_SEARCH: "the cell must have a volume, and be neither too thin nor too large for a search up to the cutoff",
}


@dataclass(frozen=True)
class Nonbonded:
    """Nonbonded energy of each structure and its derivatives, float64; NaN where there is a problem.

    van_der_waals: [n_structures] eV.
    coulomb:       [n_structures] eV.
    forces:        [n_atoms, 3] eV/Å.
    stress:        [n_structures, 3, 3] eV/Å3, dE/d(strain) per volume, symmetric; zero in vacuum.
    problem:       [n_structures] uint8, 0 where there is none, else a sum of the bits NOT_FINITE, OVERLAP, CHARGED, CANNOT_SEARCH.
    """

    van_der_waals: Tensor
    coulomb: Tensor
    forces: Tensor
    stress: Tensor
    problem: Tensor

    @property
    def energy(self) -> Tensor:
        """Both parts together, eV. [n_structures]"""
        return self.van_der_waals + self.coulomb

    def reasons(self) -> list[str]:
        """What is wanted of each structure and was not found; empty for a good one."""
        return ["; ".join(text for bit, text in REASONS.items() if flags & bit) for flags in self.problem.tolist()]


def nonbonded(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_structures, 3, 3]
    atom_ptr: Tensor,  # [n_structures + 1]
    periodic: Tensor,  # [n_structures]
    charges: Tensor,  # [n_atoms]
    types: Tensor,  # [n_atoms]
    radius: Tensor,  # [2, n_types, n_types]
    epsilon: Tensor,  # [2, n_types, n_types]
    molecule: Tensor,  # [n_atoms]
    special_ptr: Tensor,  # [n_atoms + 1]
    special_index: Tensor,  # [n_special]
    special_scale: Tensor,  # [n_special, 2]
    cutoff: float = 10.0,
    pairs: NonbondedPairs | None = None,
    tail: Tensor | None = None,  # [n_structures]
) -> Nonbonded:
    """The nonbonded terms of MMFF94 (Halgren, J. Comput. Chem. 17, 490 and 520, 1996), periodic or in vacuum.

    Van der Waals is buffered 14-7, e (1.07 R / (r + 0.07 R))^7 (1.12 R^7 / (r^7 + 0.12 R^7) - 2); Coulomb is 1 / (r + 0.05 Å). In a
    crystal the former is switched to zero over the last Å before the cutoff, and what that leaves out is added for a uniform density;
    1 / r - 0.05 / r2 is summed without end (Ewald, tin-foil boundary), and what is left of the buffer, below 3e-5 eV Å / r3, is switched
    likewise. In vacuum every pair counts. A structure's result does not depend on the rest of the batch; one with a problem is marked, the
    others go on.

    Args:
        positions: Å, float64; molecules whole, in the cell or at most a hundred cells away. [n_atoms, 3]
        cell: Rows are the lattice vectors, Å, float64; ignored in vacuum. [n_structures, 3, 3]
        atom_ptr: First atom of each structure, then n_atoms, int32. [n_structures + 1]
        periodic: Whether a structure is a crystal, bool. [n_structures]
        charges: e, float64; those of a crystal add up to zero. [n_atoms]
        types: Row of each atom in the tables, int32. [n_atoms]
        radius: R of pairs of one molecule, then of pairs of different molecules or images, Å, symmetric, float64. [2, n_types, n_types]
        epsilon: e likewise, eV. [2, n_types, n_types]
        molecule: Which molecule each atom belongs to, numbered over the batch, int32. [n_atoms]
        special_ptr: Where each atom's entries of special_index begin, then n_special, int32. [n_atoms + 1]
        special_index: Atoms of the same molecule whose interaction with it, at the positions as given, is scaled; every pair is listed at
            both of its atoms, int32. [n_special]
        special_scale: Factors on van der Waals and on Coulomb, float64. [n_special, 2]
        cutoff: Å, at least 2.
        pairs: Keeps the neighbour list between calls; without, it is made anew.
        tail: What `nonbonded_tail` gives for these types, tables and cutoff, eV Å3; computed if not given. [n_structures]

    Returns:
        Energy, forces and stress, on the same device.

    Raises:
        ValueError: an argument; names it. Not for coordinates or charges of a structure: see Nonbonded.problem.
    """
    check_arguments(
        positions, cell, atom_ptr, periodic, charges, types, radius, epsilon, molecule, special_ptr, special_index, special_scale, cutoff
    )
    problem = _problems_before(positions, cell, atom_ptr, periodic, charges, cutoff)
    listed = periodic & (problem == 0)
    if pairs is None:
        found = find_pairs(positions.detach(), cell.detach(), atom_ptr, listed, cutoff)
    else:
        found = pairs.of(positions.detach(), cell, atom_ptr, listed, cutoff)
    if tail is None:
        tail = nonbonded_tail(atom_ptr, types, radius, epsilon, cutoff)
    check_tensor("tail", tail, (len(cell),), torch.float64, positions.device)
    near = positions, cell, atom_ptr, periodic, charges, types, radius, epsilon, molecule, special_ptr, special_index, special_scale
    return _launch(near, cutoff, found, tail, problem)


def _launch(
    near: tuple[Tensor, ...], cutoff: float, pairs: PackedPairs, tail: Tensor, problem: Tensor, instruction_set: str = ""
) -> Nonbonded:
    """Near pairs, far charges and the tail; `instruction_set` is one of `_C.instruction_sets()`, or empty for the fastest."""
    positions, cell, atom_ptr, periodic, charges = near[:5]
    alpha, k_cutoff = split_of(cutoff)
    energy, forces, strain = _near(near, cutoff, alpha, pairs, problem, instruction_set)
    good = problem == 0
    summed = periodic & good
    far = ewald_of(positions, cell, atom_ptr, charges, alpha, k_cutoff, summed, BUFFER, instruction_set)
    volume = torch.where(summed, torch.linalg.det(torch.where(summed[:, None, None], cell.detach(), 1.0)).abs(), 1.0)
    tail = torch.where(summed, tail / volume, 0.0)
    identity = torch.eye(3, dtype=torch.float64, device=positions.device)
    stress = torch.where(summed[:, None, None], (strain + far.strain - tail[:, None, None] * identity) / volume[:, None, None], 0.0)
    good_atoms = good.repeat_interleave(atom_ptr.diff().long())[:, None]
    return Nonbonded(
        van_der_waals=torch.where(good, energy[:, 0] + tail, torch.nan),
        coulomb=torch.where(good, energy[:, 1] + far.energy, torch.nan),
        forces=torch.where(good_atoms, forces + far.forces, torch.nan),
        stress=torch.where(good[:, None, None], stress, torch.nan),
        problem=problem,
    )


def _near(
    near: tuple[Tensor, ...], cutoff: float, alpha: float, pairs: PackedPairs, problem: Tensor, instruction_set: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Energy [n_structures, 2], forces [n_atoms, 3] and strain derivative of near pairs; sets bits of `problem`."""
    kept = [x.detach().contiguous() for x in near]
    positions, cell, radius = kept[0], kept[1], kept[6]
    shapes = (len(cell), 2), (len(positions), 3), (len(cell), 3, 3)
    energy, forces, strain = (torch.empty(shape, dtype=torch.float64, device=positions.device) for shape in shapes)
    counts = len(cell), len(positions), radius.shape[1]
    given = tuple(x.data_ptr() for x in kept), counts, (cutoff, alpha, COULOMB)
    listed = pairs.pair_ptr.data_ptr(), pairs.atom.data_ptr(), pairs.shift.data_ptr()
    out = tuple(x.data_ptr() for x in (energy, forces, strain, problem))
    if positions.is_cuda:
        of_atoms = torch.empty(len(positions), SUMS_OF_ATOM, dtype=torch.float64, device=positions.device)
        with torch.cuda.device(positions.device):
            _C.nonbonded_cuda(given, listed, out, of_atoms.data_ptr(), torch.cuda.current_stream().cuda_stream)
    else:
        _C.nonbonded_cpu(given, listed, out, torch.get_num_threads(), instruction_set)
    return energy, forces, strain


def _problems_before(positions: Tensor, cell: Tensor, atom_ptr: Tensor, periodic: Tensor, charges: Tensor, cutoff: float) -> Tensor:
    """What is wrong with a structure before any pair is looked at: bits of Nonbonded.problem, uint8. [n_structures]"""
    n_structures, counts = len(cell), atom_ptr.diff().long()
    owner = torch.repeat_interleave(torch.arange(n_structures, device=cell.device), counts)
    n_bad = torch.zeros(n_structures, dtype=torch.int64, device=cell.device).index_add(0, owner, (~positions.isfinite().all(1)).long())
    finite = (n_bad == 0) & (cell.isfinite().flatten(1).all(1) | ~periodic)
    charge = torch.zeros(n_structures, dtype=torch.float64, device=cell.device).index_add(0, owner, charges)
    charged = periodic & ~(charge.abs() <= NEUTRAL)
    looked_at = periodic & finite
    identity = torch.eye(3, dtype=torch.float64, device=cell.device)
    safe = torch.where(looked_at[:, None, None], cell.detach(), identity)
    farthest = torch.zeros_like(charge).scatter_reduce(0, owner, positions.detach().abs().amax(1), "amax")
    cannot = looked_at & ~_searchable(safe, counts, farthest, cutoff)
    return (NOT_FINITE * ~finite + CHARGED * charged + CANNOT_SEARCH * cannot).to(torch.uint8)


def _searchable(cell: Tensor, counts: Tensor, farthest: Tensor, cutoff: float) -> Tensor:
    """Whether a search of each finite cell is exact, and what it lists and sums is of reasonable size. [n_structures]"""
    cross = torch.stack([torch.linalg.cross(cell[:, k - 2], cell[:, k - 1], dim=1) for k in range(3)], dim=1)
    volume = (cell[:, 0] * cross[:, 0]).sum(1).abs()
    heights = volume[:, None] / cross.norm(dim=2)
    reach = cutoff + LARGEST_SKIN
    n_images = (2 * reach / heights + 1).prod(1)
    size = (n_images <= MOST_IMAGES) & (n_images * counts <= MOST_HELD) & (counts <= DENSEST * volume)
    return (
        size
        & (heights >= THINNEST).all(1)
        & (2 * 3**0.5 * farthest + reach <= MOST_CELLS * heights.amin(1))
        & (cell.flatten(1).norm(dim=1) <= LONGEST)
        & (n_waves(wave_box(cell, split_of(cutoff)[1])) <= MOST_WAVES)
    )


def check_arguments(
    positions: Tensor,
    cell: Tensor,
    atom_ptr: Tensor,
    periodic: Tensor,
    charges: Tensor,
    types: Tensor,
    radius: Tensor,
    epsilon: Tensor,
    molecule: Tensor,
    special_ptr: Tensor,
    special_index: Tensor,
    special_scale: Tensor,
    cutoff: float,
) -> None:
    """Refuse arguments of `nonbonded` that have the wrong shape, type, device or values."""
    n_atoms = check_tensor("positions", positions, ("n_atoms", 3), torch.float64)["n_atoms"]
    device = positions.device
    n_structures = check_tensor("cell", cell, ("n_structures", 3, 3), torch.float64, device)["n_structures"]
    check_tensor("atom_ptr", atom_ptr, (n_structures + 1,), torch.int32, device)
    check_tensor("periodic", periodic, (n_structures,), torch.bool, device)
    check_tensor("charges", charges, (n_atoms,), torch.float64, device)
    check_tensor("types", types, (n_atoms,), torch.int32, device)
    n_types = check_tensor("radius", radius, (2, "n_types", "n_types"), torch.float64, device)["n_types"]
    check_tensor("epsilon", epsilon, (2, n_types, n_types), torch.float64, device)
    check_tensor("molecule", molecule, (n_atoms,), torch.int32, device)
    check_tensor("special_ptr", special_ptr, (n_atoms + 1,), torch.int32, device)
    n_special = check_tensor("special_index", special_index, ("n_special",), torch.int32, device)["n_special"]
    check_tensor("special_scale", special_scale, (n_special, 2), torch.float64, device)
    if not (math.isfinite(cutoff) and cutoff >= SHORTEST_CUTOFF):
        raise ValueError(f"cutoff must be a number of at least {SHORTEST_CUTOFF} Å, got {cutoff}")
    _check_pointers("atom_ptr", atom_ptr, n_atoms)
    _check_pointers("special_ptr", special_ptr, n_special)
    _check_rows("types", types, n_types)
    _check_rows("special_index", special_index, n_atoms)
    _check_same_molecule(atom_ptr, molecule, special_ptr, special_index)


def _check_pointers(name: str, pointers: Tensor, last: int) -> None:
    if int(pointers[0]) != 0 or int(pointers[-1]) != last or bool((pointers.diff() < 0).any()):
        raise ValueError(f"{name} must rise from 0 to {last} without a step down, got {pointers.tolist()[:20]}")


def _check_same_molecule(atom_ptr: Tensor, molecule: Tensor, special_ptr: Tensor, special_index: Tensor) -> None:
    counts, rows = special_ptr.diff(), special_index.long()
    structure = torch.repeat_interleave(torch.arange(len(atom_ptr) - 1, device=atom_ptr.device), atom_ptr.diff())
    apart = (molecule[rows] != molecule.repeat_interleave(counts)) | (structure[rows] != structure.repeat_interleave(counts))
    if bool(apart.any()):
        wrong = int(apart.nonzero()[0])
        atom = int((special_ptr[1:] <= wrong).sum())
        raise ValueError(f"special_index must be atoms of the same molecule, got atom {int(rows[wrong])} for atom {atom}")


def _check_rows(name: str, rows: Tensor, n_rows: int) -> None:
    wrong = rows[(rows < 0) | (rows >= n_rows)]
    if len(wrong):
        raise ValueError(f"{name} must be from 0 to {n_rows - 1}, got {int(wrong[0])}")

"""How many molecules of a cluster of one crystal overlay on another crystal, and how well, of many pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from packflow import _C
from packflow.ops._check import check_tensor
from packflow.ops._crystals import check_count, check_positive

# Å
MOST_LENGTH = 1e9


@dataclass(frozen=True)
class MoleculeKinds:
    """Molecules up to their coordinates, one after the other.

    element:  Of each atom, any number, int32. [n_atoms of all kinds]
    role:     Of each atom, int32; atoms of one role are exchanged freely, and are of one element. [n_atoms of all kinds]
    atom_ptr: First atom of each kind, then the number of all, int32. [n_kinds + 1]
    species:  Of each kind, int32; only molecules of one species are laid on each other. [n_kinds]
    """

    element: Tensor
    role: Tensor
    atom_ptr: Tensor
    species: Tensor

    def check(self) -> None:
        """Refuse kinds without atoms, roles of several elements, and species of several compositions."""
        n_atoms = check_tensor("element", self.element, ("n_atoms",), torch.int32)["n_atoms"]
        check_tensor("role", self.role, (n_atoms,), torch.int32)
        n_kinds = check_tensor("species", self.species, ("n_kinds",), torch.int32)["n_kinds"]
        check_tensor("atom_ptr", self.atom_ptr, (n_kinds + 1,), torch.int32)
        _check_pointers("atom_ptr", self.atom_ptr, n_atoms)
        ends, elements = self.atom_ptr.tolist(), self.element.tolist()
        element_of_role: dict[int, int] = {}
        for role, element in zip(self.role.tolist(), elements, strict=True):
            if element_of_role.setdefault(role, element) != element:
                raise ValueError(f"role {role} must have atoms of one element, got {element_of_role[role]} and {element}")
        composition: dict[int, list[int]] = {}
        for species, first, last in zip(self.species.tolist(), ends, ends[1:], strict=False):
            own = sorted(elements[first:last])
            if composition.setdefault(species, own) != own:
                raise ValueError(f"species {species} must have one composition, got {composition[species]} and {own}")


@dataclass(frozen=True)
class MolecularPackings:
    """Structures made of whole molecules, one after the other.

    positions:    Cartesian, molecule after molecule, Å, float64; centroids in the cell. [n_atoms of all structures, 3]
    cell:         Rows are the lattice vectors, Å, float64. [n_structures, 3, 3]
    kind:         Of each molecule, int32. [n_molecules of all structures]
    molecule_ptr: First molecule of each structure, then the number of all, int64. [n_structures + 1]
    reach:        The cell is repeated from -reach to reach along each axis, int32. [n_structures]
    """

    positions: Tensor
    cell: Tensor
    kind: Tensor
    molecule_ptr: Tensor
    reach: Tensor

    def check(self, kinds: MoleculeKinds) -> None:
        """Refuse structures without molecules, kinds out of range, another number of atoms, and values out of range."""
        n_structures = check_tensor("cell", self.cell, ("n_structures", 3, 3), torch.float64)["n_structures"]
        n_molecules = check_tensor("kind", self.kind, ("n_molecules",), torch.int32)["n_molecules"]
        check_tensor("molecule_ptr", self.molecule_ptr, (n_structures + 1,), torch.int64)
        check_tensor("reach", self.reach, (n_structures,), torch.int32)
        _check_pointers("molecule_ptr", self.molecule_ptr, n_molecules)
        n_kinds = len(kinds.species)
        if n_molecules and not 0 <= int(self.kind.min()) <= int(self.kind.max()) < n_kinds:
            raise ValueError(f"kind must lie between 0 and {n_kinds - 1}, got {int(self.kind.min())} to {int(self.kind.max())}")
        n_atoms = int(kinds.atom_ptr.diff()[self.kind.long()].sum())
        check_tensor("positions", self.positions, (n_atoms, 3), torch.float64)
        for name, x in {"positions": self.positions, "cell": self.cell}.items():
            # squares must be finite too; NaN is in no range
            if x.numel() and not float(x.abs().max()) <= MOST_LENGTH:
                raise ValueError(f"{name} must lie within {MOST_LENGTH:.0e} Å, got {float(x.abs().max())}")
        if n_structures and int(self.reach.min()) < 1:
            raise ValueError(f"reach must be at least 1 cell, got {int(self.reach.min())}")


def packing_similarity(
    kinds: MoleculeKinds,
    packings: MolecularPackings,
    pairs: Tensor,  # [n_pairs, 2]
    n_molecules: int = 15,
    tolerance: float = 1.0,
    mirror: bool = True,
) -> tuple[Tensor, Tensor]:
    """Lay a molecule of a structure and those in closest contact with it over another structure, as well as is found.

    The search of oxtalign 0.1 (arXiv 2512.06987), step by step, in float64 on the CPU: csrc/include/packflow/packing_similarity.h says
    what it does. Results do not depend on the number of threads.

    Args:
        kinds: The molecules.
        packings: The structures.
        pairs: Reference, whose cluster it is, and other, int64. [n_pairs, 2]
        n_molecules: Of the cluster.
        tolerance: A molecule matches if its RMSD is below it, Å.
        mirror: Try the mirror image of the other structure too.

    Returns:
        Number of molecules that match, int64, and the RMSD of their atoms in Å, float64, NaN where none does. [n_pairs] both

    Raises:
        ValueError: an argument of another shape, type or range.
    """
    check_count("n_molecules", n_molecules)
    check_positive("tolerance", tolerance)
    kinds.check()
    packings.check(kinds)
    n_pairs = check_tensor("pairs", pairs, ("n_pairs", 2), torch.int64)["n_pairs"]
    n_structures = len(packings.cell)
    if n_pairs and not 0 <= int(pairs.min()) <= int(pairs.max()) < n_structures:
        raise ValueError(f"pairs must lie between 0 and {n_structures - 1}, got {int(pairs.min())} to {int(pairs.max())}")
    kept = [
        *(kinds.element, kinds.role, kinds.atom_ptr, kinds.species),
        *(packings.positions, packings.cell, packings.kind, packings.molecule_ptr, packings.reach, pairs),
    ]
    kept = [x.contiguous() for x in kept]
    element, role, atom_ptr, species, positions, cell, kind, molecule_ptr, reach, of_pairs = (x.data_ptr() for x in kept)
    n_matched, rmsd = torch.zeros(n_pairs, dtype=torch.int32), torch.zeros(n_pairs, dtype=torch.float64)
    _C.packing_similarity_cpu(
        (element, role, atom_ptr, species, len(kinds.species)),
        (positions, cell, kind, molecule_ptr, reach, n_structures),
        (of_pairs, n_pairs, n_molecules, float(tolerance), bool(mirror)),
        n_matched.data_ptr(),
        rmsd.data_ptr(),
        torch.get_num_threads(),
    )
    return n_matched.long(), rmsd


def _check_pointers(name: str, pointers: Tensor, n: int) -> None:
    """Refuse pointers that do not rise from 0 to n."""
    if int(pointers[0]) != 0 or int(pointers[-1]) != n or not (pointers.diff() > 0).all():
        raise ValueError(f"{name} must rise from 0 to {n}, got {pointers.tolist()}")

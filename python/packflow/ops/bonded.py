"""Energy, forces and virial of the bonded terms of a force field, for all structures of a packed batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from packflow import _C
from packflow.ops._check import check_tensor

# Kinds of terms, and how many atoms each has.
STRETCH, BEND, COSINE_BEND, STRETCH_BEND, OUT_OF_PLANE, TORSION = range(6)
N_TERM_ATOMS = (2, 3, 3, 3, 4, 4)
MAX_TERM_ATOMS = 4
N_TERM_PARAMETERS = 5


class BondedResult(NamedTuple):
    """What bonded terms give, float64.

    energy: [n_structures] eV.
    forces: [n_atoms, 3] eV/Å.
    virial: [n_structures, 3, 3] eV, derivative of the energy by a strain of all positions; symmetric.
    """

    energy: Tensor
    forces: Tensor
    virial: Tensor


@dataclass(frozen=True)
class BondedTerms:
    """Bonded terms of a packed batch, structure by structure. Molecules are whole: no term knows of the cell.

    With r a length in Å, angles in radians, (p0, p1, ...) the parameters (eV, Å, degrees) and D() the deviation from an equilibrium value:

    0 stretch       i, j        p0/2 D(r)^2 (1 - 2 D(r) + 7/3 D(r)^2),  D(r) = r_ij - p1
    1 bend          i, j, k     p0/2 D(a)^2 (1 - 0.4 D(a)),             D(a) = angle at j - p1
    2 cosine bend   i, j, k     p0 / p1^2 (1 - p2 cos(p1 angle)),       p1 is 1 or 4, p2 is 1 or -1
    3 stretch-bend  i, j, k     (p0 D(r_ij) + p1 D(r_kj)) D(a),         equilibrium values p2, p3 and p4
    4 out of plane  i, j, k, l  p0/2 x^2, x the angle of the bond from j to l with the plane of i, j, k
    5 torsion       i, j, k, l  (p0 (1 + cos t) + p1 (1 - cos 2t) + p2 (1 + cos 3t)) / 2

    These are the forms of MMFF94 (Halgren, J. Comput. Chem. 17, 490 and 553 (1996)); the second with p1 = 4 is UFF's for square and
    octahedral atoms (Rappé et al., J. Am. Chem. Soc. 114, 10024 (1992)).

    kind:       [n_terms] uint8.
    atoms:      [n_terms, 4] int32, rows of the atom axis, all of the term's own structure; places that a kind lacks hold any of them.
    parameters: [n_terms, 5] float64.
    term_ptr:   [n_structures + 1] int32; structure s owns terms term_ptr[s]:term_ptr[s + 1].
    """

    kind: Tensor
    atoms: Tensor
    parameters: Tensor
    term_ptr: Tensor

    def __len__(self) -> int:
        """Number of terms."""
        return len(self.kind)

    @cached_property
    def places(self) -> tuple[Tensor, Tensor]:
        """Where each atom occurs: pointers [n_atoms of all terms + 1] and rows 4 term + place in ascending order, int32.

        The pointers end with the last atom that has terms.
        """
        n_atoms_of = torch.tensor(N_TERM_ATOMS, device=self.kind.device)[self.kind.long()]
        used = (torch.arange(MAX_TERM_ATOMS, device=self.kind.device) < n_atoms_of[:, None]).flatten().nonzero()[:, 0]
        atoms = self.atoms.flatten()[used].long()
        counts = torch.bincount(atoms, minlength=1)
        pointers = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return pointers.int(), used[atoms.argsort(stable=True)].int()

    @cached_property
    def highest_kind(self) -> int:
        """Of all terms; 0 of none."""
        return int(self.kind.max()) if len(self) else 0

    @cached_property
    def reach(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest atom in the terms of each structure; of no meaning where it has none. [n_structures] int32 twice"""
        n_terms = self.term_ptr.diff().long()
        owner = torch.repeat_interleave(torch.arange(len(n_terms), device=n_terms.device), n_terms)
        empty = torch.zeros(len(n_terms), dtype=torch.int32, device=n_terms.device)
        lowest = empty.scatter_reduce(0, owner, self.atoms.amin(1), "amin", include_self=False)
        highest = empty.scatter_reduce(0, owner, self.atoms.amax(1), "amax", include_self=False)
        return lowest, highest

    def select(self, structures: Tensor, atom_ptr: Tensor) -> BondedTerms:
        """The terms of some structures, in the given order, repeats allowed.

        Args:
            structures: int64. [n]
            atom_ptr: Of the whole batch, int32. [n_structures + 1]
        """
        n_terms, n_atoms = self.term_ptr.diff().long()[structures], atom_ptr.diff().long()[structures]
        term_ptr = torch.cat([n_terms.new_zeros(1), n_terms.cumsum(0)])
        first_atom = n_atoms.cumsum(0) - n_atoms
        owner = torch.repeat_interleave(torch.arange(len(structures), device=n_terms.device), n_terms)
        rows = torch.arange(len(owner), device=owner.device) + (self.term_ptr.long()[structures] - term_ptr[:-1])[owner]
        moved_by = (first_atom - atom_ptr.long()[structures])[owner, None]
        return BondedTerms(self.kind[rows], (self.atoms[rows] + moved_by).int(), self.parameters[rows], term_ptr.int())

    def to(self, device: torch.device | str) -> BondedTerms:
        """The same terms on another device."""
        return BondedTerms(*(x.to(device) for x in (self.kind, self.atoms, self.parameters, self.term_ptr)))

    @classmethod
    def join(cls, parts: Sequence[BondedTerms], first_atoms: Sequence[int]) -> BondedTerms:
        """Terms of several batches as those of one, whose atoms begin at `first_atoms` on the atom axis. [n_parts]"""
        ends = [0, *torch.tensor([len(part) for part in parts]).cumsum(0).tolist()]
        pointers = [part.term_ptr[1:] + end for part, end in zip(parts, ends, strict=False)]
        return cls(
            torch.cat([torch.zeros(0, dtype=torch.uint8), *(part.kind for part in parts)]),
            torch.cat([torch.zeros(0, 4, dtype=torch.int32), *(part.atoms + k for part, k in zip(parts, first_atoms, strict=True))]),
            torch.cat([torch.zeros(0, N_TERM_PARAMETERS, dtype=torch.float64), *(part.parameters for part in parts)]),
            torch.cat([torch.zeros(1, dtype=torch.int32), *pointers]).int(),
        )


def bonded(
    positions: Tensor,  # [n_atoms, 3]
    terms: BondedTerms,
    atom_ptr: Tensor,  # [n_structures + 1]
) -> BondedResult:
    """Energy, forces and virial of bonded terms; not differentiable, since the forces are the gradient.

    The result for a structure does not depend on the rest of the batch or the number of threads. Where a term is undefined (atoms of a
    bond that coincide, for one) numbers are not finite or large, never an error.

    Args:
        positions: Cartesian coordinates in Å with molecules whole, float64. [n_atoms, 3]
        terms: On the same device; on the GPU its rows are not checked.
        atom_ptr: First atom of each structure, then n_atoms, int32; on the GPU its values are not checked. [n_structures + 1]

    Raises:
        ValueError: an argument has another shape, dtype or device, or a term reaches out of its structure.
    """
    n_atoms = check_tensor("positions", positions, ("n_atoms", 3), torch.float64)["n_atoms"]
    device = positions.device
    n_terms = check_tensor("terms.kind", terms.kind, ("n_terms",), torch.uint8, device)["n_terms"]
    check_tensor("terms.atoms", terms.atoms, (n_terms, MAX_TERM_ATOMS), torch.int32, device)
    check_tensor("terms.parameters", terms.parameters, (n_terms, N_TERM_PARAMETERS), torch.float64, device)
    n_structures = check_tensor("terms.term_ptr", terms.term_ptr, ("n_structures + 1",), torch.int32, device)["n_structures + 1"] - 1
    check_tensor("atom_ptr", atom_ptr, (n_structures + 1,), torch.int32, device)
    energy = torch.empty(n_structures, dtype=torch.float64, device=device)
    forces, virial = torch.empty_like(positions.detach()).contiguous(), energy.new_empty(n_structures, 3, 3)
    inputs = [x.detach().contiguous() for x in (positions, atom_ptr, terms.kind, terms.atoms, terms.parameters, terms.term_ptr)]
    given, out = (tuple(x.data_ptr() for x in tensors) for tensors in (inputs, (energy, forces, virial)))
    if device.type == "cuda":
        pointers, places = terms.places
        gradients = positions.new_empty(n_terms, MAX_TERM_ATOMS, 3)
        gather = pointers.data_ptr(), len(pointers) - 1, places.data_ptr(), gradients.data_ptr()
        with torch.cuda.device(device):
            stream = torch.cuda.current_stream().cuda_stream
            _C.bonded_cuda(given, n_structures, out, gather, stream)
    else:
        _check_rows(terms, atom_ptr, n_atoms)
        _C.bonded_cpu(given, n_structures, out, torch.get_num_threads())
    return BondedResult(energy, forces, virial)


def _check_rows(terms: BondedTerms, atom_ptr: Tensor, n_atoms: int) -> None:
    """Refuse pointers that do not rise, kinds that do not exist, and terms that reach out of their structure."""
    for name, pointers, end in (("atom_ptr", atom_ptr, n_atoms), ("terms.term_ptr", terms.term_ptr, len(terms))):
        if int(pointers[0]) != 0 or int(pointers[-1]) != end or bool((pointers.diff() < 0).any()):
            raise ValueError(f"{name} must rise from 0 to {end} without a step down, got {pointers.tolist()}")
    if terms.highest_kind >= len(N_TERM_ATOMS):
        raise ValueError(f"terms.kind must be below {len(N_TERM_ATOMS)}, got {terms.highest_kind}")
    lowest, highest = terms.reach
    outside = (terms.term_ptr.diff() > 0) & ((lowest < atom_ptr[:-1]) | (highest >= atom_ptr[1:]))
    if bool(outside.any()):
        s = int(outside.nonzero()[0])
        rows = f"{int(lowest[s])} to {int(highest[s])}, of structure {s} are {int(atom_ptr[s])} to {int(atom_ptr[s + 1]) - 1}"
        raise ValueError(f"terms.atoms must be atoms of the term's own structure, got {rows}")

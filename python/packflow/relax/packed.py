"""Sums over the atoms of each structure, and rows of a state that belong to some structures.

A state is a frozen dataclass of tensors with one row per structure, or one row per atom if named in its `ATOM_ROWS`, or of such states.
Everything here gives a structure the same bits whatever stands beside it in the batch (on the CPU; a GPU adds in any order).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from packflow.structure.full import FullBatch
from packflow.structure.packed import atoms_of

State = TypeVar("State")


@dataclass(frozen=True)
class Axis:
    """How atoms lie along the packed axis.

    Of structures; or of molecules, whose atoms are together as well: read "molecule" for "structure" then.

    atom_ptr: [n_structures + 1] int32; structure s owns atoms atom_ptr[s]:atom_ptr[s + 1].
    owner:    [n_atoms] int64, the structure of each atom.
    sizes:    [n_structures] int64, numbers of atoms.
    """

    atom_ptr: Tensor
    owner: Tensor
    sizes: Tensor

    @classmethod
    def of_molecules(cls, batch: FullBatch) -> Axis:
        """Of the molecules of all structures of a batch."""
        copies = torch.tensor([t.n_copies for t in batch.templates], dtype=torch.int64, device=batch.cell.device)
        return cls.of(torch.repeat_interleave(batch.sizes // copies, copies))

    @classmethod
    def of(cls, sizes: Tensor) -> Axis:
        """From the number of atoms of each structure. [n_structures] int64"""
        atom_ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]).int()
        owner = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
        return cls(atom_ptr, owner, sizes)

    def sum(self, x: Tensor) -> Tensor:
        """Sum over the atoms of each structure. [n_atoms, ...] -> [n_structures, ...]"""
        return torch.zeros(len(self.sizes), *x.shape[1:], dtype=x.dtype, device=x.device).index_add(0, self.owner, x)

    def mean(self, x: Tensor) -> Tensor:
        """Mean over the atoms of each structure. [n_atoms, 3] -> [n_structures, 3]"""
        return self.sum(x) / self.sizes.to(x.dtype)[:, None]

    def max(self, x: Tensor) -> Tensor:
        """Largest of the atoms of each structure, -inf without atoms, NaN where one is NaN. [n_atoms] -> [n_structures]"""
        lowest = torch.full((len(self.sizes),), -torch.inf, dtype=x.dtype, device=x.device)
        return lowest.scatter_reduce(0, self.owner, x, "amax")

    def atoms(self, structures: Tensor) -> Tensor:
        """Rows of the atoms of some structures, in their order. [n] int64 -> [n_atoms of them]"""
        return atoms_of(structures, self.atom_ptr)


def rows_times(rows: Tensor, matrices: Tensor) -> Tensor:
    """Each row vector times its matrix, the same bits in any batch. [n, 3], [n, 3, 3] -> [n, 3]"""
    return rows[:, 0, None] * matrices[:, 0] + rows[:, 1, None] * matrices[:, 1] + rows[:, 2, None] * matrices[:, 2]


def _each_tensor(states: Sequence[State], change: Callable[[str, list[Tensor]], Tensor]) -> State:
    """The state whose tensors are `change(axis, tensors)` of those of `states`, nested states included."""
    first = states[0]
    new = {}
    for f in fields(first):  # type: ignore[arg-type]
        values = [getattr(state, f.name) for state in states]
        axis = "atoms" if f.name in getattr(first, "ATOM_ROWS", ()) else "structures"
        new[f.name] = _each_tensor(values, change) if is_dataclass(values[0]) else change(axis, values)
    return replace(first, **new)  # type: ignore[type-var]


def take(state: State, structures: Tensor, atoms: Tensor) -> State:
    """The rows of a state that belong to some structures, as they are.

    Args:
        state: As above.
        structures: [n] int64
        atoms: Rows of their atoms, from `Axis.atoms`. [n_atoms]
    """
    return _each_tensor([state], lambda axis, x: x[0][atoms if axis == "atoms" else structures])


def join(states: Sequence[State]) -> State:
    """Several states one after the other."""
    return _each_tensor(states, lambda axis, x: torch.cat(x))


def choose(mask: Tensor, yes: State, no: State, axis: Axis) -> State:
    """Of each structure the rows of `yes` where mask is True, else those of `no`. mask: [n_structures] bool"""
    atom_mask = mask[axis.owner]

    def chosen(kind: str, x: list[Tensor]) -> Tensor:
        rows = atom_mask if kind == "atoms" else mask
        return torch.where(rows.reshape(-1, *[1] * (x[0].dim() - 1)), x[0], x[1])

    return _each_tensor([yes, no], chosen)

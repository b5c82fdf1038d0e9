"""What the periodic ops share: a checked packed batch, and how a native kernel is called with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from packflow import _C
from packflow.ops._check import check_tensor

DTYPES = (torch.float32, torch.float64)


@dataclass(frozen=True)
class Crystals:
    """Contiguous tensors of a packed batch, of the right shapes and types.

    positions: [n_atoms, 3] float32 or float64, Å.
    cell:      [n_crystals, 3, 3], same dtype, rows are the lattice vectors, Å.
    atom_ptr:  [n_crystals + 1] int32.
    """

    positions: Tensor
    cell: Tensor
    atom_ptr: Tensor

    @classmethod
    def of(cls, positions: Tensor, cell: Tensor, atom_ptr: Tensor) -> Crystals:
        """Check shapes and types, not values."""
        check_tensor("positions", positions, ("n_atoms", 3), DTYPES)
        n_crystals = check_tensor("cell", cell, ("n_crystals", 3, 3), positions.dtype, positions.device)["n_crystals"]
        check_tensor("atom_ptr", atom_ptr, (n_crystals + 1,), torch.int32, positions.device)
        return cls(*(x.detach().contiguous() for x in (positions, cell, atom_ptr)))

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all crystals together."""
        return len(self.positions)

    def problems(self, cutoff: float | Tensor) -> list[str]:
        """What keeps each crystal from being searched up to `cutoff` (Å, one or [n_crystals]); empty if nothing does.

        A batch on the GPU is copied for it.

        Raises:
            ValueError: atom_ptr does not rise from 0 to n_atoms.
        """
        positions, cell, atom_ptr = (x.cpu() for x in (self.positions, self.cell, self.atom_ptr))
        cutoffs = torch.as_tensor(cutoff, dtype=torch.float64).cpu().expand(len(cell)).contiguous()
        batch = positions.data_ptr(), cell.data_ptr(), atom_ptr.data_ptr(), len(cell), self.n_atoms
        return self._kernel("crystal_problems")(batch, cutoffs.data_ptr())

    def check(self, cutoff: float | Tensor) -> None:
        """Refuse values that a search up to `cutoff` (Å, one or [n_crystals]) cannot work with.

        Raises:
            ValueError: names the first such crystal.
        """
        problem = next((f"crystal {c}: {p}" for c, p in enumerate(self.problems(cutoff)) if p), "")
        if problem:
            raise ValueError(problem)

    def call(self, op: str, *arguments: Tensor | float, instruction_set: str = "") -> None:
        """Run the native kernel of this device and dtype.

        Args:
            op: Its name.
            arguments: Numbers and tensors that follow the batch; tensors are passed as addresses.
            instruction_set: One of `_C.instruction_sets()`, or empty for the fastest; for the CPU only.
        """
        passed = [x.data_ptr() if isinstance(x, Tensor) else x for x in arguments]
        batch = self.positions.data_ptr(), self.cell.data_ptr(), self.atom_ptr.data_ptr(), len(self.cell), self.n_atoms
        if self.positions.is_cuda:
            with torch.cuda.device(self.positions.device):
                self._kernel(f"{op}_cuda")(batch, *passed, torch.cuda.current_stream().cuda_stream)
        else:
            self._kernel(f"{op}_cpu")(batch, *passed, torch.get_num_threads(), instruction_set)

    def _kernel(self, name: str) -> Callable:
        return getattr(_C, f"{name}_{'float64' if self.positions.dtype == torch.float64 else 'float32'}")


def problems(
    positions: Tensor,  # [n_atoms, 3]
    cell: Tensor,  # [n_crystals, 3, 3]
    atom_ptr: Tensor,  # [n_crystals + 1]
    cutoff: float | Tensor = 10.0,
) -> list[str]:
    """Why the periodic ops would refuse each crystal: coordinates or a cell that are not finite, no volume, or a cell too thin.

    Args:
        positions: Cartesian coordinates in Å, float32 or float64. [n_atoms, 3]
        cell: Rows are the lattice vectors in Å, same dtype. [n_crystals, 3, 3]
        atom_ptr: First atom of each crystal, then n_atoms, int32. [n_crystals + 1]
        cutoff: The greatest distance that will be searched, Å, one number or [n_crystals].

    Returns:
        A sentence per crystal that says what is wanted and what came; empty for a good one.

    Raises:
        ValueError: shapes, types, or pointers that do not rise from 0 to n_atoms.
    """
    crystals = Crystals.of(positions, cell, atom_ptr)
    if isinstance(cutoff, Tensor):
        check_tensor("cutoff", cutoff, (len(cell),), DTYPES)
    else:
        check_positive("cutoff", cutoff)
    return crystals.problems(cutoff)


def check_positive(name: str, x: float) -> float:
    """Refuse what is no positive number; returns it."""
    if not (math.isfinite(x) and x > 0):
        raise ValueError(f"{name} must be a positive number, got {x}")
    return float(x)


def check_count(name: str, n: int) -> int:
    """Refuse what is no integer of at least 1; returns it."""
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {n}")
    return n

"""What a clean-up did to each crystal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Cleaning:
    """What a clean-up did to one crystal; see CleanReport.

    problem:        why it was not cleaned, empty if it was or needed nothing.
    changed:        whether anything is other than before.
    finished:       whether it is clean.
    displacement:   Å.
    volume_percent: change of the cell's volume.
    """

    problem: str
    changed: bool
    finished: bool
    displacement: float
    volume_percent: float


@dataclass(frozen=True)
class CleanReport:
    """What a clean-up did to each crystal; tensors on the CPU, [n_crystals] each.

    problems:        why a crystal was not cleaned; empty where it was or needed nothing. What cannot be looked at has zeros below.
    changed:         bool; what was clean, or has a problem, is not changed in a single bit.
    finished:        bool; whether the crystal is clean, as it came or within the steps.
    displacement:    float64, Å, root mean square over atoms, beyond what the cell's rescaling moved molecules by.
    volume_percent:  float64, change of the cell's volume.
    near_before, near_after: int64, distances out of range between atoms at most three bonds apart, and flat tetrahedral atoms.
    contacts_before, contacts_after: int64, other pairs of atoms that are too near.
    """

    problems: tuple[str, ...]
    changed: Tensor
    finished: Tensor
    displacement: Tensor
    volume_percent: Tensor
    near_before: Tensor
    near_after: Tensor
    contacts_before: Tensor
    contacts_after: Tensor

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.problems)

    def each(self) -> list[Cleaning]:
        """Of the crystals one by one."""
        columns = (self.changed, self.finished, self.displacement, self.volume_percent)
        return [Cleaning(*row) for row in zip(self.problems, *(column.tolist() for column in columns), strict=True)]

    @classmethod
    def untouched(cls, problems: Sequence[str]) -> CleanReport:
        """Of crystals that stay as they are; those without a problem are clean."""
        n = len(problems)
        zero, count = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.int64)
        fine = torch.tensor([not p for p in problems], dtype=torch.bool)
        return cls(tuple(problems), torch.zeros(n, dtype=torch.bool), fine, zero, zero, count, count, count, count)

    @classmethod
    def join(cls, parts: Sequence[CleanReport]) -> CleanReport:
        """One report of several, in their order."""
        parts = parts or [cls.untouched([])]
        names = [f.name for f in fields(cls) if f.name != "problems"]
        return cls(tuple(x for part in parts for x in part.problems), *(torch.cat([getattr(p, name) for p in parts]) for name in names))

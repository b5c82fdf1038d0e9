"""What the potentials of other packages share: whom they can be asked about, one call that may fail, and whose failure it was."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from packflow.elements import SYMBOLS
from packflow.errors import InputError
from packflow.ops import problems as unfit_for_search
from packflow.potential.interface import Evaluation
from packflow.structure.full import FullBatch
from packflow.structure.packed import atoms_of

# Å3 per atom; diamond has 5.7. A denser cell has so many pairs that it would take the memory of all others.
MIN_VOLUME_PER_ATOM = 1.0
# Atoms that are given to a network at once, unless one structure has more. SevenNet-0 takes 5 to 10 MB an atom; on a CPU, where too much
# memory ends the process, more at once are also no faster.
MAX_ATOMS = {"cpu": 100, "cuda": 4000}
LONGEST_REASON = 300


def network_device(device: torch.device | str) -> torch.device:
    """A device that networks of other packages run on.

    Raises:
        InputError: it is neither a CPU nor a CUDA device that is there.
    """
    found = torch.device(device)
    if found.type not in MAX_ATOMS or (found.type == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"device must be cpu or, where there is one, cuda, got {str(found)!r}")
    return found


class ForeignError(Exception):
    """Code of another package raised; the message says which and what."""


@contextmanager
def foreign(who: str) -> Iterator[None]:
    """Around a call into another package and nothing else: whatever that raises becomes a ForeignError.

    Args:
        who: Named in the message, such as "uma".
    """
    try:
        yield
    except Exception as error:  # what other packages raise is not known, and is told in the structure's problem
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise ForeignError(f"{who} raised {type(error).__name__}" + (f": {reason}" if reason else "")) from error


class Model(Protocol):
    """A potential of another package that computes structures at once.

    cutoff:    how far it looks for neighbours, Å.
    max_atoms: of one call; a single structure may have more.
    device:    where it computes.
    """

    cutoff: float
    max_atoms: int
    device: torch.device

    def compute(self, batch: FullBatch) -> Evaluation:
        """Energy, forces and stress of structures that `unfit` has no objection to, on the device of the model; no problems.

        Raises:
            ForeignError: the other package did.
        """
        ...


@dataclass
class PreparedForeign:
    """Structures and the model that will compute them; nothing else is kept between evaluations.

    model:    computes.
    batch:    the structures; the coordinates do not matter.
    problems: as `Prepared`.
    """

    model: Model
    batch: FullBatch
    problems: list[str]

    def evaluate(self, positions: Tensor, cell: Tensor) -> Evaluation:
        """As `Prepared.evaluate`. If the model raises, each half of the structures is tried again, until it is known whose fault it was.

        So a batch that is too large for the memory is computed in smaller ones.

        Raises:
            ValueError: positions or cell have another shape than those of the batch.
        """
        for name, ours, theirs in (("positions", self.batch.positions, positions), ("cell", self.batch.cell, cell)):
            if ours.shape != theirs.shape:
                raise ValueError(f"{name} must have shape {tuple(ours.shape)}, got {tuple(theirs.shape)}")
        batch = self.batch.at(positions.detach().double(), cell.detach().double()).to(self.model.device)
        problems = [known or found for known, found in zip(self.problems, unfit(batch, self.model.cutoff), strict=True)]
        result = nothing(batch, problems)
        waiting = parts([s for s, problem in enumerate(problems) if not problem], batch.sizes.tolist(), self.model.max_atoms)
        while waiting:
            rows = waiting.pop(0)
            try:
                self._compute(rows, batch, result)
            except ForeignError as error:
                if len(rows) == 1:
                    problems[rows[0]] = str(error)
                else:
                    waiting = [rows[: len(rows) // 2], rows[len(rows) // 2 :], *waiting]
        mark_infinite(result, batch)
        return Evaluation(result.energy.to(cell.device), result.forces.to(cell.device), result.stress.to(cell.device), problems)

    def _compute(self, rows: list[int], batch: FullBatch, result: Evaluation) -> None:
        structures = torch.tensor(rows, device=batch.cell.device)
        found = self.model.compute(batch if len(rows) == len(batch) else batch.select(structures))
        atoms = atoms_of(structures, batch.atom_ptr)
        result.energy[structures], result.forces[atoms], result.stress[structures] = found.energy, found.forces, found.stress

    def select(self, structures: Tensor) -> PreparedForeign:
        """As `Prepared.select`."""
        batch = self.batch.select(structures.to(self.batch.cell.device))
        return PreparedForeign(self.model, batch, [self.problems[s] for s in structures.tolist()])


def nothing(batch: FullBatch, problems: list[str]) -> Evaluation:
    """An evaluation in which all numbers are NaN."""
    nan = torch.full((len(batch) + 3 * len(batch.positions) + 9 * len(batch),), torch.nan, dtype=torch.float64, device=batch.cell.device)
    energy, forces, stress = nan.split([len(batch), 3 * len(batch.positions), 9 * len(batch)])
    return Evaluation(energy, forces.view(-1, 3), stress.view(-1, 3, 3), problems)


def mark_infinite(result: Evaluation, batch: FullBatch) -> None:
    """Give structures whose energy, forces or stress came back infinite or, but for the stress, as no number a problem; NaN then."""
    bad_forces = torch.zeros(len(batch), dtype=torch.bool, device=batch.cell.device)
    bad_forces[batch.structure_index[~result.forces.isfinite().all(1)]] = True
    bad = bad_forces | ~result.energy.isfinite() | result.stress.isinf().any(2).any(1)
    for s in bad.nonzero()[:, 0].tolist():
        result.problems[s] = result.problems[s] or "energy, forces and stress must be finite, but are not"
    result.energy[bad], result.stress[bad] = torch.nan, torch.nan
    result.forces[bad[batch.structure_index]] = torch.nan


def unfit(batch: FullBatch, cutoff: float) -> list[str]:
    """Why structures cannot be computed where they are: no atoms, coordinates that are not finite, a flat or far too dense cell.

    Args:
        batch: Any values.
        cutoff: How far neighbours are searched, Å.

    Returns:
        A sentence per structure that says what is wanted and what came; empty for a good one.
    """
    found = unfit_for_search(batch.positions, boxed(batch, cutoff), batch.atom_ptr, cutoff)
    sizes, volumes = batch.sizes.tolist(), torch.linalg.det(batch.cell.cpu()).abs().tolist()
    for s, (size, volume, periodic) in enumerate(zip(sizes, volumes, batch.periodic.tolist(), strict=True)):
        if size == 0:
            found[s] = "structure must have atoms, got none"
        elif periodic and not found[s] and volume < MIN_VOLUME_PER_ATOM * size:
            found[s] = f"cell must have at least {MIN_VOLUME_PER_ATOM:g} Å3 per atom, got {volume / size:.3g}"
    return found


def boxed(batch: FullBatch, cutoff: float) -> Tensor:
    """The cells, and around molecules in vacuum boxes so large that images are out of reach. [n_structures, 3, 3], Å"""
    owner = batch.structure_index[:, None].expand(-1, 3)
    most = batch.cell.new_zeros(len(batch), 3).scatter_reduce(0, owner, batch.positions, "amax", include_self=False)
    least = batch.cell.new_zeros(len(batch), 3).scatter_reduce(0, owner, batch.positions, "amin", include_self=False)
    return torch.where(batch.periodic[:, None, None], batch.cell, torch.diag_embed(most - least + 2 * cutoff))


def parts(rows: list[int], sizes: list[int], max_atoms: int) -> list[list[int]]:
    """Structures in their order, in groups of at most `max_atoms` atoms, or of one structure."""
    groups: list[list[int]] = []
    n_atoms = 0
    for row in rows:
        n_atoms += sizes[row]
        if not groups or n_atoms > max_atoms:
            groups.append([])
            n_atoms = sizes[row]
        groups[-1].append(row)
    return groups


def unknown_elements(batch: FullBatch, known: Collection[int], who: str) -> list[str]:
    """Of each structure, what elements a potential does not know, as a sentence; empty if it knows all.

    Args:
        batch: Any values.
        known: Atomic numbers.
        who: Named in the message.
    """
    owners, numbers = batch.structure_index.tolist(), batch.atomic_numbers.tolist()
    strange: list[set[int]] = [set() for _ in range(len(batch))]
    for owner, number in zip(owners, numbers, strict=True):
        if number not in known:
            strange[owner].add(number)
    return [f"{who} does not know {', '.join(SYMBOLS.get(z, str(z)) for z in sorted(found))}" if found else "" for found in strange]

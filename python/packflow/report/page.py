"""What a report page tells: nouns between the stages, which know stores, and the page, which knows HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

# what became of a proposal, in the order in which a page lists them
STATUSES = ("ranked", "relaxed", "sampled", "duplicate", "left out", "failed", "implausible", "no crystal")
# of these, what was rejected, and where
REJECTED = {"left out": "ranking", "failed": "relaxation", "implausible": "sampling", "no crystal": "sampling"}


@dataclass(frozen=True)
class Listed:
    """A proposal of the page.

    name:      of the proposal, as "urea#4-17".
    smiles:    of its molecule.
    n_copies:  molecules in the cell.
    status:    one of STATUSES.
    reason:    why it has that status, where that needs a reason; else empty.
    values:    numbers and texts by the name of their column, see `packflow.report.html_payload.COLUMNS`; what is unknown is missing.
    lattice:   a, b, c (Å), alpha, beta, gamma (degrees); none where unknown.
    positions: [n_atoms, 3] float32, Å, c along z; in the order of `FullStructure`, or of `Crystal` without hydrogens; none where unknown.
    hydrogens: whether the positions hold hydrogens.
    """

    name: str
    smiles: str
    n_copies: int
    status: str
    reason: str = ""
    values: Mapping[str, float | int | str | bool] = field(default_factory=dict)
    lattice: tuple[float, ...] | None = None
    positions: np.ndarray | None = None
    hydrogens: bool = False


@dataclass(frozen=True)
class Reference:
    """A known crystal to look at.

    name:      of it.
    smiles:    of its molecule.
    n_copies:  molecules in the cell.
    density:   g/cm3, as measured.
    positions: [n_atoms, 3] float32, Å, in the order of `FullStructure`.
    cell:      [3, 3], rows are the lattice vectors, Å, c along z.
    lattice:   a, b, c (Å), alpha, beta, gamma (degrees).
    """

    name: str
    smiles: str
    n_copies: int
    density: float
    positions: np.ndarray
    cell: np.ndarray
    lattice: tuple[float, ...]


@dataclass(frozen=True)
class Overlay:
    """How a structure lies best on a reference: a point x of it comes to `rotation @ x + shift`.

    name:      of the structure.
    reference: name of the reference.
    n_matched: molecules that overlay.
    rmsd:      of their heavy atoms, Å.
    rotation:  [3, 3], a rotation, or one with an inversion.
    shift:     [3], Å.
    cluster:   molecules of the reference that were compared: copy and the lattice vectors that it is shifted by. [n_molecules, 4] int
    """

    name: str
    reference: str
    n_matched: int
    rmsd: float
    rotation: np.ndarray
    shift: np.ndarray
    cluster: np.ndarray


@dataclass(frozen=True)
class Facts:
    """What is said of a run as a whole.

    title:     of the page.
    n_planned: proposals that the sampler was asked for.
    settings:  how it was made: headings, each with names and values.
    problems:  what could not be read.
    warnings:  what a reader should know before reading on.
    names:     what a user calls each molecule, by SMILES.
    replaced:  samples that were replaced by fresh ones, by SMILES and reason.
    """

    title: str
    n_planned: int
    settings: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """All that a report shows.

    facts:      of the run.
    listed:     every proposal, in the order of the store.
    references: known crystals.
    overlays:   of structures on references.
    """

    facts: Facts
    listed: tuple[Listed, ...]
    references: tuple[Reference, ...] = ()
    overlays: tuple[Overlay, ...] = ()

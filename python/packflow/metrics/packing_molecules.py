"""Whole molecules of a unit cell, as packing similarity takes them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import oxtalign
import torch

from packflow.elements import SYMBOLS
from packflow.errors import InputError, StructureError
from packflow.ops import MolecularPackings, MoleculeKinds
from packflow.structure import Crystal, Molecule
from packflow.structure.cif import from_ase, read_cif
from packflow.structure.lattice import cell_from_lattice
from packflow.structure.sites import MIN_HEIGHT, Sites

if TYPE_CHECKING:
    from ase import Atoms

# Å3 of a heavy atom; diamond has 5.7. Denser atoms bond to all others, and oxtalign would list all those bonds.
LEAST_VOLUME = 4.0
# Å; squares and cubes of what is larger may not be finite
MOST_LENGTH = 1e6


@dataclass(frozen=True)
class Kind:
    """A molecule up to its coordinates.

    roles: of each atom, its element and the elements that it is bonded to, in alphabetical order.
    """

    roles: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def of(cls, elements: Sequence[str], bonds: Iterable[tuple[int, int]]) -> Kind:
        """From symbols and bonds, each bond once."""
        bonded: list[list[str]] = [[] for _ in elements]
        for i, j in bonds:
            bonded[i].append(elements[j])
            bonded[j].append(elements[i])
        return cls(tuple((element, tuple(sorted(around))) for element, around in zip(elements, bonded, strict=True)))

    @cached_property
    def formula(self) -> str:
        """Symbols in alphabetical order, each with its number: the species."""
        return "".join(f"{symbol}{n}" for symbol, n in sorted(Counter(element for element, _ in self.roles).items()))


@dataclass(frozen=True)
class Packing:
    """Molecules of one unit cell, their centroids in the cell.

    name:      for messages.
    cell:      [3, 3] float64, rows are the lattice vectors, Å.
    positions: [n_atoms, 3] float64, molecule after molecule, Å.
    kinds:     of each molecule.
    """

    name: str
    cell: np.ndarray
    positions: np.ndarray
    kinds: tuple[Kind, ...]

    @cached_property
    def molecules(self) -> list[np.ndarray]:
        """Positions of each molecule, Å."""
        ends = np.cumsum([len(kind.roles) for kind in self.kinds])[:-1]
        return np.split(self.positions, ends)

    @cached_property
    def species(self) -> tuple[str, ...]:
        """Formulas of the molecules, each once, in alphabetical order."""
        return tuple(sorted({kind.formula for kind in set(self.kinds)}))

    @cached_property
    def width(self) -> float:
        """Root-mean-square distance in Å of the atoms of the largest molecule from the line nearest to them."""
        counts = [len(kind.roles) for kind in self.kinds]
        largest = counts.index(max(counts))
        first = sum(counts[:largest])
        spread = self._offsets[first : first + counts[largest]]
        lengths2 = np.linalg.eigvalsh(spread.T @ spread)
        return math.sqrt(max(0.0, float(lengths2[0] + lengths2[1])) / counts[largest])

    def reach(self, n_molecules: int) -> int:
        """Cells along each axis that surely hold the nearest molecules, those in closest contact among them.

        A sphere of n_molecules, and beyond it two radii of the largest molecule; at least 2 cells. oxtalign's choice.
        """
        volume, least_height = _volume_and_height(self.cell)
        sphere = (3.0 * n_molecules * volume / (4.0 * math.pi * len(self.kinds))) ** (1.0 / 3.0)
        radius = math.sqrt(float((self._offsets * self._offsets).sum(1).max()))
        return max(2, math.ceil((sphere + 2.0 * radius) / least_height) + 1)

    @cached_property
    def _offsets(self) -> np.ndarray:
        """Atoms seen from the centroid of their molecule, Å. [n_atoms, 3]"""
        counts = np.array([len(kind.roles) for kind in self.kinds])
        centroids = np.add.reduceat(self.positions, counts.cumsum() - counts) / counts[:, None]
        return self.positions - centroids.repeat(counts, axis=0)


class Reader:
    """Makes packings of structures; what molecules share is found once."""

    def __init__(self) -> None:
        """Knows no molecule yet."""
        # the molecules are kept, so that no other one gets their identity
        self._kinds: dict[int, tuple[Molecule, Kind]] = {}

    def packings(self, structures: Sequence[Crystal | Sites | Atoms | str | Path]) -> list[Packing | InputError]:
        """The whole molecules of unit cells, each or what keeps it from any comparison."""
        lattices = [structure.lattice for structure in structures if isinstance(structure, Crystal)]
        # one by one they would take longer than the search of some pairs
        cells = iter(cell_from_lattice(torch.from_numpy(np.array(lattices).reshape(-1, 6))).numpy())
        found: list[Packing | InputError] = []
        for structure in structures:
            try:
                found.append(self._of_crystal(structure, next(cells)) if isinstance(structure, Crystal) else _of_others(structure))
            except InputError as error:
                found.append(error)
        return found

    def packing(self, structure: Crystal | Sites | Atoms | str | Path) -> Packing:
        """The whole molecules of a unit cell.

        Raises:
            StructureError: it has none that can be compared.
            InputError: no such file.
        """
        found = self.packings([structure])[0]
        if isinstance(found, InputError):
            raise found
        return found

    def _of_crystal(self, crystal: Crystal, cell: np.ndarray) -> Packing:
        """Molecules of the template, each moved by lattice vectors so that its centroid lies in the cell."""
        template = crystal.template
        name = f"{template.n_copies} x {template.molecule.smiles}"
        if not np.isfinite(crystal.positions).all():
            raise StructureError("missing coordinates", f"some atoms of {name} have no coordinates")
        if not (np.isfinite(crystal.lattice).all() and _volume_and_height(cell)[1] > MIN_HEIGHT):
            raise StructureError("no valid cell", f"lattice parameters of {name} are {crystal.lattice.tolist()}")
        if max(np.abs(cell).max(), np.abs(crystal.positions).max()) > MOST_LENGTH:
            raise StructureError("too large", f"coordinates and cell of {name} must be within {MOST_LENGTH:.0e} Å")
        copies = crystal.positions.reshape(-1, template.molecule.n_atoms, 3)
        copies = copies - np.floor(copies.mean(1) @ np.linalg.inv(cell))[:, None] @ cell
        return Packing(name, cell, copies.reshape(-1, 3), (self._kind(template.molecule),) * template.n_copies)

    def _kind(self, molecule: Molecule) -> Kind:
        if id(molecule) not in self._kinds:
            elements = [SYMBOLS[z] for z in molecule.atomic_numbers.tolist()]
            kind = Kind.of(elements, [(i, j) for i, j in molecule.bond_index[:, ::2].T.tolist()])
            self._kinds[id(molecule)] = molecule, kind
        return self._kinds[id(molecule)][1]


def arrays_of(packings: Sequence[Packing], reaches: Sequence[int]) -> tuple[MoleculeKinds, MolecularPackings]:
    """Packings, with the reach of each, as `packflow.ops.packing_similarity` takes them."""
    kinds = list(dict.fromkeys(kind for packing in packings for kind in packing.kinds))
    roles = [role for kind in kinds for role in kind.roles]
    formulas = sorted({kind.formula for kind in kinds})
    number = {kind: k for k, kind in enumerate(kinds)}
    of_molecule = [number[kind] for packing in packings for kind in packing.kinds]
    return MoleculeKinds(
        element=_codes([element for element, _ in roles]),
        role=_codes(roles),
        atom_ptr=torch.tensor(np.cumsum([0, *(len(kind.roles) for kind in kinds)]), dtype=torch.int32),
        # the order of species decides between equally large ones
        species=torch.tensor([formulas.index(kind.formula) for kind in kinds], dtype=torch.int32),
    ), MolecularPackings(
        positions=torch.from_numpy(np.concatenate([np.zeros((0, 3)), *(packing.positions for packing in packings)])),
        cell=torch.from_numpy(np.stack([packing.cell for packing in packings]) if packings else np.zeros((0, 3, 3))),
        kind=torch.tensor(of_molecule, dtype=torch.int32),
        molecule_ptr=torch.tensor(np.cumsum([0, *(len(packing.kinds) for packing in packings)]), dtype=torch.int64),
        reach=torch.tensor(reaches, dtype=torch.int32),
    )


def _codes(values: Sequence[object]) -> torch.Tensor:
    """A number for each value, the same for equal ones."""
    code: dict[object, int] = {}
    return torch.tensor([code.setdefault(value, len(code)) for value in values], dtype=torch.int32)


def _volume_and_height(cell: np.ndarray) -> tuple[float, float]:
    """Volume in Å3 and smallest distance in Å between opposite faces; both 0 where the cell is flat."""
    a, b, c = cell.tolist()
    faces = [(u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]) for u, v in ((b, c), (c, a), (a, b))]
    volume = abs(sum(x * y for x, y in zip(a, faces[0], strict=True)))
    return volume, volume / max(math.hypot(*face) for face in faces) if volume > 0.0 else 0.0


def _of_others(structure: Sites | Atoms | str | Path) -> Packing:
    """Molecules that are not known beforehand."""
    if isinstance(structure, str | Path):
        found = read_cif(structure)
        if len(found) != 1:
            raise StructureError("several structures", f"{structure} must hold 1 structure, got {len(found)}")
        return _of_sites(found[0])
    return _of_sites(structure if isinstance(structure, Sites) else from_ase(structure))


def _of_sites(sites: Sites) -> Packing:
    """Molecules that oxtalign finds among the heavy atoms."""
    if not sites.heavy.any():
        raise StructureError("no heavy atoms", f"{sites.name} has hydrogen only")
    elements = [SYMBOLS[z] for z in sites.atomic_numbers[sites.heavy].tolist()]
    volume = abs(np.linalg.det(sites.cell)) / len(elements)
    if volume < LEAST_VOLUME:
        raise StructureError("too dense", f"{sites.name} must have at least {LEAST_VOLUME} Å3 for each heavy atom, got {volume:.2f}")
    try:
        found = oxtalign.from_arrays(elements, sites.fractional[sites.heavy], cell=sites.lattice, source=sites.name)
    except ValueError as error:
        raise StructureError("no molecules", f"the atoms of {sites.name} do not fall into finite molecules: {error}") from error
    if sum(molecule.n_atoms for molecule in found.molecules) != len(elements):
        raise StructureError("no molecules", f"the atoms of {sites.name} do not fall into whole molecules")
    # oxtalign's matrices have the lattice vectors as columns
    cell = np.ascontiguousarray(found.cell.orth.T, dtype=np.float64)
    positions = np.concatenate([molecule.coords for molecule in found.molecules])
    return Packing(sites.name, cell, positions, tuple(Kind.of(molecule.elements, molecule.bonds) for molecule in found.molecules))

"""PyXtal's random molecular crystals (Fredericks et al., Comput. Phys. Commun. 2021, 261, 107810), for users who have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from packflow.baseline.conformer import Conformer, conformer_of
from packflow.elements import SYMBOLS
from packflow.errors import InputError
from packflow.structure import Crystal, Template
from packflow.structure.lattice import lattice_from_cell

# on PyXtal's own volume of a molecule
VOLUME_FACTOR = 1.1
ATTEMPTS = 20


@dataclass(frozen=True)
class PyxtalPacking:
    """A crystal that PyXtal made.

    crystal:     heavy atoms and cell.
    space_group: number that it was asked for.
    positions:   [n_copies, n_full, 3] float64, all atoms, Å, molecules whole, in the frame of `cell`.
    cell:        [3, 3] float64, rows are the lattice vectors, Å.
    """

    crystal: Crystal
    space_group: int
    positions: np.ndarray
    cell: np.ndarray


def pyxtal_packings(
    template: Template, space_groups: Sequence[int], n_samples: int = 32, seed: int = 0, volume_factor: float = VOLUME_FACTOR
) -> list[PyxtalPacking]:
    """Let PyXtal draw crystals of the conformer that `random_packings` takes, with its own volumes and limits of contacts.

    Args:
        template: Molecule and number of copies per unit cell.
        space_groups: Numbers of groups that take turns.
        n_samples: Number of crystals.
        seed: 0 or more; crystal k is a function of (seed, k).
        volume_factor: PyXtal's `factor`.

    Raises:
        InputError: PyXtal is not installed, an argument is out of range, or it finds no crystal within ATTEMPTS.
    """
    if n_samples < 1:
        raise InputError(f"n_samples must be at least 1, got {n_samples}")
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}")
    if not space_groups:
        raise InputError("space_groups must name at least one group, got none")
    make, molecule = _tools(conformer := conformer_of(template.molecule.smiles, seed))
    found = []
    for k in range(n_samples):
        group = space_groups[k % len(space_groups)]
        made = _made(make, molecule, group, template.n_copies, (seed, k), volume_factor)
        found.append(_packing(template, conformer, group, made))
    return found


def pyxtal_volume(template: Template, seed: int = 0) -> float:
    """PyXtal's volume of the conformer, Å3, before its factor; raises InputError as `pyxtal_packings`."""
    make, molecule = _tools(conformer_of(template.molecule.smiles, seed))
    return float(_made(make, molecule, 1, 1, (seed, 0), VOLUME_FACTOR).molecules[0].volume)


def _tools(conformer: Conformer) -> tuple[Any, Any]:
    """The class of PyXtal's crystals, and the conformer as it takes it."""
    try:
        from pyxtal import pyxtal
    except ImportError as error:
        raise InputError("PyXtal is not installed: pip install pyxtal") from error
    from pymatgen.core import Molecule

    return pyxtal, Molecule([SYMBOLS[int(number)] for number in conformer.atomic_numbers], conformer.positions)


def _made(make: Any, molecule: Any, group: int, n_copies: int, key: tuple[int, int], volume_factor: float) -> Any:  # noqa: ANN401, PyXtal has no types
    """A crystal of PyXtal's."""
    for attempt in range(ATTEMPTS):
        crystal = make(molecular=True)
        state = int(np.random.SeedSequence([*key, attempt]).generate_state(1)[0])
        crystal.from_random(3, group, [molecule], [n_copies], factor=volume_factor, random_state=state)
        if crystal.valid:
            return crystal
    raise InputError(f"n_copies {n_copies} of the molecule in space group {group}: PyXtal finds no crystal in {ATTEMPTS} attempts")


def _packing(template: Template, conformer: Conformer, group: int, made: Any) -> PyxtalPacking:  # noqa: ANN401, as above
    """A crystal of PyXtal's as ours."""
    atoms = made.to_ase(resort=False)
    positions, cell = atoms.get_positions(), np.array(atoms.cell)
    lattice = lattice_from_cell(torch.from_numpy(cell)).numpy()
    of_copies = positions.reshape(template.n_copies, -1, 3)
    fractional = of_copies[:, : conformer.n_heavy].reshape(-1, 3) @ np.linalg.inv(cell)
    return PyxtalPacking(Crystal.from_fractional(template, fractional, lattice), group, of_copies, cell)

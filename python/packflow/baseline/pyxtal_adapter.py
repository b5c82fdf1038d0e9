"""PyXtal's random molecular crystals (Fredericks et al., Comput. Phys. Commun. 2021, 261, 107810), for users who have it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import combinations_with_replacement
from math import inf
from typing import Any

import numpy as np

from packflow.baseline.conformer import Conformer, conformer_of
from packflow.baseline.generated import heavy_crystal, no_crystal
from packflow.elements import SYMBOLS
from packflow.errors import InputError
from packflow.structure import Crystal, Template

# on PyXtal's own volume of a molecule
VOLUME_FACTOR = 1.1
ATTEMPTS = 20


@dataclass(frozen=True)
class PyxtalPacking:
    """A crystal that PyXtal made.

    crystal:     heavy atoms and cell.
    space_group: number that it was asked for.
    positions:   [n_copies, n_full, 3] float64, all atoms, Å, molecules whole, in the frame of `cell`; nan if there is a problem.
    cell:        [3, 3] float64, rows are the lattice vectors, Å; nan if there is a problem.
    problem:     why there is no crystal; empty if there is one.
    """

    crystal: Crystal
    space_group: int
    positions: np.ndarray
    cell: np.ndarray
    problem: str = ""


def pyxtal_packings(
    template: Template,
    space_groups: Sequence[int],
    n_samples: int = 32,
    seed: int = 0,
    volume_factor: float = VOLUME_FACTOR,
    attempts: int = ATTEMPTS,
    keep_failed: bool = False,
    scale: float | None = None,
) -> list[PyxtalPacking]:
    """Let PyXtal draw crystals of the conformer that `random_packings` takes.

    Args:
        template: Molecule and number of copies per unit cell.
        space_groups: Numbers of groups that take turns.
        n_samples: Number of crystals.
        seed: 0 or more; crystal k is a function of (seed, k).
        volume_factor: PyXtal's `factor` on its volume of a molecule, which is about 2.5 times that in crystals: 0.4 begins at the volume
            of a crystal. Where no lattice of that volume is long enough for the molecule, PyXtal takes larger ones.
        attempts: Calls of PyXtal for one crystal; each tries 40 lattices and 1200 places.
        keep_failed: A crystal that is not found is returned with its problem, not raised.
        scale: Atoms of two molecules are not nearer than this share of the sum of their van der Waals radii, as in `random_packings`;
            some of its crystals break it slightly all the same. None: PyXtal's own limit, 1.2 times the sum of their covalent radii (1.8 Å
            for two carbon atoms, where scale 0.85 has 2.9 Å).

    Raises:
        InputError: PyXtal is not installed, an argument is out of range, or, without keep_failed, it finds no crystal.
    """
    for name, number in (("n_samples", n_samples), ("attempts", attempts)):
        if number < 1:
            raise InputError(f"{name} must be at least 1, got {number}")
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}")
    if not space_groups:
        raise InputError("space_groups must name at least one group, got none")
    check_volume_factor(volume_factor)
    if scale is not None and not 0 < scale < inf:
        raise InputError(f"scale must be a positive number or None, got {scale}")
    conformer = conformer_of(template.molecule.smiles, seed)
    groups = [space_groups[k % len(space_groups)] for k in range(n_samples)]
    limits = None if scale is None else contact_limits(conformer, scale)
    found = [pyxtal_packing(template, conformer, group, (seed, k), volume_factor, attempts, limits) for k, group in enumerate(groups)]
    problem = next((packing.problem for packing in found if packing.problem), "")
    if problem and not keep_failed:
        raise InputError(problem)
    return found


def pyxtal_packing(
    template: Template,
    conformer: Conformer,
    group: int,
    key: tuple[int, ...],
    volume_factor: float = VOLUME_FACTOR,
    attempts: int = ATTEMPTS,
    limits: Any = None,  # noqa: ANN401, PyXtal has no types
) -> PyxtalPacking:
    """A crystal of PyXtal's, or the problem that it found none; a function of its arguments, `key` those of the random numbers.

    `limits` of contacts are those of `contact_limits`; PyXtal's own if None.

    Raises:
        InputError: PyXtal is not installed.
    """
    make, molecule = _tools(conformer)
    made = _made(make, molecule, group, template.n_copies, key, volume_factor, attempts, limits)
    if made is None:
        nothing = np.full((template.n_copies, len(conformer.positions), 3), np.nan)
        tried = f"PyXtal finds no crystal in {attempts} attempts"
        problem = f"n_copies {template.n_copies} of the molecule in space group {group}: {tried}"
        return PyxtalPacking(no_crystal(template), group, nothing, np.full((3, 3), np.nan), problem)
    atoms = made.to_ase(resort=False)
    positions, cell = atoms.get_positions().reshape(template.n_copies, -1, 3), np.array(atoms.cell)
    return PyxtalPacking(heavy_crystal(template, positions, cell, conformer.n_heavy), group, positions, cell)


def pyxtal_volume(template: Template, seed: int = 0) -> float:
    """PyXtal's volume of the conformer, Å3, before its factor.

    Raises:
        InputError: PyXtal is not installed, or the molecule as `random_packings`.
    """
    make, molecule = _tools(conformer_of(template.molecule.smiles, seed))
    made = _made(make, molecule, 1, 1, (seed, 0), VOLUME_FACTOR, ATTEMPTS)
    if made is None:
        raise InputError(f"n_copies 1 of the molecule in space group 1: PyXtal finds no crystal in {ATTEMPTS} attempts")
    return float(made.molecules[0].volume)


def contact_limits(conformer: Conformer, scale: float) -> Any:  # noqa: ANN401, PyXtal has no types
    """PyXtal's table of least distances with `scale` times the sum of van der Waals radii for the elements of a conformer."""
    check_pyxtal()
    from pyxtal.tolerance import Tol_matrix

    limits = Tol_matrix(prototype="molecular")
    radii = dict(zip(conformer.atomic_numbers.tolist(), conformer.radii.tolist(), strict=True))
    for one, other in combinations_with_replacement(sorted(radii), 2):
        limits.set_tol(one, other, scale * (radii[one] + radii[other]))
    return limits


def check_pyxtal() -> None:
    """Raise InputError if PyXtal is not installed; does not load it."""
    if find_spec("pyxtal") is None:
        raise InputError("PyXtal is not installed: pip install pyxtal")


def check_volume_factor(volume_factor: float) -> None:
    """Raise InputError if a factor is not positive or not finite."""
    if not 0 < volume_factor < inf:
        raise InputError(f"volume_factor must be a positive number, got {volume_factor}")


def _tools(conformer: Conformer) -> tuple[Any, Any]:
    """The class of PyXtal's crystals, and the conformer as it takes it."""
    check_pyxtal()
    from pymatgen.core import Molecule
    from pyxtal import pyxtal

    return pyxtal, Molecule([SYMBOLS[int(number)] for number in conformer.atomic_numbers], conformer.positions)


def _made(
    make: Any,  # noqa: ANN401, PyXtal has no types
    molecule: Any,  # noqa: ANN401, as above
    group: int,
    n_copies: int,
    key: tuple[int, ...],
    volume_factor: float,
    attempts: int,
    limits: Any = None,  # noqa: ANN401, as above
) -> Any:  # noqa: ANN401, as above
    """A crystal of PyXtal's, or None."""
    from pyxtal.msg import Error

    for attempt in range(attempts):
        crystal = make(molecular=True)
        state = int(np.random.SeedSequence([*key, attempt]).generate_state(1)[0])
        # it prints what it does not find; its own repetitions would use the same random numbers
        with redirect_stdout(io.StringIO()):
            try:
                crystal.from_random(3, group, [molecule], [n_copies], factor=volume_factor, random_state=state, max_count=1, tm=limits)
            except (RuntimeError, Error):
                continue
        if crystal.valid:
            return crystal
    return None

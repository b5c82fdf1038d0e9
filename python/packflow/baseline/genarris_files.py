"""What Genarris 3 reads and writes (github.com/Yi5817/Genarris): its settings, the molecule and its structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io.jsonio import decode

from packflow.baseline.conformer import Conformer
from packflow.baseline.point_symmetry import best_operation
from packflow.elements import SYMBOLS
from packflow.errors import InputError

SETTINGS, MOLECULE, LOG = "ui.conf", "molecule.xyz", "Genarris.log"
GENERATION, PRESS = "generation", "symm_rigid_press"
# Å: an atom of a copy is nearer than this to its place in the rigid molecule; Genarris rounds, and averages on special positions
TOLERANCE = 0.3
# what Genarris calls the group of a structure in which its spglib finds none
NO_GROUP = 0

Value = str | int | float | bool | tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True)
class GenarrisConfig:
    """How Genarris is run; the defaults are those of the paper's listing 1 where it names one.

    Attributes:
        command: words that start it, such as ("mpirun", "-np", "4", "gnrs"). Results depend on the number of processes.
        scale: its sr, for generation and Rigid Press.
        volume_factor: its ucv_mult, on the volume that its own model predicts.
        max_attempts: its max_attempts_per_spg; it tries 10,000 at least.
        volume_attempts: its max_attempts_per_volume.
        press_steps: maxiter of its Rigid Press.
        press_tolerance: tol of its Rigid Press.
        pool: proposals that one run makes.
        per_group: its num_structures_per_spg; None for so many that all groups together can make twice the pool.
        space_groups: numbers of the groups to choose from; all if none.
        settings: further entries of ui.conf, or other values of the above: (section, option, value); lists as tuples.
    """

    command: tuple[str, ...] = ("gnrs",)
    scale: float = 0.85
    volume_factor: float = 1.0
    max_attempts: int = 100_000
    volume_attempts: int = 1000
    press_steps: int = 100
    press_tolerance: float = 0.01
    pool: int = 32
    per_group: int | None = None
    space_groups: tuple[int, ...] | None = None
    settings: tuple[tuple[str, str, Value], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if not self.command or not all(self.command):
            raise InputError(f"command must be the words that start Genarris, got {list(self.command)}")
        for name in ("scale", "volume_factor", "press_tolerance"):
            if not 0 < getattr(self, name) < np.inf:
                raise InputError(f"{name} must be a positive number, got {getattr(self, name)}")
        for name in ("max_attempts", "volume_attempts", "press_steps", "pool", "per_group"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        for entry in self.settings:
            if len(entry) != 3 or isinstance(entry[2], list):
                raise InputError(f"settings must be (section, option, value), a list as a tuple, got {entry}")


@dataclass(frozen=True)
class GenarrisStructure:
    """A crystal that Genarris made.

    space_group: number that its spglib found.
    positions:   [n_copies, n_full, 3] float64, Å, molecules whole, atoms as of `Conformer`.
    cell:        [3, 3] float64, rows are the lattice vectors, Å.
    """

    space_group: int
    positions: np.ndarray
    cell: np.ndarray


def input_files(
    conformer: Conformer, n_copies: int, groups: Sequence[int], per_group: int, seed: int, config: GenarrisConfig, press: bool
) -> dict[str, str]:
    """Names and texts of the files that a run reads.

    Args:
        conformer: The molecule; its atoms keep their order.
        n_copies: Molecules per unit cell.
        groups: Numbers of space groups.
        per_group: Structures of each.
        seed: Of all random numbers, 1 or more; to Genarris, 0 is the clock.
        config: All else.
        press: Go on with Rigid Press.
    """
    sections: dict[str, dict[str, Value]] = {
        "master": {"name": "packflow", "molecule_path": (MOLECULE,), "Z": n_copies, "log_level": "info"},
        "workflow": {"tasks": (GENERATION, PRESS) if press else (GENERATION,)},
        GENERATION: {
            "num_structures_per_spg": per_group,
            "sr": config.scale,
            "max_attempts_per_spg": config.max_attempts,
            "max_attempts_per_volume": config.volume_attempts,
            "tol": 0.1,
            "ucv_mean": "predict",
            "ucv_mult": config.volume_factor,
            "spg_distribution_type": tuple(groups),
            "generation_type": "crystal",
            "natural_cutoff_mult": 1.0,
            "seed": seed,
        },
    }
    if press:
        sections[PRESS] = {
            "sr": config.scale,
            "method": "BFGS",
            "tol": config.press_tolerance,
            "natural_cutoff_mult": 1.0,
            "debug_flag": False,
            "maxiter": config.press_steps,
        }
    for section, option, value in config.settings:
        sections.setdefault(section, {})[option] = value
    lines = []
    for name, options in sections.items():
        entries = (f"{option} = {list(value) if isinstance(value, tuple) else value}" for option, value in options.items())
        lines += [f"[{name}]", *entries, ""]
    return {SETTINGS: "\n".join(lines), MOLECULE: xyz_of(conformer)}


def xyz_of(conformer: Conformer) -> str:
    """A molecule as an XYZ file."""
    rows = zip(conformer.atomic_numbers.tolist(), conformer.positions.tolist(), strict=True)
    atoms = [f"{SYMBOLS[number]} {x:.8f} {y:.8f} {z:.8f}" for number, (x, y, z) in rows]
    return "\n".join([str(len(atoms)), "", *atoms, ""])


def read_structures(file: Path, conformer: Conformer, n_copies: int) -> list[GenarrisStructure]:
    """The structures of a task, in their order.

    Raises:
        InputError: the file is none of Genarris', or a copy in it is not the molecule, its atoms in their order.
    """
    try:
        found = decode(file.read_text())
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"Genarris' {file.name} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict) or not all(isinstance(atoms, Atoms) for atoms in found.values()):
        raise InputError(f"Genarris' {file.name} must hold structures by name, got something else: is it version 3?")
    return [structure_of(name, atoms, conformer, n_copies) for name, atoms in found.items()]


def structure_of(name: str, atoms: Atoms, conformer: Conformer, n_copies: int) -> GenarrisStructure:
    """A structure, if it is copies of the molecule; raises InputError as `read_structures`."""
    wanted, n_atoms = np.tile(conformer.atomic_numbers, n_copies), len(conformer.atomic_numbers)
    if not np.array_equal(atoms.numbers, wanted):
        raise InputError(
            f"structure {name} of Genarris must be {n_copies} copies of the molecule's {n_atoms} atoms in their order, got {len(atoms)}"
            f" atoms, {atoms.get_chemical_formula()}"
        )
    positions = atoms.get_positions().reshape(n_copies, n_atoms, 3)
    for k, copy in enumerate(positions):
        if (off := off_by(copy, conformer)) > TOLERANCE:
            raise InputError(
                f"structure {name} of Genarris: copy {k} is not the molecule with its atoms in their order, one is {off:.2f} Å off"
            )
    return GenarrisStructure(int(atoms.info.get("spg", NO_GROUP)), positions, np.array(atoms.cell))


def off_by(copy: np.ndarray, conformer: Conformer) -> float:
    """How far an atom of a copy is from its place in the conformer, superposed, at most, Å; mirror images count if it is not chiral."""
    shifted = copy - copy.mean(0)
    reference = conformer.positions - conformer.positions.mean(0)
    turns = [best_operation(reference, shifted, sign) for sign in ((1,) if conformer.chiral else (1, -1))]
    return min(float(np.linalg.norm(reference @ turn.T - shifted, axis=1).max()) for turn in turns)

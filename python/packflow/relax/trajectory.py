"""The way of structures through a relaxation, and writing it with ASE."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.stress import full_3x3_to_voigt_6_stress

from packflow.relax.relax import Snapshot
from packflow.structure.full import FullStructure, full_numbers


@dataclass(frozen=True)
class Frame:
    """A structure after a step.

    n_steps:   taken to get there.
    structure: where it is.
    energy:    eV.
    forces:    [n_atoms, 3] eV/Å.
    stress:    [3, 3] eV/Å3.
    """

    n_steps: int
    structure: FullStructure
    energy: float
    forces: np.ndarray
    stress: np.ndarray


class Recorder:
    """Keeps every k-th frame of every structure, the first and the last ones too: `relax(..., observe=recorder)`.

    frames: of each structure by its place in the input, in order. A frame that could not be evaluated is none.
    """

    def __init__(self, every: int = 1) -> None:
        """`every` is k."""
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self.every = every
        self.frames: dict[int, list[Frame]] = defaultdict(list)

    def __call__(self, snapshot: Snapshot) -> None:
        """Keep what is due."""
        evaluation = snapshot.evaluation
        due = snapshot.going & evaluation.energy.isfinite() & (snapshot.ended | (snapshot.n_steps % self.every == 0))
        rows = due.nonzero()[:, 0]
        if not len(rows):
            return
        structures = snapshot.batch.select(rows).split()
        forces = torch.split(evaluation.forces.cpu(), snapshot.batch.sizes.tolist())
        energy, stress, n_steps = evaluation.energy.tolist(), evaluation.stress.cpu().numpy(), snapshot.n_steps.tolist()
        for k, structure in zip(rows.tolist(), structures, strict=True):
            frame = Frame(n_steps[k], structure, energy[k], forces[k].numpy(), stress[k].copy())
            self.frames[snapshot.numbers[k]].append(frame)


def atoms_of_frame(frame: Frame) -> Atoms:
    """ASE atoms with energy, forces and, in a crystal, stress; `info["n_steps"]` says which step."""
    structure = frame.structure
    periodic = structure.cell is not None
    atoms = Atoms(numbers=full_numbers(structure.template), positions=structure.positions, cell=structure.cell, pbc=periodic)
    stress = {"stress": full_3x3_to_voigt_6_stress(frame.stress)} if periodic else {}
    atoms.calc = SinglePointCalculator(atoms, energy=frame.energy, forces=frame.forces, **stress)
    atoms.info["n_steps"] = frame.n_steps
    return atoms


def write_trajectory(path: str | Path, frames: Sequence[Frame]) -> None:
    """Write frames of one structure as ASE's trajectory (.traj), extended XYZ (.extxyz) or what else ASE knows by the suffix."""
    write(str(path), [atoms_of_frame(frame) for frame in frames])

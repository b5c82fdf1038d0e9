"""L-BFGS of many structures at once, preconditioned for molecular crystals; the interface of `packflow.relax.fire`.

Per structure: the two-loop recursion over the last steps (Nocedal & Wright, Numerical Optimization, 2006, algorithm 7.4) and a backtracking
line search by energy. Its first guess of the inverse Hessian knows what is soft: molecules move and turn as wholes far more easily than
they bend (the idea of Packwood et al., J. Chem. Phys. 2016, 144, 164109, with rigid bodies instead of a force field).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from packflow.relax.cell_filter import CellFilter, Coordinates
from packflow.relax.packed import Axis, choose


@dataclass(frozen=True)
class LbfgsConfig:
    """Constants of L-BFGS.

    memory:     steps that are remembered.
    stiffness:  eV/Å2 that an atom feels within a molecule (as in ASE's LBFGS).
    rigid:      eV/Å2 that each atom of a molecule feels when it moves as a whole.
    bulk:       eV/Å3, resistance of a crystal to strain; 0.1 is 16 GPa.
    max_step:   longest step of an atom, Å.
    max_strain: largest component of a step's strain.
    noise:      eV per atom by which the energy may rise in a step that is taken.
    max_back:   times that a step is shortened, before it is taken as it is and the memory lost.
    """

    memory: int = 10
    stiffness: float = 70.0
    rigid: float = 1.0
    bulk: float = 0.1
    max_step: float = 0.2
    max_strain: float = 0.05
    noise: float = 1e-6
    max_back: int = 4


@dataclass(frozen=True)
class Memory:
    """Past steps, the last one first; per structure.

    step_atoms, step_cell:     [n_atoms, memory, 3], [n_structures, memory, 3, 3], changes of the coordinates.
    change_atoms, change_cell: the same of the gradient.
    inverse:                   [n_structures, memory], 1 / (step · change), zero where there is none.
    """

    ATOM_ROWS: ClassVar = ("step_atoms", "change_atoms")

    step_atoms: Tensor
    step_cell: Tensor
    change_atoms: Tensor
    change_cell: Tensor
    inverse: Tensor

    def steps(self, k: int) -> Coordinates:
        """The k-th last step."""
        return Coordinates(self.step_atoms[:, k], self.step_cell[:, k])

    def changes(self, k: int) -> Coordinates:
        """The k-th last change of the gradient."""
        return Coordinates(self.change_atoms[:, k], self.change_cell[:, k])

    def with_step(self, step: Coordinates, change: Coordinates, inverse: Tensor) -> Memory:
        """With one more, and without the oldest."""

        def shifted(new: Tensor, old: Tensor) -> Tensor:
            return torch.cat([new[:, None], old[:, :-1]], 1)

        return Memory(
            step_atoms=shifted(step.atoms, self.step_atoms),
            step_cell=shifted(step.cell, self.step_cell),
            change_atoms=shifted(change.atoms, self.change_atoms),
            change_cell=shifted(change.cell, self.change_cell),
            inverse=shifted(inverse, self.inverse),
        )


@dataclass(frozen=True)
class LbfgsState:
    """Where structures are on their way.

    coordinates:       to be evaluated next: origin + length times direction.
    origin, forces:    where the line began, and the forces there.
    direction:         of the line.
    energy:            [n_structures] eV at the origin; infinite before the first step.
    length:            [n_structures]
    n_back:            [n_structures] int64, times that this line's step was shortened.
    memory:            see `Memory`.
    """

    coordinates: Coordinates
    origin: Coordinates
    forces: Coordinates
    direction: Coordinates
    energy: Tensor
    length: Tensor
    n_back: Tensor
    memory: Memory


def init(coordinates: Coordinates, config: LbfgsConfig) -> LbfgsState:
    """Nothing remembered."""
    zero = Coordinates(torch.zeros_like(coordinates.atoms), torch.zeros_like(coordinates.cell))
    like = coordinates.cell[:, 0, 0]
    atoms = torch.zeros(len(coordinates.atoms), config.memory, 3, dtype=like.dtype, device=like.device)
    cell = torch.zeros(len(like), config.memory, 3, 3, dtype=like.dtype, device=like.device)
    return LbfgsState(
        coordinates=coordinates,
        origin=coordinates,
        forces=zero,
        direction=zero,
        energy=torch.full_like(like, torch.inf),
        length=torch.ones_like(like),
        n_back=torch.zeros_like(like, dtype=torch.int64),
        memory=Memory(atoms, cell, atoms, cell, cell[:, :, 0, 0]),
    )


def softness(cell_filter: CellFilter, cell: Tensor, sizes: Tensor, config: LbfgsConfig) -> Tensor:
    """Expected inverse stiffness of the cell's coordinates, 1/eV. [n_structures, 3, 3], [n_structures] -> [n_structures]

    With `molecular` coordinates that of the packing alone; in the others a strain stretches bonds.
    """
    if cell_filter != "molecular":
        return torch.full_like(cell[:, 0, 0], 1.0 / config.stiffness)
    return sizes.to(cell.dtype) ** 2 / (config.bulk * torch.linalg.det(cell).abs()).clamp(min=1e-12)


def step(
    state: LbfgsState,
    forces: Coordinates,
    energy: Tensor,
    softness: Tensor,
    axis: Axis,
    molecules: Axis | None,
    config: LbfgsConfig,
) -> LbfgsState:
    """The state after one step of every structure, which is a shorter one on the same line where the energy rose.

    Args:
        state: Before the step.
        forces: At its coordinates.
        energy: There, eV. [n_structures]
        softness: Of the cell. [n_structures]
        axis: How atoms of structures lie.
        molecules: How atoms of molecules lie; None where they cannot move as wholes.
        config: Constants.
    """
    slope = state.direction.dot(state.forces, axis)
    most = state.energy - 1e-4 * state.length * slope + config.noise * axis.sizes
    rose = energy > most
    back = rose & (state.n_back < config.max_back)
    memory = _remember(state, forces, rose, axis)
    direction = _direction(memory, forces, state.coordinates, softness, axis, molecules, config)
    one = torch.ones_like(state.length)
    onward = LbfgsState(
        coordinates=state.coordinates.plus(direction),
        origin=state.coordinates,
        forces=forces,
        direction=direction,
        energy=energy,
        length=one,
        n_back=torch.zeros_like(state.n_back),
        memory=memory,
    )
    # the minimum of the parabola through both energies and the slope
    curved = (2.0 * (energy - state.energy + state.length * slope)).clamp(min=1e-300)
    length = torch.where(back, (slope * state.length**2 / curved).clamp(0.1 * state.length, 0.5 * state.length), one)
    shorter = LbfgsState(
        coordinates=state.origin.plus(state.direction.scaled(length, axis)),
        origin=state.origin,
        forces=state.forces,
        direction=state.direction,
        energy=state.energy,
        length=length,
        n_back=state.n_back + 1,
        memory=state.memory,
    )
    return choose(back, shorter, onward, axis)


def _remember(state: LbfgsState, forces: Coordinates, rose: Tensor, axis: Axis) -> Memory:
    """The memory with the step just taken, where the gradient grew along it; empty where no length made the energy fall."""
    taken = state.coordinates.plus(state.origin.scaled(-torch.ones_like(state.length), axis))
    change = state.forces.plus(forces.scaled(-torch.ones_like(state.length), axis))
    product = taken.dot(change, axis)
    useful = ~rose & state.energy.isfinite() & (product > 1e-10 * change.dot(change, axis))
    inverse = torch.where(useful, 1.0 / torch.where(useful, product, torch.ones_like(product)), torch.zeros_like(product))
    grown = choose(useful, state.memory.with_step(taken, change, inverse), state.memory, axis)
    return Memory(grown.step_atoms, grown.step_cell, grown.change_atoms, grown.change_cell, grown.inverse * ~rose[:, None])


def _direction(
    memory: Memory,
    forces: Coordinates,
    coordinates: Coordinates,
    softness: Tensor,
    axis: Axis,
    molecules: Axis | None,
    config: LbfgsConfig,
) -> Coordinates:
    """The step to take, not longer than allowed."""
    rest, weights = forces, []
    for k in range(config.memory):
        weights.append(memory.inverse[:, k] * memory.steps(k).dot(rest, axis))
        rest = rest.plus(memory.changes(k).scaled(-weights[k], axis))
    direction = _precondition(rest, coordinates, softness, axis, molecules, config)
    for k in reversed(range(config.memory)):
        back = memory.inverse[:, k] * memory.changes(k).dot(direction, axis)
        direction = direction.plus(memory.steps(k).scaled(weights[k] - back, axis))
    strain = direction.cell.abs().amax((1, 2)) / axis.sizes
    excess = torch.maximum(axis.max(direction.atoms.norm(dim=1)) / config.max_step, strain / config.max_strain)
    return direction.scaled(1.0 / excess.clamp(min=1.0), axis)


def _precondition(
    forces: Coordinates, coordinates: Coordinates, softness: Tensor, axis: Axis, molecules: Axis | None, config: LbfgsConfig
) -> Coordinates:
    """Forces times the guess of the inverse Hessian."""
    atoms = forces.atoms / config.stiffness
    if molecules is not None:
        atoms = atoms + (1.0 / config.rigid - 1.0 / config.stiffness) * rigid_part(forces.atoms, coordinates.atoms, molecules)
    return Coordinates(atoms, forces.cell * softness[:, None, None])


def rigid_part(vectors: Tensor, positions: Tensor, molecules: Axis) -> Tensor:
    """The part of displacements that moves and turns each molecule as a whole, by least squares.

    Args:
        vectors: One per atom. [n_atoms, 3]
        positions: Å. [n_atoms, 3]
        molecules: How atoms of molecules lie.
    """
    arm = positions - molecules.mean(positions)[molecules.owner]
    torque = molecules.sum(torch.linalg.cross(arm, vectors))
    identity = torch.eye(3, dtype=arm.dtype, device=arm.device)
    inertia = molecules.sum((arm * arm).sum(1)[:, None, None] * identity - arm[:, :, None] * arm[:, None, :])
    # turning a line about itself, or a point, moves nothing: any number does that keeps the matrix invertible
    size = inertia.diagonal(dim1=1, dim2=2).sum(1)[:, None, None].clamp(min=1e-6)
    turn = torch.linalg.solve(inertia + 1e-9 * size * identity, torque[:, :, None])[:, :, 0]
    return molecules.mean(vectors)[molecules.owner] + torch.linalg.cross(turn[molecules.owner], arm)

"""FIRE: steepest descent with inertia, of many structures at once (Bitzek et al., Phys. Rev. Lett. 2006, 97, 170201), as in ASE."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from packflow.relax.cell_filter import Coordinates
from packflow.relax.packed import Axis


@dataclass(frozen=True)
class FireConfig:
    """Constants of FIRE; the defaults are ASE's.

    dt, dt_max:        first and largest time step, Å (amu/eV)^1/2 with unit masses.
    n_min:             downhill steps in a row after which the time step grows.
    f_increase:        its growth.
    f_decrease:        its reduction after an uphill step.
    mixing:            share of the velocity that is turned into the direction of the force.
    f_mixing:          its reduction when the time step grows.
    max_step:          longest step of all coordinates together, Å.
    """

    dt: float = 0.1
    dt_max: float = 1.0
    n_min: int = 5
    f_increase: float = 1.1
    f_decrease: float = 0.5
    mixing: float = 0.1
    f_mixing: float = 0.99
    max_step: float = 0.2


@dataclass(frozen=True)
class FireState:
    """Where structures are on their way, and how fast.

    coordinates, velocity: of all atoms and cells.
    dt, mixing:            [n_structures], see FireConfig.
    n_downhill:            [n_structures] int64, steps since the last uphill one.
    """

    coordinates: Coordinates
    velocity: Coordinates
    dt: Tensor
    mixing: Tensor
    n_downhill: Tensor


def init(coordinates: Coordinates, config: FireConfig) -> FireState:
    """At rest."""
    like = coordinates.cell[:, 0, 0]
    return FireState(
        coordinates=coordinates,
        velocity=Coordinates(torch.zeros_like(coordinates.atoms), torch.zeros_like(coordinates.cell)),
        dt=torch.full_like(like, config.dt),
        mixing=torch.full_like(like, config.mixing),
        n_downhill=torch.zeros_like(like, dtype=torch.int64),
    )


def step(state: FireState, forces: Coordinates, axis: Axis, config: FireConfig) -> FireState:
    """The state after one step of every structure.

    Args:
        state: Before the step.
        forces: At its coordinates.
        axis: Of the batch.
        config: Constants.
    """
    power = forces.dot(state.velocity, axis)
    downhill = power > 0.0
    # at rest, as at the beginning, nothing is uphill
    resting = state.velocity.dot(state.velocity, axis) == 0.0
    grows = downhill & (state.n_downhill > config.n_min)
    dt = torch.where(grows, (state.dt * config.f_increase).clamp(max=config.dt_max), state.dt)
    dt = torch.where(downhill | resting, dt, state.dt * config.f_decrease)
    mixing = torch.where(grows, state.mixing * config.f_mixing, state.mixing)
    mixing = torch.where(downhill | resting, mixing, torch.full_like(mixing, config.mixing))
    velocity = _turned(state, forces, downhill, axis)
    velocity = velocity.plus(forces.scaled(dt, axis))
    move = velocity.scaled(dt, axis)
    length = move.dot(move, axis).sqrt()
    move = move.scaled(torch.where(length > config.max_step, config.max_step / length, torch.ones_like(length)), axis)
    return FireState(
        coordinates=state.coordinates.plus(move),
        velocity=velocity,
        dt=dt,
        mixing=mixing,
        n_downhill=torch.where(downhill, state.n_downhill + 1, torch.zeros_like(state.n_downhill)),
    )


def _turned(state: FireState, forces: Coordinates, downhill: Tensor, axis: Axis) -> Coordinates:
    """The velocity partly turned into the direction of the forces; none for structures that went uphill."""
    speed = state.velocity.dot(state.velocity, axis).sqrt()
    force = forces.dot(forces, axis).sqrt()
    none = torch.zeros_like(speed)
    kept = torch.where(downhill, 1.0 - state.mixing, none)
    turned = torch.where(downhill, state.mixing / force * speed, none)
    return state.velocity.scaled(kept, axis).plus(forces.scaled(turned, axis))

"""A batch of templates made ready to be sampled: all that is the same in every step, and in every batch of the same templates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from packflow.flow.draws import Draw, generator_of, noise_of
from packflow.flow.integrate import Integration, Velocity, stage_times
from packflow.flow.path import center
from packflow.flow.solvers import Stage
from packflow.model import PackFlow
from packflow.model.inference import for_inference
from packflow.model.packflow import Kinds
from packflow.structure import CrystalBatch, Template, TemplateBatch

Precision = Literal["float32", "bf16"]
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


class Trajectory:
    """From noise to crystals of some templates, as often as wanted.

    Embeddings of atoms and bonds are made once, of each different template; those of the times once for all stages; tables of the
    attention and the memory of the state once.

    templates: of the crystals; those that are one object share their embeddings.
    """

    @torch.inference_mode()
    def __init__(self, model: PackFlow, templates: Sequence[Template], stages: Sequence[Stage], precision: Precision) -> None:
        """Embed.

        Args:
            model: On the device where it is to run; its weights as they are now.
            templates: Of the crystals, in their order.
            stages: From `solver_stages`.
            precision: Of the network's matrix products.
        """
        self.device = next(model.parameters()).device
        self.templates, self.space, self.precision = tuple(templates), model.space, precision
        self.batch = TemplateBatch.pack(templates).to(self.device)
        self.centered = model.config.center_noise
        fast = for_inference(model, DTYPES[precision])
        with at_precision(precision, self.device.type):
            velocity = velocity_at(fast, self.batch, kinds_of(templates).to(self.device), stages)
        self.integration = Integration(velocity, self.batch.atom_ptr, stages, self.centered)

    @torch.inference_mode()
    def run(self, draws: Sequence[Draw], on_step: Callable[[], None] | None = None) -> tuple[CrystalBatch, Tensor]:
        """Sample draws of these templates, in their order.

        Args:
            draws: One of each crystal.
            on_step: Called after each evaluation of the network.

        Returns:
            Crystals in Å and degrees, centred, and whether each was finite all the way. [n_crystals]
        """
        generators = [generator_of(draw) for draw in draws]
        noise = partial(noise_on, self.device, draws, generators)
        positions, flow_lattice = noise()
        if self.centered:
            positions = center(positions, self.batch)
        with at_precision(self.precision, self.device.type):
            positions, flow_lattice, finite = self.integration.run(positions, flow_lattice, noise, on_step)
        positions, lattice = self.space.decode(positions, flow_lattice, self.batch)
        return CrystalBatch(self.batch, center(positions, self.batch), lattice), finite.clone()


def velocity_at(model: PackFlow, batch: TemplateBatch, kinds: Kinds, stages: Sequence[Stage]) -> Velocity:
    """The network's velocities of a batch at the stages of a solver, in float32 whatever it multiplied in."""
    condition = model.condition(batch, kinds)
    times = model.times(*(t.float().to(batch.atom_ptr.device) for t in stage_times(stages)))

    def velocity(positions: Tensor, flow_lattice: Tensor, stage: Tensor) -> tuple[Tensor, Tensor]:
        of_positions, of_lattice = model.velocity(positions, flow_lattice, times.at(stage), condition)
        return of_positions.float(), of_lattice.float()

    return velocity


def kinds_of(templates: Sequence[Template]) -> Kinds:
    """The different objects among templates, and where the atoms and bonds of each crystal are in them."""
    different = {id(template): template for template in templates}
    row = {key: number for number, key in enumerate(different)}
    unique = TemplateBatch.pack(list(different.values()))
    bond_ptr = np.cumsum([0, *(template.bond_index.shape[1] for template in different.values())])
    rows = [row[id(template)] for template in templates]
    return Kinds(unique, ranges(unique.atom_ptr.numpy(), rows), ranges(bond_ptr, rows))


def ranges(pointers: np.ndarray, rows: Sequence[int]) -> Tensor:
    """Numbers from pointers[row] to pointers[row + 1] of each row, one after the other. int64"""
    return torch.from_numpy(np.concatenate([np.arange(pointers[row], pointers[row + 1], dtype=np.int64) for row in rows]))


def noise_on(device: torch.device, draws: Sequence[Draw], generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
    """`noise_of`, on a device."""
    positions, lattice = noise_of(draws, generators)
    return positions.to(device), lattice.to(device)


def at_precision(precision: Precision, device_type: str) -> torch.autocast:
    """Context in which the network multiplies in that precision; a captured graph must not look at weights that the context keeps."""
    return torch.autocast(device_type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=device_type == "cpu")

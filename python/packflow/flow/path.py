"""The straight path from data to noise: where a crystal is at a time, and how fast it moves (paper, section 2.2)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from packflow.structure.batch import TemplateBatch


class VelocityField(Protocol):
    """What the flow asks of a network; packflow.model.PackFlow is one, a closed formula may be another."""

    def __call__(
        self,
        positions: Tensor,  # [n_atoms, 3]
        flow_lattice: Tensor,  # [n_crystals, 6]
        t_positions: Tensor,  # [n_crystals]
        t_lattice: Tensor,  # [n_crystals]
        template: TemplateBatch,
    ) -> tuple[Tensor, Tensor]:
        """Velocities of positions [n_atoms, 3] and lattice [n_crystals, 6]."""
        ...


@dataclass(frozen=True)
class PathConfig:
    """How the noise of a crystal is chosen. The paper's is plain: both False.

    center_noise:  move the noise of each crystal so that its mean is at the origin, where the data's is.
    assign_copies: exchange the noise of whole molecules so that each starts near its own place. The copies are the same
                   molecule, so any order of them is the same crystal, and paths cross less.
    """

    center_noise: bool = False
    assign_copies: bool = False


@dataclass(frozen=True)
class FlowPath:
    """Straight lines from data (t = 0) to noise (t = 1) of one channel: the positions or the lattice.

    data:  [n_rows, width], in units of the flow space.
    noise: [n_rows, width].
    t:     [n_crystals].
    owner: [n_rows] int64, the crystal of each row; None where rows are crystals.
    """

    data: Tensor
    noise: Tensor
    t: Tensor
    owner: Tensor | None = None

    @property
    def t_rows(self) -> Tensor:
        """The time of each row. [n_rows, 1]"""
        return (self.t if self.owner is None else self.t[self.owner])[:, None]

    @property
    def state(self) -> Tensor:
        """(1 - t) data + t noise, eqs. 1 and 2. [n_rows, width]"""
        return (1 - self.t_rows) * self.data + self.t_rows * self.noise

    @property
    def velocity(self) -> Tensor:
        """d(state)/dt = noise - data, eqs. 3 and 4: what the network learns. [n_rows, width]"""
        return self.noise - self.data


@dataclass(frozen=True)
class CrystalPath:
    """The paths of both channels of a batch of crystals.

    template:  the crystals' graphs.
    positions: path of the atoms.
    lattice:   path of the lattices.
    """

    template: TemplateBatch
    positions: FlowPath
    lattice: FlowPath

    def velocities(self, field: VelocityField) -> tuple[Tensor, Tensor]:
        """What the field says at the paths' states and times."""
        return field(self.positions.state, self.lattice.state, self.positions.t, self.lattice.t, self.template)


def draw_noise(
    positions: Tensor,  # [n_atoms, 3]
    template: TemplateBatch,
    config: PathConfig,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Normal noise for the lattices, then for the positions, on the generator's device, then on the data's.

    Args:
        positions: Data in units of the flow space; looked at only where copies are assigned. [n_atoms, 3]
        template: The crystals' graphs.
        config: What is done to the plain normal noise.
        generator: Source of all randomness.

    Returns:
        Noise of the positions [n_atoms, 3] and of the lattices [n_crystals, 6].
    """
    lattice = torch.randn(template.n_crystals, 6, generator=generator, device=generator.device).to(positions.device)
    noise = torch.randn(template.n_atoms, 3, generator=generator, device=generator.device).to(positions.device)
    if config.center_noise:
        noise = center(noise, template)
    if config.assign_copies:
        noise = assign_copies(noise, positions, template)
    return noise, lattice


def center(positions: Tensor, template: TemplateBatch) -> Tensor:
    """Move the mean of each crystal's atoms to the origin. [n_atoms, 3] -> [n_atoms, 3]"""
    owner, counts = template.crystal_index, template.atom_ptr.diff()[:, None]
    means = torch.zeros(template.n_crystals, 3, dtype=positions.dtype, device=positions.device).index_add(0, owner, positions) / counts
    return positions - means[owner]


def assign_copies(noise: Tensor, positions: Tensor, template: TemplateBatch) -> Tensor:
    """Permute the molecules' noise within each crystal for the least sum of squared distances of centroids to the data's.

    Args:
        noise: [n_atoms, 3]
        positions: Data, same units. [n_atoms, 3]
        template: n_copies equal blocks of atoms per crystal.

    Returns:
        The same rows, block by block in another order. [n_atoms, 3]
    """
    n_copies = template.n_copies.cpu().numpy()
    block_sizes = template.atom_ptr.diff().cpu().numpy() // n_copies
    n_block_atoms = np.repeat(block_sizes, n_copies)  # [n_molecules]
    first_atom = np.concatenate([[0], n_block_atoms.cumsum()[:-1]])
    ends = np.stack([noise.cpu().numpy(), positions.cpu().numpy()])
    centroid, target = np.add.reduceat(ends, first_atom, axis=1) / n_block_atoms[:, None]
    chosen = np.arange(len(first_atom))  # the molecule whose noise each molecule gets
    first_molecule = np.concatenate([[0], n_copies.cumsum()])
    for start, end in pairwise(first_molecule):
        squared = ((target[start:end, None] - centroid[None, start:end]) ** 2).sum(-1)
        chosen[start:end] = start + linear_sum_assignment(squared)[1]
    rows = np.repeat(first_atom[chosen] - first_atom, n_block_atoms) + np.arange(template.n_atoms)
    return noise[torch.from_numpy(rows).to(noise.device)]

"""The space in which positions and lattice flow from noise to data."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from packflow.structure.batch import TemplateBatch
from packflow.structure.lattice import angles_decode, angles_encode, cholesky_decode, cholesky_encode

# Å3 of a molecular crystal per heavy atom (18.0 is the median of open crystals), and the root mean square distance along one
# axis of a filled cell's atoms from its centre over the cell's edge: 1 / sqrt(12) for a cube.
VOLUME_PER_ATOM = 18.0
SPREAD_PER_EDGE = 0.29


@dataclass(frozen=True)
class FlowSpace:
    """Maps crystals to the numbers that flow, and back.

    kind "paper":  positions in Å; lengths in Å with logit angles, which saturate outside 60 to 120 degrees.
    kind "packed": positions over the spread expected of a packed cell with that many atoms; log-Cholesky lattice over its
                   expected edge, then standardised with lattice_mean and lattice_std. All six and all positions are of order
                   one for any number of atoms, and any state is a valid cell.
    """

    kind: Literal["paper", "packed"] = "paper"
    lattice_mean: tuple[float, float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    lattice_std: tuple[float, float, float, float, float, float] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        """Refuse an unknown kind."""
        if self.kind not in ("paper", "packed"):
            raise ValueError(f"kind must be 'paper' or 'packed', got {self.kind!r}")

    def edge(self, template: TemplateBatch) -> Tensor:
        """Edge in Å of the cube that holds the crystal's atoms at the density of a typical crystal. [n_crystals] float32"""
        return (VOLUME_PER_ATOM * template.atom_ptr.diff().float()) ** (1 / 3)

    def position_scale(self, template: TemplateBatch) -> Tensor:
        """Å of one unit of the flow's positions. [n_crystals] float32"""
        if self.kind == "paper":
            return torch.ones(template.n_crystals, device=template.atom_ptr.device)
        return SPREAD_PER_EDGE * self.edge(template)

    def encode(self, positions: Tensor, lattice: Tensor, template: TemplateBatch) -> tuple[Tensor, Tensor]:
        """Positions (Å, [n_atoms, 3]) and lattice (Å and degrees, [n_crystals, 6]) to the state of the flow, same shapes."""
        if self.kind == "paper":
            return positions, angles_encode(lattice)
        mean, std = lattice.new_tensor(self.lattice_mean), lattice.new_tensor(self.lattice_std)
        flow_lattice = cholesky_encode(lattice.double(), self.edge(template).double()).to(lattice.dtype)
        return positions / self.position_scale(template)[template.crystal_index, None], (flow_lattice - mean) / std

    def decode(self, positions: Tensor, flow_lattice: Tensor, template: TemplateBatch) -> tuple[Tensor, Tensor]:
        """The state of the flow to positions (Å, [n_atoms, 3]) and lattice (Å and degrees, [n_crystals, 6])."""
        if self.kind == "paper":
            return positions, angles_decode(flow_lattice)
        mean, std = flow_lattice.new_tensor(self.lattice_mean), flow_lattice.new_tensor(self.lattice_std)
        lattice = cholesky_decode((flow_lattice * std + mean).double(), self.edge(template).double()).to(flow_lattice.dtype)
        return positions * self.position_scale(template)[template.crystal_index, None], lattice

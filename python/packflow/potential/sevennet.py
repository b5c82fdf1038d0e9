"""SevenNet-0 with D3(BJ), a potential whose weights come with its package: a packed batch in one call, in float32."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from packflow.errors import InputError
from packflow.ops import neighbors
from packflow.potential import d3
from packflow.potential.foreign import MAX_ATOMS, PreparedForeign, boxed, foreign, network_device, unknown_elements
from packflow.potential.interface import Evaluation
from packflow.structure.full import FullBatch

if TYPE_CHECKING:
    from sevenn.nn.sequential import AtomGraphSequential

MODEL = "7net-0"
INSTALL = "pip install 'packflow-csp[sevennet]'"
# SevenNet's order of the stress: xx, yy, zz, xy, yz, zx
FULL_STRESS = [[0, 3, 5], [3, 1, 4], [5, 4, 2]]


class SevenNet:
    """SevenNet, trained on PBE energies of inorganic crystals; with D3, since PBE lacks what holds molecules together.

    name, cutoff (Å), max_atoms, device: as `Model`.
    """

    name = "sevennet"

    def __init__(
        self,
        model: str | Path = MODEL,
        device: torch.device | str = "cpu",
        dispersion: bool = True,
        max_atoms: int | None = None,
    ) -> None:
        """Load the weights.

        Args:
            model: One of sevenn's names (7net-0 is part of the package, others are downloaded), or a checkpoint file. Loading runs what
                is in the file: take it from where you trust.
            device: Of the network; D3 is computed on the CPU.
            dispersion: Add D3(BJ) for PBE.
            max_atoms: Given to the network at once, unless one structure has more; by default 100 on a CPU, 4,000 on a GPU.

        Raises:
            InputError: there is no such device, sevenn or dftd3 is not installed, there are no such weights, or they want to be told a
                level of theory.
        """
        self.device = network_device(device)
        self.max_atoms = max_atoms or MAX_ATOMS[self.device.type]
        self._network = load(str(model)).to(self.device)
        self._dispersion = d3.D3("pbe") if dispersion else None
        self.cutoff = float(self._network.cutoff)

    def prepare(self, batch: FullBatch) -> PreparedForeign:
        """As `Potential.prepare`."""
        known = set(self._network.type_map or ())
        if self._dispersion:
            known &= set(d3.ELEMENTS)
        return PreparedForeign(self, batch.to(self.device), unknown_elements(batch, known, "SevenNet"))

    def compute(self, batch: FullBatch) -> Evaluation:
        """As `Model.compute`."""
        data = graph(batch, self.cutoff)
        with foreign(self.name):
            found = self._network(data)
        energy, forces = found["inferred_total_energy"].detach().double().view(-1), found["inferred_force"].detach().double()
        stress = -found["inferred_stress"].detach().double()[:, FULL_STRESS]
        stress = torch.where(batch.periodic[:, None, None], stress, 0)
        if self._dispersion:
            more = self._dispersion.compute(batch)
            energy, forces, stress = energy + more.energy, forces + more.forces, stress + more.stress
        return Evaluation(energy, forces, stress, [""] * len(batch))


def load(model: str) -> AtomGraphSequential:
    """The network of a name or a file, ready for packed batches."""
    try:
        from sevenn.util import load_checkpoint
    except ImportError as error:
        raise InputError(f"potential sevennet needs sevenn ({error}): {INSTALL}") from error
    try:
        network = load_checkpoint(model).build_model()
    except (OSError, pickle.UnpicklingError, RuntimeError, EOFError, AttributeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"model must be a checkpoint of SevenNet or a name of one, got {model!r} ({reason})") from error
    if network.modal_map:
        raise InputError(f"model must have one level of theory, {model!r} has {', '.join(network.modal_map)}")
    network.set_is_batch_data(True)
    return network.eval()


def graph(batch: FullBatch, cutoff: float) -> Any:  # noqa: ANN401, it is sevenn's AtomGraphData
    """A packed batch as SevenNet's input; vectors between neighbours are computed in float64.

    Args:
        batch: Structures that can be searched.
        cutoff: How far neighbours are searched, Å.
    """
    from sevenn.atom_graph_data import AtomGraphData

    cell = boxed(batch, cutoff)
    pairs = neighbors(batch.positions, cell, batch.atom_ptr, cutoff)
    return AtomGraphData(
        x=batch.atomic_numbers,
        edge_index=pairs.pair_index,
        pos=batch.positions.float(),
        atomic_numbers=batch.atomic_numbers,
        edge_vec=pair_vectors(batch, cell, pairs.pair_index, pairs.cell_shifts).float(),
        cell_volume=torch.linalg.det(cell).abs().float(),
        num_atoms=batch.sizes,
        batch=batch.structure_index,
    )


def pair_vectors(batch: FullBatch, cell: Tensor, pair_index: Tensor, cell_shifts: Tensor) -> Tensor:
    """From the first atom of each pair to the image of the second. [n_pairs, 3], Å"""
    first, second = pair_index
    shifts = torch.einsum("pi,pij->pj", cell_shifts.to(cell.dtype), cell[batch.structure_index[first]])
    return batch.positions[second] - batch.positions[first] + shifts

"""UMA, the machine-learned potential of the paper, by fairchem-core: a packed batch in one call."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from packflow.errors import InputError
from packflow.potential.foreign import MAX_ATOMS, PreparedForeign, foreign, network_device, unknown_elements
from packflow.potential.interface import Evaluation
from packflow.structure.full import FullBatch

if TYPE_CHECKING:
    from fairchem.core.datasets.atomic_data import AtomicData
    from fairchem.core.units.mlip_unit import MLIPPredictUnit

MODEL = "uma-s-1p1"
# molecular crystals, the head that the paper uses (section 3.4); its training set has neither charges nor spins
TASK = "omc"
PROPERTIES = {"energy", "forces", "stress"}
# rows of the embedding of elements but the first
ELEMENTS = range(1, 100)
CUTOFF = 6.0
INSTALL = "pip install 'packflow-csp[uma]'"
ACCESS = (
    "accept the licence at https://huggingface.co/facebook/UMA and call `hf auth login`, or download the file elsewhere "
    "and name it: uma:FILE"
)


class Uma:
    """UMA for molecular crystals; sees atomic numbers, positions and cells only, so structures without hydrogens can be computed too.

    name, cutoff (Å), max_atoms, device: as `Model`.
    """

    name = "uma"
    cutoff = CUTOFF

    def __init__(
        self,
        model: str | Path = MODEL,
        device: torch.device | str = "cpu",
        max_atoms: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Load the weights; those named are downloaded once, for which their licence must have been accepted.

        Args:
            model: One of fairchem's names, or a checkpoint file. Loading runs what is in the file: take it from where you trust.
            device: cpu, or cuda: the current one.
            max_atoms: Given to the network at once, unless one structure has more; by default 100 on a CPU, 4,000 on a GPU.
            dtype: What the network computes in: float32, or float64 for differences of forces and very tight relaxations.

        Raises:
            InputError: there is no such device, fairchem-core is not installed, the weights are neither here nor to be had, or are not of
                such a model.
        """
        self._unit = load(str(model), network_device(device).type, dtype)
        self.device = torch.device(self._unit.device)
        self.max_atoms = max_atoms or MAX_ATOMS[self.device.type]
        self._dtype = dtype

    def prepare(self, batch: FullBatch) -> PreparedForeign:
        """As `Potential.prepare`."""
        return PreparedForeign(self, batch.to(self.device), unknown_elements(batch, ELEMENTS, "UMA"))

    def compute(self, batch: FullBatch) -> Evaluation:
        """As `Model.compute`."""
        data = atomic_data(batch, self._dtype)
        with foreign(self.name):
            found = self._unit.predict(data)
        stress = found["stress"].detach().double().view(-1, 3, 3)
        stress = torch.where(batch.periodic[:, None, None], 0.5 * (stress + stress.mT), 0)
        return Evaluation(found["energy"].detach().double(), found["forces"].detach().double(), stress, [""] * len(batch))


def load(model: str, device: str, dtype: torch.dtype) -> MLIPPredictUnit:
    """Weights by name or from a file, with the settings for batches of different structures."""
    try:
        from fairchem.core import pretrained_mlip
        from fairchem.core.units.mlip_unit import load_predict_unit
        from fairchem.core.units.mlip_unit.api.inference import inference_settings_batch
    except ImportError as error:
        raise InputError(f"potential uma needs fairchem-core ({error}): {INSTALL}") from error
    settings = replace(inference_settings_batch(), base_precision_dtype=dtype)
    if Path(model).is_file():
        try:
            unit = load_predict_unit(model, inference_settings=settings, device=device)
        except (pickle.UnpicklingError, RuntimeError, EOFError, AttributeError, KeyError, TypeError, ValueError, ImportError) as error:
            raise InputError(f"{model} is no checkpoint that fairchem-core reads ({in_one_line(error)})") from error
    elif model in pretrained_mlip.available_models:
        try:
            unit = pretrained_mlip.get_predict_unit(model, inference_settings=settings, device=device)
        except OSError as error:  # the base of all errors of hub and network
            raise InputError(f"the weights of {model} cannot be fetched ({in_one_line(error)}): {ACCESS}") from error
    else:
        raise InputError(f"model must be a checkpoint file or one of {', '.join(pretrained_mlip.available_models)}, got {model!r}")
    offered = {task.property for task in unit.dataset_to_tasks.get(TASK, [])}
    if not offered >= PROPERTIES:
        wanted, got = ", ".join(sorted(PROPERTIES)), ", ".join(sorted(offered)) or "nothing"
        raise InputError(f"{model} must offer {wanted} of task {TASK!r}, offers {got}")
    return unit


def in_one_line(error: Exception) -> str:
    """The beginning of what went wrong, or its kind."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def atomic_data(batch: FullBatch, dtype: torch.dtype) -> AtomicData:
    """A packed batch as fairchem's, atoms in the cell so that no digits are lost; the network finds its own neighbours."""
    from fairchem.core.datasets.atomic_data import AtomicData

    n, device = len(batch), batch.cell.device
    no_edges, zeros = torch.zeros(2, 0, dtype=torch.long, device=device), torch.zeros(n, dtype=torch.long, device=device)
    # fairchem completes a missing cell so, as ASE does
    cell = torch.where(batch.periodic[:, None, None], batch.cell, torch.eye(3, dtype=batch.cell.dtype, device=device))
    return AtomicData(
        pos=wrapped(batch.positions, cell, batch.periodic, batch.structure_index).to(dtype),
        atomic_numbers=batch.atomic_numbers,
        cell=cell.to(dtype),
        pbc=batch.periodic[:, None].expand(-1, 3).contiguous(),
        natoms=batch.sizes,
        edge_index=no_edges,
        cell_offsets=torch.zeros(0, 3, dtype=dtype, device=device),
        nedges=zeros.clone(),
        charge=zeros.clone(),
        spin=zeros.clone(),
        fixed=torch.zeros_like(batch.atomic_numbers),
        tags=torch.zeros_like(batch.atomic_numbers),
        batch=batch.structure_index,
        sid=[""] * n,
        dataset=[TASK] * n,
    )


def wrapped(positions: Tensor, cell: Tensor, periodic: Tensor, structure_index: Tensor) -> Tensor:
    """Positions moved into the cell by lattice vectors; those of molecules in vacuum stay. [n_atoms, 3]"""
    inverse = torch.linalg.inv(cell)[structure_index]
    steps = torch.einsum("ni,nij->nj", positions, inverse).floor() * periodic[structure_index][:, None]
    return positions - torch.einsum("ni,nij->nj", steps, cell[structure_index])

"""One update of the state that a flow moves, for all crystals of a packed batch and both channels at once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from packflow import _C
from packflow.ops._check import check_tensor
from packflow.ops._crystals import DTYPES

# Positions [n_atoms, 3] and flow_lattice [n_crystals, 6].
Channels = tuple[Tensor, Tensor]


def ode(
    state: Channels,  # [n_atoms, 3], [n_crystals, 6]
    velocity: Channels,  # [n_atoms, 3], [n_crystals, 6]
    history: Channels,  # [n_atoms, 3], [n_crystals, 6]
    coefficients: Tensor,  # [n_crystals, 2, 6]
    atom_ptr: Tensor,  # [n_crystals + 1]
    finite: Tensor,  # [n_crystals]
    noise: Channels | None = None,  # [n_atoms, 3], [n_crystals, 6]
    center: bool = False,
) -> None:
    """Update state and history in place: a linear combination, which every solver of `packflow.flow.solvers` is made of.

    new state = a state + b velocity + h history + s noise, new history = d state + e velocity, with the old state on the right. A
    coefficient of zero ignores its operand, even NaN. With `center` the mean of each crystal's new positions is then subtracted, summed
    in float64; the history is not centered, because its mean only moves that of the state, which is removed. A crystal's result does not
    depend on the rest of the batch. Nothing is copied or waited for, so that a CUDA graph can hold it, and nothing is differentiable.

    Args:
        state: Positions [n_atoms, 3] and flow lattice [n_crystals, 6] in units of the flow space, float32 or float64, contiguous.
        velocity: d(state)/dt, likewise.
        history: What an earlier update kept, likewise; its values do not matter where h is 0.
        coefficients: a, b, h, s, d, e of the positions, then of the lattice, of each crystal, same dtype. [n_crystals, 2, 6]
        atom_ptr: First atom of each crystal, then n_atoms, int32; on the GPU its values are not checked. [n_crystals + 1]
        finite: Becomes False where a number of the new state is not finite and is left as it is elsewhere, bool. [n_crystals]
        noise: Standard normal numbers, like the state; s does not matter without.
        center: Whether to move each crystal's mean position to the origin.

    Raises:
        ValueError: an argument has another shape, dtype or device, is not contiguous, or must be written but requires a gradient.
    """
    n_atoms = check_tensor("state[0]", state[0], ("n_atoms", 3), DTYPES)["n_atoms"]
    dtype, device = state[0].dtype, state[0].device
    n_crystals = check_tensor("state[1]", state[1], ("n_crystals", 6), dtype, device)["n_crystals"]
    others = {"velocity": velocity, "history": history, **({"noise": noise} if noise else {})}
    for name, (of_positions, of_lattice) in others.items():
        check_tensor(f"{name}[0]", of_positions, (n_atoms, 3), dtype, device)
        check_tensor(f"{name}[1]", of_lattice, (n_crystals, 6), dtype, device)
    check_tensor("coefficients", coefficients, (n_crystals, 2, 6), dtype, device)
    check_tensor("atom_ptr", atom_ptr, (n_crystals + 1,), torch.int32, device)
    check_tensor("finite", finite, (n_crystals,), torch.bool, device)
    written = {"state": state, "history": history, "finite": (finite,)}
    _check_memory(written | {"velocity": velocity, "noise": noise or (), "coefficients": (coefficients,), "atom_ptr": (atom_ptr,)})
    if any(x.requires_grad for tensors in written.values() for x in tensors):
        raise ValueError("state and history must not require a gradient, since they are written in place; got one that does")
    operands = (state, velocity, history, noise)
    channels = (tuple(x[k].data_ptr() if x else 0 for x in operands) for k in (0, 1))
    batch = *channels, coefficients.data_ptr(), atom_ptr.data_ptr(), n_crystals, finite.data_ptr()
    dtype_name = str(dtype).removeprefix("torch.")
    if device.type == "cuda":
        with torch.cuda.device(device):
            getattr(_C, f"ode_cuda_{dtype_name}")(batch, center, torch.cuda.current_stream().cuda_stream)
    else:
        _check_pointers(atom_ptr, n_atoms)
        getattr(_C, f"ode_cpu_{dtype_name}")(batch, center, torch.get_num_threads())


def _check_memory(arguments: Mapping[str, tuple[Tensor, ...]]) -> None:
    """Refuse tensors that are not contiguous: the kernel reads and writes them where they are."""
    for name, tensors in arguments.items():
        for x in tensors:
            if not x.is_contiguous():
                raise ValueError(f"{name} must be contiguous, got strides {x.stride()} for shape {tuple(x.shape)}")


def _check_pointers(atom_ptr: Tensor, n_atoms: int) -> None:
    pointers = atom_ptr.tolist()
    if pointers[0] != 0 or pointers[-1] != n_atoms or pointers != sorted(pointers):
        raise ValueError(f"atom_ptr must rise from 0 to the number of atoms, {n_atoms}, without a step down, got {pointers}")

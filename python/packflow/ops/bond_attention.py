"""Attention within each crystal with a bias at the bonded pairs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from packflow import _C
from packflow.ops._check import check_tensor

DTYPES = (torch.float32, torch.bfloat16)
MOST_DIMS, DIMS_STEP = 128, 8

BondedBatch = tuple[int, int, int, int, int, int, int, int, int]  # see _C.pyi


@dataclass(frozen=True)
class BondTable:
    """The directed bonds of a packed batch, sorted by their source atom; made once per batch by `bond_table`.

    order:   [n_bonds] int64, place of each edge in the caller's bond_index; edges of one source keep their order.
    row_ptr: [n_atoms + 1] int32; atom i is the source of edges row_ptr[i]:row_ptr[i + 1].
    column:  [n_bonds] int32, target atom of each edge, a row of the packed atom axis.
    tiles:   tables of the GPU kernel, the fields of packflow.kernels.bond_attention.TileTable; empty on the CPU.
    """

    order: Tensor
    row_ptr: Tensor
    column: Tensor
    tiles: tuple[Tensor, ...] = ()


def bond_table(
    bond_index: Tensor,  # [2, n_bonds]
    cu_seqlens: Tensor,  # [n_crystals + 1]
) -> BondTable:
    """Sort the bonds of a batch for `bond_attention`.

    Args:
        bond_index: Source and target of each directed edge, rows of the packed atom axis, int64. [2, n_bonds]
        cu_seqlens: First atom of each crystal, then n_atoms, int32. [n_crystals + 1]

    Returns:
        The table, on the same device.
    """
    check_tensor("bond_index", bond_index, (2, "n_bonds"), torch.int64)
    check_tensor("cu_seqlens", cu_seqlens, ("n_crystals + 1",), torch.int32, bond_index.device)
    if len(cu_seqlens) == 0 or cu_seqlens[0] != 0 or (cu_seqlens.diff() < 0).any():
        raise ValueError(f"cu_seqlens must rise from 0 without a step down, got {cu_seqlens.tolist()}")
    n_atoms = int(cu_seqlens[-1])
    outside = ((bond_index < 0) | (bond_index >= n_atoms)).any(0)
    if outside.any():
        source, target = bond_index[:, outside][:, 0].tolist()
        raise ValueError(f"bond_index must be atoms from 0 to {n_atoms - 1}, got an edge from {source} to {target}")
    crystal = torch.bucketize(bond_index, cu_seqlens[1:].long(), right=True)
    leaves = crystal[0] != crystal[1]
    if leaves.any():
        (source, target), (one, other) = bond_index[:, leaves][:, 0].tolist(), crystal[:, leaves][:, 0].tolist()
        raise ValueError(
            "bond_index must join atoms of the same crystal, "
            f"got an edge from atom {source} of crystal {one} to atom {target} of crystal {other}"
        )
    order = bond_index[0].argsort(stable=True)
    row_ptr = cu_seqlens.new_zeros(n_atoms + 1)
    row_ptr[1:] = torch.bincount(bond_index[0], minlength=n_atoms).cumsum(0)
    column = bond_index[1, order].int()
    if not bond_index.is_cuda:
        return BondTable(order, row_ptr, column)
    from packflow.kernels.bond_attention import tile_table  # Triton needs a GPU driver

    table = tile_table(cu_seqlens, row_ptr, column)
    return BondTable(order, row_ptr, column, tuple(getattr(table, f.name) for f in fields(table)))


def bond_attention(
    q: Tensor,  # [n_atoms, n_heads, d_head]
    k: Tensor,  # [n_atoms, n_heads, d_head]
    v: Tensor,  # [n_atoms, n_heads, d_head]
    edge_bias: Tensor,  # [n_bonds, n_heads]
    cu_seqlens: Tensor,  # [n_crystals + 1]
    bonds: BondTable,
) -> Tensor:
    """Softmax attention within each crystal with a bias at the bonded pairs (paper, eq. 6); differentiable once.

    logit(i, j) = q_i . k_j / sqrt(d_head) + sum of edge_bias over the edges from i to j. The paper's learnable baseline per
    head is left out: it is the same along a row and cancels in the softmax. q, k and v may be strided, as long as their last
    axis is contiguous; for the three of one projection see `bond_attention_qkv`. Sums are in float32, and results do not
    depend on the number of threads.

    Args:
        q: Queries, float32 or bfloat16; d_head is a multiple of 8 up to 128. [n_atoms, n_heads, d_head]
        k: Keys, likewise. [n_atoms, n_heads, d_head]
        v: Values, likewise. [n_atoms, n_heads, d_head]
        edge_bias: Bias of each edge in the order of the table, that is the caller's indexed by `bonds.order`, float32.
            [n_bonds, n_heads]
        cu_seqlens: First atom of each crystal, then n_atoms, int32. [n_crystals + 1]
        bonds: From `bond_table` with the same cu_seqlens.

    Returns:
        Weighted sums of the values, in the dtype of q. [n_atoms, n_heads, d_head]
    """
    check_tensor("q", q, ("n_atoms", "n_heads", "d_head"), DTYPES)
    return _checked({"q": q, "k": k, "v": v}, edge_bias, cu_seqlens, bonds)


def bond_attention_qkv(
    qkv: Tensor,  # [n_atoms, 3, n_heads, d_head]
    edge_bias: Tensor,  # [n_bonds, n_heads]
    cu_seqlens: Tensor,  # [n_crystals + 1]
    bonds: BondTable,
) -> Tensor:
    """`bond_attention(*qkv.unbind(1), ...)`, whose gradient is written in place: torch would join those of the three slices by a copy.

    Args:
        qkv: Queries, keys and values of one projection, with a contiguous last axis. [n_atoms, 3, n_heads, d_head]
        edge_bias, cu_seqlens, bonds: As for `bond_attention`.

    Returns:
        Weighted sums of the values, in the dtype of qkv. [n_atoms, n_heads, d_head]
    """
    check_tensor("qkv", qkv, ("n_atoms", 3, "n_heads", "d_head"), DTYPES)
    return _checked({"qkv": qkv}, edge_bias, cu_seqlens, bonds)


def _checked(projections: dict[str, Tensor], edge_bias: Tensor, cu_seqlens: Tensor, bonds: BondTable) -> Tensor:
    """The op after the checks that its two forms share. `projections`: arguments by name, the first of a right shape and dtype."""
    name, x = next(iter(projections.items()))
    n_atoms, (n_heads, d_head), n_bonds = len(x), x.shape[-2:], len(bonds.column)
    if d_head % DIMS_STEP or not 0 < d_head <= MOST_DIMS:
        raise ValueError(f"{name} must have a d_head that is a multiple of {DIMS_STEP} up to {MOST_DIMS}, got {d_head}")
    for name, projection in projections.items():
        check_tensor(name, projection, tuple(x.shape), x.dtype, x.device)
        if projection.stride(-1) != 1:
            raise ValueError(f"{name} must have a contiguous last axis, got strides {projection.stride()}")
    check_tensor("edge_bias", edge_bias, (n_bonds, n_heads), torch.float32, x.device)
    check_tensor("cu_seqlens", cu_seqlens, ("n_crystals + 1",), torch.int32, x.device)
    if len(cu_seqlens) == 0:
        raise ValueError("cu_seqlens must hold at least one pointer, got none")
    check_tensor("bonds.row_ptr", bonds.row_ptr, (n_atoms + 1,), torch.int32, x.device)
    check_tensor("bonds.column", bonds.column, (n_bonds,), torch.int32, x.device)
    out, _ = _attend(list(projections.values()), edge_bias, cu_seqlens, bonds.row_ptr, bonds.column, list(bonds.tiles))
    return out


def _split(projections: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, [n_atoms, n_heads, d_head] each, of a list that holds the three or one of [n_atoms, 3, n_heads, d_head]."""
    q, k, v = projections if len(projections) == 3 else projections[0].unbind(1)
    return q, k, v


@torch.library.custom_op("packflow::bond_attention", mutates_args=())
def _attend(
    projections: list[Tensor],
    edge_bias: Tensor,
    cu_seqlens: Tensor,
    row_ptr: Tensor,
    column: Tensor,
    tiles: list[Tensor],
) -> tuple[Tensor, Tensor]:
    """The sums, and the logarithm of the sum of exp(logit) of each row. [n_atoms, n_heads, d_head], [n_heads, n_atoms]"""
    q, k, v = _split(projections)
    if q.is_cuda:
        from packflow.kernels.bond_attention import TileTable, bond_attention_fwd

        return bond_attention_fwd(q, k, v, edge_bias, cu_seqlens, row_ptr, column, TileTable(*tiles))
    return _attend_cpu(q, k, v, edge_bias, cu_seqlens, row_ptr, column)


@torch.library.custom_op("packflow::bond_attention_backward", mutates_args=())
def _differentiate(
    grad_out: Tensor,
    projections: list[Tensor],
    edge_bias: Tensor,
    out: Tensor,
    lse: Tensor,
    cu_seqlens: Tensor,
    row_ptr: Tensor,
    column: Tensor,
    tiles: list[Tensor],
) -> tuple[list[Tensor], Tensor]:
    """Gradients of the projections and of edge_bias."""
    grad_out = grad_out if grad_out.stride(2) == 1 else grad_out.contiguous()
    grads = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in projections]
    arguments = grad_out, *_split(projections), edge_bias, out, lse, cu_seqlens, row_ptr, column
    if grad_out.is_cuda:
        from packflow.kernels.bond_attention import TileTable, bond_attention_bwd

        return grads, bond_attention_bwd(*arguments, TileTable(*tiles), *_split(grads))
    return grads, _differentiate_cpu(*arguments, *_split(grads))


@_attend.register_fake
def _(projections: list[Tensor], *rest: object) -> tuple[Tensor, Tensor]:
    q, _, _ = _split(projections)
    return q.new_empty(q.shape), q.new_empty(q.shape[1], q.shape[0], dtype=torch.float32)


@_differentiate.register_fake
def _(grad_out: Tensor, projections: list[Tensor], edge_bias: Tensor, *rest: object) -> tuple[list[Tensor], Tensor]:
    return [x.new_empty(x.shape) for x in projections], edge_bias.new_empty(edge_bias.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:  # noqa: ANN401
    projections, edge_bias, cu_seqlens, row_ptr, column, tiles = inputs
    ctx.n_projections = len(projections)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*projections, edge_bias, *output, cu_seqlens, row_ptr, column, *tiles)


def _backward(ctx: Any, grad_out: Tensor | None, _grad_lse: None) -> tuple[Tensor | list[Tensor] | list[None] | None, ...]:  # noqa: ANN401
    projections, saved = list(ctx.saved_tensors[: ctx.n_projections]), ctx.saved_tensors[ctx.n_projections :]
    tables, tiles = saved[:6], list(saved[6:])
    of_tables = None, None, None, [None] * len(tiles)
    if grad_out is None:
        return ([None] * len(projections), None, *of_tables)
    return (*_differentiate(grad_out, projections, *tables, tiles), *of_tables)


_attend.register_autograd(_backward, setup_context=_save)


def _heads(x: Tensor) -> tuple[int, int, int]:
    """Address and strides, as the kernels take them."""
    return x.data_ptr(), x.stride(0), x.stride(1)


def _batch(q: Tensor, edge_bias: Tensor, cu_seqlens: Tensor, row_ptr: Tensor, column: Tensor) -> BondedBatch:
    """Addresses and sizes, as the kernels take them."""
    n_crystals, (n_atoms, n_heads, d_head), n_bonds = len(cu_seqlens) - 1, q.shape, len(column)
    addresses = cu_seqlens.data_ptr(), row_ptr.data_ptr(), column.data_ptr(), edge_bias.data_ptr()
    return (*addresses, n_crystals, n_atoms, n_bonds, n_heads, d_head)


def _attend_cpu(
    q: Tensor, k: Tensor, v: Tensor, edge_bias: Tensor, cu_seqlens: Tensor, row_ptr: Tensor, column: Tensor, instruction_set: str = ""
) -> tuple[Tensor, Tensor]:
    """`instruction_set` is one of `_C.instruction_sets()`, or empty for the fastest."""
    tables = [x.contiguous() for x in (edge_bias, cu_seqlens, row_ptr, column)]
    out, lse = torch.empty(q.shape, dtype=q.dtype), torch.empty(q.shape[1], q.shape[0])
    kernel = _C.bond_attention_forward_float32 if q.dtype == torch.float32 else _C.bond_attention_forward_bfloat16
    address = lse.data_ptr()
    kernel(_batch(q, *tables), _heads(q), _heads(k), _heads(v), _heads(out), address, torch.get_num_threads(), instruction_set)
    return out, lse


def _differentiate_cpu(
    grad_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    edge_bias: Tensor,
    out: Tensor,
    lse: Tensor,
    cu_seqlens: Tensor,
    row_ptr: Tensor,
    column: Tensor,
    grad_q: Tensor,
    grad_k: Tensor,
    grad_v: Tensor,
    instruction_set: str = "",
) -> Tensor:
    """Writes grad_q, grad_k and grad_v, returns the gradient of edge_bias; for `instruction_set` see `_attend_cpu`."""
    tables = [x.contiguous() for x in (edge_bias, cu_seqlens, row_ptr, column)]
    grad_bias = torch.empty(edge_bias.shape)
    kernel = _C.bond_attention_backward_float32 if q.dtype == torch.float32 else _C.bond_attention_backward_bfloat16
    kernel(
        _batch(q, *tables),
        _heads(q),
        _heads(k),
        _heads(v),
        _heads(out),
        lse.data_ptr(),
        _heads(grad_out),
        _heads(grad_q),
        _heads(grad_k),
        _heads(grad_v),
        grad_bias.data_ptr(),
        torch.get_num_threads(),
        instruction_set,
    )
    return grad_bias

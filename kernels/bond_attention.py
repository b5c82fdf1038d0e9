"""Attention inside each crystal with a bias on bonded pairs: forward and backward kernels and their launchers."""

# Triton takes the types of a kernel's arguments from each call.
# ruff: noqa: ANN001, ANN202
# mypy: allow-untyped-defs

from contextlib import AbstractContextManager, nullcontext

import torch
import triton
import triton.language as tl
from torch import Tensor

from packflow.kernels.bond_attention_configuration import configuration, family
from packflow.kernels.bond_attention_tiles import INNER as _INNER
from packflow.kernels.bond_attention_tiles import TILE as _TILE
from packflow.kernels.bond_attention_tiles import TileTable, tile_table

__all__ = ["TileTable", "bond_attention_bwd", "bond_attention_fwd", "tile_table"]

TILE = tl.constexpr(_TILE)
INNER = tl.constexpr(_INNER)
LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)
INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)

# Arguments that change from batch to batch share one compiled kernel. Strides come in units of 8 numbers, so that the compiler knows
# that every row begins at a multiple of 16 bytes.
NUMBERS = ("n_atoms", "n_heads", *(f"{x}_{axis}" for x in ("dout", "q", "k", "v", "grad") for axis in ("atom", "head")))


@triton.jit
def _dot(a, b):
    if INTERPRETED:  # the interpreter would multiply the bits of bfloat16 numbers
        return tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="ieee")
    else:
        return tl.dot(a, b, input_precision="ieee")


@triton.jit
def _tile(tiles, OUTER: tl.constexpr):
    # first atom of this program, first and last + 1 atom of its crystal, first entry in the slot table
    parts: tl.constexpr = TILE // OUTER
    tile = tiles + (tl.program_id(0) // parts).to(tl.int64) * 4
    start = tl.load(tile) + tl.program_id(0) % parts * OUTER
    return start, tl.load(tile + 1), tl.load(tile + 2), tl.load(tile + 3)


@triton.jit
def _load_rows(x, start, last, stride, D: tl.constexpr, BLOCK_D: tl.constexpr, ROWS: tl.constexpr):
    # atoms start .. start + ROWS of one head; 0 from atom `last` and from number D on
    row = tl.arange(0, ROWS)
    d = tl.arange(0, BLOCK_D)
    mask = (start + row < last)[:, None] & (d < D)[None, :]
    # [ROWS, BLOCK_D]
    return tl.load(x + tl.cast(start, tl.int64) * stride + row[:, None] * stride + d[None, :], mask=mask, other=0.0)


@triton.jit
def _store_rows(x, value, start, last, stride, D: tl.constexpr, BLOCK_D: tl.constexpr, ROWS: tl.constexpr):
    row = tl.arange(0, ROWS)
    d = tl.arange(0, BLOCK_D)
    mask = (start + row < last)[:, None] & (d < D)[None, :]
    # [ROWS, BLOCK_D]
    tl.store(x + tl.cast(start, tl.int64) * stride + row[:, None] * stride + d[None, :], value.to(x.dtype.element_ty), mask=mask)


@triton.jit
def _add_bias(logits, n_slots, first_edge, last_edge, keys, column, edge_bias, n_heads, head):
    # one edge of every query at a time; logits [OUTER, INNER] in base 2
    for slot in range(0, n_slots):
        edge = first_edge + slot
        target = tl.load(column + edge, mask=edge < last_edge, other=-1)
        bias = tl.load(edge_bias + edge.to(tl.int64) * n_heads + head, mask=edge < last_edge, other=0.0) * LOG2E
        logits += tl.where(target[:, None] == keys[None, :], bias[:, None], 0.0)
    return logits


@triton.jit(do_not_specialize=NUMBERS)
def bond_attention_fwd_kernel(
    q, k, v, edge_bias, row_ptr, column, tiles, slots, out, lse, scale, n_atoms, n_heads,
    q_atom, q_head, k_atom, k_head, v_atom, v_head,
    D: tl.constexpr, BLOCK_D: tl.constexpr, OUTER: tl.constexpr,
):  # fmt: skip
    # one program per OUTER queries of a crystal and head
    start, first, last, entry = _tile(tiles, OUTER)
    if start >= last:
        return
    head = tl.program_id(1).to(tl.int64)

    # [OUTER]
    query = start + tl.arange(0, OUTER)
    first_edge = tl.load(row_ptr + query, mask=query < last, other=0)
    last_edge = tl.load(row_ptr + query + 1, mask=query < last, other=0)
    q_rows = _load_rows(q + head * q_head * 8, start, last, q_atom * 8, D, BLOCK_D, OUTER)

    # finite, so that a block whose biases are all -inf makes no difference of infinities
    top = tl.full([OUTER], -1e30, tl.float32)
    total = tl.zeros([OUTER], tl.float32)
    mean = tl.zeros([OUTER, BLOCK_D], tl.float32)
    for block in range(first, last, INNER):
        keys = block + tl.arange(0, INNER)
        k_rows = _load_rows(k + head * k_head * 8, block, last, k_atom * 8, D, BLOCK_D, INNER)
        # [OUTER, INNER]
        logits = _dot(q_rows, tl.trans(k_rows)) * (scale * LOG2E)
        n_slots = tl.load(slots + entry + (block - first) // INNER)
        # the branch keeps the loop over slots from ending the overlap of loads and arithmetic in the loop over blocks
        if n_slots > 0:
            logits = _add_bias(logits, n_slots, first_edge, last_edge, keys, column, edge_bias, n_heads, head)
        logits = tl.where((keys < last)[None, :], logits, float("-inf"))

        new_top = tl.maximum(top, tl.max(logits, axis=1))
        weight = tl.exp2(logits - new_top[:, None])
        shrink = tl.exp2(top - new_top)
        total = total * shrink + tl.sum(weight, axis=1)
        v_rows = _load_rows(v + head * v_head * 8, block, last, v_atom * 8, D, BLOCK_D, INNER)
        mean = mean * shrink[:, None] + _dot(weight.to(v_rows.dtype), v_rows)
        top = new_top

    _store_rows(out + head * D, mean / total[:, None], start, last, n_heads * D, D, BLOCK_D, OUTER)
    tl.store(lse + head * n_atoms + query, (top + tl.log2(total)) * LN2, mask=query < last)


@triton.jit(do_not_specialize=NUMBERS)
def bond_attention_bwd_dq_kernel(
    dout, q, k, v, edge_bias, out, lse, row_ptr, column, tiles, slots, dq, dbias, delta, scale, n_atoms, n_heads,
    dout_atom, dout_head, q_atom, q_head, k_atom, k_head, v_atom, v_head, grad_atom, grad_head,
    D: tl.constexpr, BLOCK_D: tl.constexpr, OUTER: tl.constexpr,
):  # fmt: skip
    # one program per OUTER queries of a crystal and head: dq, dbias of the edges that leave them, and delta for the other kernel
    start, first, last, entry = _tile(tiles, OUTER)
    if start >= last:
        return
    head = tl.program_id(1).to(tl.int64)

    # [OUTER]
    query = start + tl.arange(0, OUTER)
    first_edge = tl.load(row_ptr + query, mask=query < last, other=0)
    last_edge = tl.load(row_ptr + query + 1, mask=query < last, other=0)
    lse_rows = tl.load(lse + head * n_atoms + query, mask=query < last, other=0.0) * LOG2E
    q_rows = _load_rows(q + head * q_head * 8, start, last, q_atom * 8, D, BLOCK_D, OUTER)
    dout_rows = _load_rows(dout + head * dout_head * 8, start, last, dout_atom * 8, D, BLOCK_D, OUTER)
    out_rows = _load_rows(out + head * D, start, last, n_heads * D, D, BLOCK_D, OUTER)
    delta_rows = tl.sum(dout_rows.to(tl.float32) * out_rows.to(tl.float32), axis=1)
    tl.store(delta + head * n_atoms + query, delta_rows, mask=query < last)

    dq_rows = tl.zeros([OUTER, BLOCK_D], tl.float32)
    for block in range(first, last, INNER):
        keys = block + tl.arange(0, INNER)
        k_rows = _load_rows(k + head * k_head * 8, block, last, k_atom * 8, D, BLOCK_D, INNER)
        v_rows = _load_rows(v + head * v_head * 8, block, last, v_atom * 8, D, BLOCK_D, INNER)
        # [OUTER, INNER]
        logits = _dot(q_rows, tl.trans(k_rows)) * (scale * LOG2E)
        n_slots = tl.load(slots + entry + (block - first) // INNER)
        if n_slots > 0:
            logits = _add_bias(logits, n_slots, first_edge, last_edge, keys, column, edge_bias, n_heads, head)
        # without the mask the weight of a missing key could be infinite, and infinity times 0 is not 0
        logits = tl.where((keys < last)[None, :], logits, float("-inf"))
        weight = tl.exp2(logits - lse_rows[:, None])
        dlogits = weight * (_dot(dout_rows, tl.trans(v_rows)) - delta_rows[:, None])
        if n_slots > 0:
            for slot in range(0, n_slots):
                # the gradient of an edge is that of its logit; its key lies in one block, so it is written once
                edge = first_edge + slot
                target = tl.load(column + edge, mask=edge < last_edge, other=-1)
                dedge = tl.sum(tl.where(target[:, None] == keys[None, :], dlogits, 0.0), axis=1)
                here = (target >= block) & (target < block + INNER)
                tl.store(dbias + edge.to(tl.int64) * n_heads + head, dedge, mask=here)
        dq_rows += _dot(dlogits.to(k_rows.dtype), k_rows)

    _store_rows(dq + head * grad_head * 8, dq_rows * scale, start, last, grad_atom * 8, D, BLOCK_D, OUTER)


@triton.jit(do_not_specialize=NUMBERS)
def bond_attention_bwd_dkdv_kernel(
    dout, q, k, v, edge_bias, lse, delta, key_ptr, source, edge_index, tiles, slots, dk, dv, scale, n_atoms, n_heads,
    dout_atom, dout_head, q_atom, q_head, k_atom, k_head, v_atom, v_head, grad_atom, grad_head,
    D: tl.constexpr, BLOCK_D: tl.constexpr, OUTER: tl.constexpr,
):  # fmt: skip
    # one program per OUTER keys of a crystal and head; logits are transposed, keys are rows
    start, first, last, entry = _tile(tiles, OUTER)
    if start >= last:
        return
    head = tl.program_id(1).to(tl.int64)

    # [OUTER]
    key = start + tl.arange(0, OUTER)
    first_edge = tl.load(key_ptr + key, mask=key < last, other=0)
    last_edge = tl.load(key_ptr + key + 1, mask=key < last, other=0)
    k_rows = _load_rows(k + head * k_head * 8, start, last, k_atom * 8, D, BLOCK_D, OUTER)
    v_rows = _load_rows(v + head * v_head * 8, start, last, v_atom * 8, D, BLOCK_D, OUTER)

    dk_rows = tl.zeros([OUTER, BLOCK_D], tl.float32)
    dv_rows = tl.zeros([OUTER, BLOCK_D], tl.float32)
    for block in range(first, last, INNER):
        queries = block + tl.arange(0, INNER)
        q_rows = _load_rows(q + head * q_head * 8, block, last, q_atom * 8, D, BLOCK_D, INNER)
        dout_rows = _load_rows(dout + head * dout_head * 8, block, last, dout_atom * 8, D, BLOCK_D, INNER)
        # a missing query adds nothing: its rows of q and dout are 0
        lse_rows = tl.load(lse + head * n_atoms + queries, mask=queries < last, other=0.0) * LOG2E
        delta_rows = tl.load(delta + head * n_atoms + queries, mask=queries < last, other=0.0)
        # [OUTER, INNER]
        logits = _dot(k_rows, tl.trans(q_rows)) * (scale * LOG2E)
        n_slots = tl.load(slots + entry + (block - first) // INNER)
        if n_slots > 0:
            for slot in range(0, n_slots):
                place = first_edge + slot
                origin = tl.load(source + place, mask=place < last_edge, other=-1)
                edge = tl.load(edge_index + place, mask=place < last_edge, other=0).to(tl.int64)
                bias = tl.load(edge_bias + edge * n_heads + head, mask=place < last_edge, other=0.0) * LOG2E
                logits += tl.where(origin[:, None] == queries[None, :], bias[:, None], 0.0)
        weight = tl.exp2(logits - lse_rows[None, :])
        dv_rows += _dot(weight.to(dout_rows.dtype), dout_rows)
        dlogits = weight * (_dot(v_rows, tl.trans(dout_rows)) - delta_rows[None, :])
        dk_rows += _dot(dlogits.to(q_rows.dtype), q_rows)

    _store_rows(dk + head * grad_head * 8, dk_rows * scale, start, last, grad_atom * 8, D, BLOCK_D, OUTER)
    _store_rows(dv + head * grad_head * 8, dv_rows, start, last, grad_atom * 8, D, BLOCK_D, OUTER)


def bond_attention_fwd(
    q: Tensor,  # [n_atoms, n_heads, d_head]
    k: Tensor,  # [n_atoms, n_heads, d_head]
    v: Tensor,  # [n_atoms, n_heads, d_head]
    edge_bias: Tensor,  # [n_bonds, n_heads]
    cu_seqlens: Tensor,  # [n_crystals + 1]
    row_ptr: Tensor,  # [n_atoms + 1]
    column: Tensor,  # [n_bonds]
    tiles: TileTable,
) -> tuple[Tensor, Tensor]:
    """Attention over the atoms of the same crystal with a bias on bonded pairs.

    Args:
        q: Queries, float32 or bfloat16; views whose last axis is contiguous are read in place. [n_atoms, n_heads, d_head]
        k: Keys. [n_atoms, n_heads, d_head]
        v: Values. [n_atoms, n_heads, d_head]
        edge_bias: Added to the logit of each edge, float32, in the order of `column`. [n_bonds, n_heads]
        cu_seqlens: First atom of each crystal, then n_atoms, int32. [n_crystals + 1]
        row_ptr: First edge of each source atom, then n_bonds, int32. [n_atoms + 1]
        column: Target atom of each edge, in the crystal of its source, int32. [n_bonds]
        tiles: `tile_table` of the last three.

    Returns:
        The weighted mean of v in the type of q, [n_atoms, n_heads, d_head], and the log of the sum of the exponentials of each row of
        logits, float32, [n_heads, n_atoms].
    """
    n_atoms, n_heads, _ = q.shape
    q, k, v = _rows_of_8(q), _rows_of_8(k), _rows_of_8(v)
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.empty(n_heads, n_atoms, dtype=torch.float32, device=q.device)
    arguments = (q, k, v, edge_bias.contiguous(), row_ptr.contiguous(), column.contiguous(), tiles.tiles, tiles.query_slots, out, lse)
    _launch("fwd", bond_attention_fwd_kernel, arguments, (q, k, v), tiles)
    return out, lse


def bond_attention_bwd(
    dout: Tensor,  # [n_atoms, n_heads, d_head]
    q: Tensor,  # [n_atoms, n_heads, d_head]
    k: Tensor,  # [n_atoms, n_heads, d_head]
    v: Tensor,  # [n_atoms, n_heads, d_head]
    edge_bias: Tensor,  # [n_bonds, n_heads]
    out: Tensor,  # [n_atoms, n_heads, d_head]
    lse: Tensor,  # [n_heads, n_atoms]
    cu_seqlens: Tensor,  # [n_crystals + 1]
    row_ptr: Tensor,  # [n_atoms + 1]
    column: Tensor,  # [n_bonds]
    tiles: TileTable,
    dq: Tensor,  # [n_atoms, n_heads, d_head]
    dk: Tensor,  # [n_atoms, n_heads, d_head]
    dv: Tensor,  # [n_atoms, n_heads, d_head]
) -> Tensor:
    """Gradients of `bond_attention_fwd`; the same numbers on every run.

    Args:
        dout: Gradient of `out`. [n_atoms, n_heads, d_head]
        q, k, v, edge_bias, cu_seqlens, row_ptr, column, tiles: As they went forward.
        out, lse: As they came back.
        dq, dk, dv: Gradients of q, k and v in the type of q, to be written. All three have the same strides, multiples of 8 but for the
            last, 1. [n_atoms, n_heads, d_head]

    Returns:
        Gradient of edge_bias, float32. [n_bonds, n_heads]
    """
    dout, q, k, v, edge_bias = _rows_of_8(dout), _rows_of_8(q), _rows_of_8(k), _rows_of_8(v), edge_bias.contiguous()
    out, lse, row_ptr, column = out.contiguous(), lse.contiguous(), row_ptr.contiguous(), column.contiguous()
    dbias = torch.empty(edge_bias.shape, dtype=torch.float32, device=q.device)
    delta = torch.empty_like(lse)
    inputs, strided = (dout, q, k, v), (dout, q, k, v, dq)
    arguments = (*inputs, edge_bias, out, lse, row_ptr, column, tiles.tiles, tiles.query_slots, dq, dbias, delta)
    _launch("bwd_dq", bond_attention_bwd_dq_kernel, arguments, strided, tiles)
    bonds = (tiles.key_ptr, tiles.source, tiles.edge_index, tiles.tiles, tiles.key_slots)
    _launch("bwd_dkdv", bond_attention_bwd_dkdv_kernel, (*inputs, edge_bias, lse, delta, *bonds, dk, dv), strided, tiles)
    return dbias


def _rows_of_8(x: Tensor) -> Tensor:
    """`x` itself where the kernels can read it in place, else a copy: the last axis contiguous, the other strides multiples of 8.

    The kernels count in 32 bits within a tile of 64 atoms, so an atom's stride has a limit too.
    """
    in_place = x.stride(2) == 1 and all(x.stride(axis) % 8 == 0 for axis in (0, 1) if x.shape[axis] > 1) and x.stride(0) < 2**24
    return x if in_place else x.clone(memory_format=torch.contiguous_format)


def _launch(name: str, kernel: triton.JITFunction, arguments: tuple[Tensor, ...], strided: tuple[Tensor, ...], tiles: TileTable) -> None:
    """Run a kernel over all tiles and heads; `strided` are the tensors whose strides it takes."""
    x = strided[0]
    n_atoms, n_heads, d_head = x.shape
    block_d = max(16, triton.next_power_of_2(d_head))
    architecture = family(torch.cuda.get_device_capability(x.device)) if x.is_cuda else 80
    chosen = configuration(name, x.dtype, block_d, architecture)
    grid = (len(tiles.tiles) * (_TILE // chosen.outer), n_heads)
    if 0 in grid:
        return
    # the stride of an axis of length 1 is never used and may be anything
    strides = [y.stride(axis) // 8 if y.shape[axis] > 1 else 0 for y in strided for axis in (0, 1)]
    device: AbstractContextManager = torch.cuda.device(x.device) if x.is_cuda else nullcontext()
    with device:
        kernel[grid](
            *arguments, d_head**-0.5, n_atoms, n_heads, *strides, D=d_head, BLOCK_D=block_d, OUTER=chosen.outer,
            num_warps=chosen.warps, num_stages=chosen.stages, maxnreg=chosen.registers,
        )  # fmt: skip

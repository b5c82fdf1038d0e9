"""Types of the native module; see csrc/bindings. Tensors are passed as addresses: call packflow.ops, which checks them."""

from collections.abc import Callable

# Address and strides of atoms and heads, in elements.
_Heads = tuple[int, int, int]
# Addresses of cu_seqlens, row_ptr, column and edge_bias; n_crystals, n_atoms, n_bonds, n_heads, d_head.
_BondedBatch = tuple[int, int, int, int, int, int, int, int, int]

def instruction_sets() -> list[str]: ...
def cuda_built() -> bool: ...
def check_crystals_float32(positions: int, cell: int, atom_ptr: int, n_crystals: int, n_atoms: int, cutoff: float) -> None: ...
def check_crystals_float64(positions: int, cell: int, atom_ptr: int, n_crystals: int, n_atoms: int, cutoff: float) -> None: ...

# positions, cell, atom_ptr, n_crystals, radii, in_clash, scale, then n_threads and instruction_set or the stream
clash_cpu_float32: Callable[..., None]
clash_cpu_float64: Callable[..., None]
clash_cuda_float32: Callable[..., None]
clash_cuda_float64: Callable[..., None]

def bond_attention_forward_float32(
    batch: _BondedBatch, q: _Heads, k: _Heads, v: _Heads, out: _Heads, lse: int, n_threads: int, instruction_set: str = ""
) -> None: ...
def bond_attention_forward_bfloat16(
    batch: _BondedBatch, q: _Heads, k: _Heads, v: _Heads, out: _Heads, lse: int, n_threads: int, instruction_set: str = ""
) -> None: ...
def bond_attention_backward_float32(
    batch: _BondedBatch,
    q: _Heads,
    k: _Heads,
    v: _Heads,
    out: _Heads,
    lse: int,
    grad_out: _Heads,
    grad_q: _Heads,
    grad_k: _Heads,
    grad_v: _Heads,
    grad_edge_bias: int,
    n_threads: int,
    instruction_set: str = "",
) -> None: ...
def bond_attention_backward_bfloat16(
    batch: _BondedBatch,
    q: _Heads,
    k: _Heads,
    v: _Heads,
    out: _Heads,
    lse: int,
    grad_out: _Heads,
    grad_q: _Heads,
    grad_k: _Heads,
    grad_v: _Heads,
    grad_edge_bias: int,
    n_threads: int,
    instruction_set: str = "",
) -> None: ...

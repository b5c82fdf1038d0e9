"""Types of the native module; see csrc/bindings. Tensors are passed as addresses: call packflow.ops, which checks them."""

from collections.abc import Callable

# Addresses of positions, cell and atom_ptr; n_crystals, n_atoms.
_Crystals = tuple[int, int, int, int, int]
# Address and strides of atoms and heads, in elements.
_Heads = tuple[int, int, int]
# Addresses of cu_seqlens, row_ptr, column and edge_bias; n_crystals, n_atoms, n_bonds, n_heads, d_head.
_BondedBatch = tuple[int, int, int, int, int, int, int, int, int]

def instruction_sets() -> list[str]: ...
def cuda_built() -> bool: ...
def crystal_problems_float32(crystals: _Crystals, cutoff: int) -> list[str]: ...
def crystal_problems_float64(crystals: _Crystals, cutoff: int) -> list[str]: ...

# crystals, radii, scale, in_clash, then n_threads and instruction_set or the stream
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

"""Types of the native module; see csrc/bindings. Tensors are passed as addresses: call packflow.ops, which checks them."""

from collections.abc import Callable

# Addresses of positions, cell and atom_ptr; n_crystals, n_atoms.
_Crystals = tuple[int, int, int, int, int]
# Address and strides of atoms and heads, in elements.
_Heads = tuple[int, int, int]
# Addresses of cu_seqlens, row_ptr, column and edge_bias; n_crystals, n_atoms, n_bonds, n_heads, d_head.
_BondedBatch = tuple[int, int, int, int, int, int, int, int, int]
# Addresses of state, velocity, history and noise, the last 0 for none.
_OdeChannel = tuple[int, int, int, int]
# Positions, lattice, addresses of coefficients and atom_ptr, n_crystals, address of finite.
_OdeBatch = tuple[_OdeChannel, _OdeChannel, int, int, int, int]
# Addresses of positions, source_state, target_state, source, target and known; n_atoms, n_pairs.
_PairBatch = tuple[int, int, int, int, int, int, int, int]
# Addresses of pair, mix, mix_bias and step; step_bias, address of centers, width, softening.
_RefinementWeights = tuple[int, int, int, int, float, int, float, float]
# Address of pointers, n_atoms, addresses of places and gradients.
_BondedGather = tuple[int, int, int, int]

def instruction_sets() -> list[str]: ...
def cuda_built() -> bool: ...
def crystal_problems_float32(crystals: _Crystals, cutoff: int) -> list[str]: ...
def crystal_problems_float64(crystals: _Crystals, cutoff: int) -> list[str]: ...

# Kernels on crystals: the batch, the arguments in the order of their header, then n_threads and instruction_set or the stream.
_Kernel = Callable[..., None]

amd_cpu_float32: _Kernel
amd_cpu_float64: _Kernel
amd_cuda_float32: _Kernel
amd_cuda_float64: _Kernel
clash_cpu_float32: _Kernel
clash_cpu_float64: _Kernel
clash_cuda_float32: _Kernel
clash_cuda_float64: _Kernel
count_neighbors_cpu_float32: _Kernel
count_neighbors_cpu_float64: _Kernel
count_neighbors_cuda_float32: _Kernel
count_neighbors_cuda_float64: _Kernel
min_image_cpu_float32: _Kernel
min_image_cpu_float64: _Kernel
min_image_cuda_float32: _Kernel
min_image_cuda_float64: _Kernel
pdd_cpu_float32: _Kernel
pdd_cpu_float64: _Kernel
pdd_cuda_float32: _Kernel
pdd_cuda_float64: _Kernel
rdf_cpu_float32: _Kernel
rdf_cpu_float64: _Kernel
rdf_cuda_float32: _Kernel
rdf_cuda_float64: _Kernel
write_neighbors_cpu_float32: _Kernel
write_neighbors_cpu_float64: _Kernel
write_neighbors_cuda_float32: _Kernel
write_neighbors_cuda_float64: _Kernel

# Addresses, counts and numbers of EwaldInput or NonbondedInput, in the order of their header.
_Input = tuple[tuple[int, ...], tuple[int, ...], tuple[float, ...]]
# Addresses of EwaldOutput or NonbondedOutput.
_Output = tuple[int, ...]

def ewald_cpu(input: _Input, output: _Output, n_threads: int, instruction_set: str = "") -> None: ...
def ewald_cuda(input: _Input, output: _Output, waves: tuple[int, int, int, int], stream: int) -> None: ...
def nonbonded_cpu(input: _Input, pairs: tuple[int, int, int], output: _Output, n_threads: int, instruction_set: str = "") -> None: ...
def nonbonded_cuda(input: _Input, pairs: tuple[int, int, int], output: _Output, of_atoms: int, stream: int) -> None: ...
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

# Addresses of positions, atom_ptr, kind, atoms, parameters and term_ptr; n_structures; addresses of energy, forces and virial.
def bonded_cpu(given: tuple[int, ...], n_structures: int, out: tuple[int, ...], n_threads: int) -> None: ...
def bonded_cuda(given: tuple[int, ...], n_structures: int, out: tuple[int, ...], gather: _BondedGather, stream: int) -> None: ...
def first_fit_cpu(
    tries: tuple[int, int, int, int], shape: tuple[int, int, int], copies: tuple[int, int, int, int], n_threads: int
) -> int: ...
def ode_cpu_float32(batch: _OdeBatch, center: bool, n_threads: int) -> None: ...
def ode_cpu_float64(batch: _OdeBatch, center: bool, n_threads: int) -> None: ...
def ode_cuda_float32(batch: _OdeBatch, center: bool, stream: int) -> None: ...
def ode_cuda_float64(batch: _OdeBatch, center: bool, stream: int) -> None: ...

# Addresses of element, role, atom_ptr and species, n_kinds; of positions, cell, kind, molecule_ptr and reach, n_structures; of pairs,
# n_pairs, n_molecules, tolerance, mirror; of n_matched and rmsd.
def packing_similarity_cpu(
    kinds: tuple[int, int, int, int, int],
    packings: tuple[int, int, int, int, int, int],
    task: tuple[int, int, int, float, bool],
    n_matched: int,
    rmsd: int,
    n_threads: int,
) -> None: ...
def pair_refinement_cpu(batch: _PairBatch, weights: _RefinementWeights, moved: int, n_threads: int, instruction_set: str = "") -> None: ...

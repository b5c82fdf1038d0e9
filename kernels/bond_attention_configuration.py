"""Block sizes and resources of the attention kernels by number type, head dimension and GPU.

Chosen by compiling ahead of time (tests/kernels/compile_bond_attention.py): no spilled register and at least two blocks per
multiprocessor everywhere. Nothing here was timed.
"""

from typing import NamedTuple

import torch


class Configuration(NamedTuple):
    """How one kernel is compiled.

    outer:     atoms that a program owns, 64 or 32.
    warps:     warps of a program.
    stages:    blocks of the crystal in flight.
    registers: most registers of a thread; None lets the compiler choose.
    """

    outer: int = 64
    warps: int = 4
    stages: int = 2
    registers: int | None = None


_BF16, _FP32 = torch.bfloat16, torch.float32
_DEEPER = Configuration(stages=3)
_NO_OVERLAP = Configuration(stages=1)
_MOST_REGISTERS = Configuration(registers=255)
_MORE_WARPS = Configuration(warps=8, registers=128)
_SMALLER = Configuration(outer=32)
_SMALLER_MOST_REGISTERS = Configuration(outer=32, registers=255)

# kernel, type, head dimension rounded up, architecture; everything else compiles well as Configuration()
_EXCEPTIONS = {
    ("bwd_dq", _BF16, 128, 80): _NO_OVERLAP,
    ("bwd_dkdv", _BF16, 64, 80): _DEEPER,
    ("bwd_dkdv", _BF16, 128, 80): _NO_OVERLAP,
    ("bwd_dkdv", _BF16, 128, 90): _NO_OVERLAP,
    ("fwd", _FP32, 64, 80): _MOST_REGISTERS,
    ("fwd", _FP32, 128, 100): _SMALLER,
    ("bwd_dq", _FP32, 32, 90): _MORE_WARPS,
    ("bwd_dq", _FP32, 32, 100): _MORE_WARPS,
    ("bwd_dq", _FP32, 64, 80): _MORE_WARPS,
    ("bwd_dq", _FP32, 64, 90): _SMALLER,
    ("bwd_dq", _FP32, 64, 100): _SMALLER,
    ("bwd_dq", _FP32, 128, 80): _SMALLER_MOST_REGISTERS,
    ("bwd_dq", _FP32, 128, 90): _SMALLER,
    ("bwd_dq", _FP32, 128, 100): _SMALLER,
    ("bwd_dkdv", _FP32, 32, 90): _SMALLER,
    ("bwd_dkdv", _FP32, 32, 100): _SMALLER,
    ("bwd_dkdv", _FP32, 64, 80): _SMALLER_MOST_REGISTERS,
    ("bwd_dkdv", _FP32, 64, 90): _SMALLER,
    ("bwd_dkdv", _FP32, 64, 100): _SMALLER,
    ("bwd_dkdv", _FP32, 128, 80): _SMALLER_MOST_REGISTERS,
    ("bwd_dkdv", _FP32, 128, 90): _SMALLER,
    ("bwd_dkdv", _FP32, 128, 100): _SMALLER,
}


def family(capability: tuple[int, int]) -> int:
    """The architecture whose configurations a GPU of this compute capability uses: 80, 90 or 100."""
    return {9: 90, 10: 100, 11: 100}.get(capability[0], 80)


def configuration(
    kernel: str,  # "fwd", "bwd_dq" or "bwd_dkdv"
    dtype: torch.dtype,
    block_d: int,  # head dimension rounded up to 16, 32, 64 or 128
    architecture: int,  # 80, 90 or 100
) -> Configuration:
    """The entry of the table."""
    return _EXCEPTIONS.get((kernel, dtype, block_d, architecture), Configuration())

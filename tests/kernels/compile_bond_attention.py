"""Compiles the Triton attention kernels for GPUs that need not be there and prints what they take of a multiprocessor.

    python compile_bond_attention.py                      every kernel, as a Markdown table
    python compile_bond_attention.py docs/attention.md    the same, put between the markers of that file
    python compile_bond_attention.py --json < kernels.json    the given [kernel, type, d_head, architecture], one JSON object a line

The numbers depend on the version of Triton and of the assembler that comes with it.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import triton
from triton.backends import nvidia
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from packflow.kernels import bond_attention
from packflow.kernels.bond_attention_configuration import configuration

KERNELS = {
    "fwd": bond_attention.bond_attention_fwd_kernel,
    "bwd_dq": bond_attention.bond_attention_bwd_dq_kernel,
    "bwd_dkdv": bond_attention.bond_attention_bwd_dkdv_kernel,
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
HEAD_DIMS = (16, 32, 40, 64, 80, 128)
ARCHITECTURES = (80, 90, 100)

FLOAT32 = {"edge_bias", "lse", "delta", "dbias"}
INT32 = {"row_ptr", "column", "tiles", "slots", "key_ptr", "source", "edge_index"}
REGISTERS = 65536  # of a multiprocessor; a thread gets a multiple of 8
SHARED = {80: 164 * 1024, 90: 228 * 1024, 100: 228 * 1024}  # bytes of a multiprocessor, 1024 of them per block for the driver
TENSOR_COLUMNS = 512  # of the tensor memory of a multiprocessor of sm_100
MARKERS = ("<!-- begin compile_bond_attention.py -->\n", "<!-- end compile_bond_attention.py -->\n")


def compiled(kernel, dtype, d_head, architecture):
    """The kernel as a launch on that architecture would compile it."""
    function = KERNELS[kernel]
    block_d = max(16, triton.next_power_of_2(d_head))
    chosen = configuration(kernel, DTYPES[dtype], block_d, architecture)
    constants = {"D": d_head, "BLOCK_D": block_d, "OUTER": chosen.outer}
    numbers = dict.fromkeys(bond_attention.NUMBERS, "i32") | {"scale": "fp32"} | dict.fromkeys(constants, "constexpr")
    pointers = {name: "*fp32" if name in FLOAT32 else "*i32" if name in INT32 else f"*{dtype}" for name in function.arg_names}
    source = ASTSource(
        fn=function,
        signature={name: numbers.get(name, pointers[name]) for name in function.arg_names},
        constexprs={(function.arg_names.index(name),): value for name, value in constants.items()},
        attrs={(i,): [["tt.divisibility", 16]] for i, name in enumerate(function.arg_names) if name not in numbers},
    )
    options = {"num_warps": chosen.warps, "num_stages": chosen.stages, "maxnreg": chosen.registers}
    return chosen, triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)


def resources(kernel, dtype, d_head, architecture):
    """What a block takes, how many fit a multiprocessor, copies that overlap with arithmetic, and what multiplies matrices."""
    chosen, binary = compiled(kernel, dtype, d_head, architecture)
    tools = Path(nvidia.__file__).parent / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary.asm["cubin"])
        file.flush()
        usage = subprocess.run([tools / "cuobjdump", "--dump-resource-usage", file.name], capture_output=True, text=True, check=True).stdout
        code = subprocess.run([tools / "nvdisasm", "-c", file.name], capture_output=True, text=True, check=True).stdout
    registers, stack = (int(re.search(rf"{name}:(\d+)", usage)[1]) for name in ("REG", "STACK"))
    shared = binary.metadata.shared
    columns = getattr(binary.metadata, "tmem_size", None) or 0
    fits = [
        REGISTERS // (-(-registers // 8) * 8 * 32 * chosen.warps),
        SHARED[architecture] // (shared + 1024),
        2048 // (32 * chosen.warps),
        *([TENSOR_COLUMNS // columns] if columns else []),
    ]
    instructions = ("UTCHMMA", "HGMMA", "HMMA", "FFMA")
    found = next(name for name in instructions if re.search(rf"\s{name}\b", code))
    return {
        "kernel": kernel, "dtype": dtype, "d_head": d_head, "architecture": architecture, "outer": chosen.outer, "warps": chosen.warps,
        "stages": chosen.stages, "registers": registers, "stack": stack, "shared": shared, "tensor_columns": columns,
        "blocks": min(fits), "copies": len(re.findall(r"\sLDGSTS\b", code)), "instruction": found,
    }  # fmt: skip


def markdown(rows):
    """The table of docs/attention.md."""
    head = [
        "kernel",
        "type",
        "d",
        "sm",
        "owned",
        "warps",
        "stages",
        "registers",
        "stack",
        "shared B",
        "tensor columns",
        "blocks",
        "copies",
        "instruction",
    ]
    lines = [f"Triton {triton.__version__}.\n", f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(map(str, row.values()))} |" for row in rows]
    return "\n".join(lines) + "\n"


def main():
    if sys.argv[1:] == ["--json"]:
        for kernel in json.load(sys.stdin):
            print(json.dumps(resources(*kernel)), flush=True)
        return
    table = markdown([resources(k, t, d, a) for k in KERNELS for t in DTYPES for d in HEAD_DIMS for a in ARCHITECTURES])
    if not sys.argv[1:]:
        print(table)
        return
    page = Path(sys.argv[1])
    before, rest = page.read_text().split(MARKERS[0])
    page.write_text(before + MARKERS[0] + table + MARKERS[1] + rest.split(MARKERS[1])[1])


if __name__ == "__main__":
    main()

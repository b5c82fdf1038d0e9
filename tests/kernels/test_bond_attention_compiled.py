"""Triton attention compiled ahead of time for three architectures: no spills, two blocks per multiprocessor, tensor cores in use."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "compile_bond_attention.py"
PAGE = Path(__file__).parents[2] / "docs" / "attention.md"
KERNELS = ("fwd", "bwd_dq", "bwd_dkdv")
ARCHITECTURES = (80, 90, 100)
TENSOR_CORE = {80: "HMMA", 90: "HGMMA", 100: "UTCHMMA"}  # instructions of sm_80, sm_90 and sm_100

# the two released head dimensions that train in bfloat16, and one with masked numbers
FEW = [[k, "bf16", 64, a] for k in KERNELS for a in ARCHITECTURES] + [["fwd", "bf16", 40, 80], ["fwd", "fp32", 32, 90]]
ALL = [[k, t, d, a] for k in KERNELS for t in ("fp32", "bf16") for d in range(8, 129, 8) for a in ARCHITECTURES]


def compile_all(kernels):
    """Resources of the given kernels from one process that has not imported Triton as an interpreter."""
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, str(SCRIPT), "--json"]
    done = subprocess.run(command, input=json.dumps(kernels), capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return {tuple(kernel): json.loads(line) for kernel, line in zip(kernels, done.stdout.splitlines(), strict=True)}


def check(found):
    assert found["stack"] == 0, f"registers spill: {found}"
    assert found["registers"] <= 255
    assert found["blocks"] >= 2, f"fewer than two blocks per multiprocessor: {found}"
    assert (found["copies"] > 0) == (found["stages"] > 1), f"loads do not overlap with arithmetic: {found}"
    assert found["instruction"] == (TENSOR_CORE[found["architecture"]] if found["dtype"] == "bf16" else "FFMA"), found


@pytest.fixture(scope="session")
def few():
    return compile_all(FEW)


@pytest.fixture(scope="session")
def everything():
    return compile_all(ALL)


@pytest.mark.parametrize("kernel", FEW, ids=lambda kernel: "-".join(map(str, kernel)))
def test_kernel_fits_twice(kernel, few):
    check(few[tuple(kernel)])


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ALL, ids=lambda kernel: "-".join(map(str, kernel)))
def test_every_kernel_fits_twice(kernel, everything):
    check(everything[tuple(kernel)])


def test_page_states_what_was_compiled(few):
    page = PAGE.read_text()
    for found in few.values():
        row = f"| {' | '.join(map(str, found.values()))} |"
        assert row in page, f"run {SCRIPT.name} docs/attention.md; missing: {row}"

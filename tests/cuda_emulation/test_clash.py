"""The CUDA kernel of clash, run on the CPU, against the CPU kernel; and what nvcc makes of it."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from packflow.ops import clash

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc"


@pytest.fixture(scope="module")
def library(emulate):
    return emulate(HERE / "clash_entry.cpp")


@pytest.fixture
def run(tmp_path):
    def run(library, batch, scale, order=0, environment=None):
        case, out = tmp_path / "case.npz", tmp_path / "out.npy"
        names = ("positions", "cell", "atom_ptr", "radii")
        np.savez(case, scale=scale, **{name: x.numpy() for name, x in zip(names, batch, strict=True)})
        command = [sys.executable, HERE / "run_clash.py", library, case, str(order), out]
        result = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr[-4000:]
        return torch.from_numpy(np.load(out))

    return run


def batches(random_crystals, dtype):
    """Sizes around the block of 64 threads, and cells smaller than the cutoff."""
    positions, cell, atom_ptr, radii = random_crystals([0, 1, 2, 31, 63, 64, 65, 128, 130], dtype=dtype)
    yield positions, cell, atom_ptr, radii
    yield random_crystals([1, 1, 2, 5, 66], dtype=dtype, volume_per_atom=1.0)
    yield random_crystals([1, 2, 5], dtype=dtype, volume_per_atom=60.0)


@pytest.mark.parametrize("order", [0, 1, 2], ids=["ascending", "descending", "random"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_emulated_equals_cpu(library, run, random_crystals, dtype, order):
    for batch in batches(random_crystals, dtype):
        for scale in (0.6, 1.0):
            expected = clash(*batch, scale).to(torch.uint8)
            assert torch.equal(run(library, batch, scale, order), expected)


def test_clean_under_sanitizers(emulate, run, random_crystals, sanitizer_environment):
    library = emulate(HERE / "clash_entry.cpp", sanitize=True)
    for dtype in (torch.float32, torch.float64):
        for batch in batches(random_crystals, dtype):
            expected = clash(*batch).to(torch.uint8)
            assert torch.equal(run(library, batch, 0.75, environment=sanitizer_environment), expected)


def test_a_missing_barrier_is_seen(emulate, run, random_crystals, tmp_path):
    """Without the barriers the kernel must fail the test above, or that test proves little."""
    changed = tmp_path / "csrc"
    shutil.copytree(CSRC, changed)
    source = (changed / "cuda" / "clash.cu").read_text()
    assert source.count("__syncthreads();") == 2
    (changed / "cuda" / "clash.cu").write_text(source.replace("__syncthreads();", ""))
    library = emulate(HERE / "clash_entry.cpp", csrc=changed)
    batch = random_crystals([64, 130])
    expected = clash(*batch, 1.0).to(torch.uint8)
    assert any(not torch.equal(run(library, batch, 1.0, order), expected) for order in (0, 1, 2))


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_kernel_keeps_to_registers(architecture, tmp_path):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not on this machine")
    flags = ["-std=c++17", "--fmad=false", f"-arch={architecture}", "-cubin", "--resource-usage", f"-I{CSRC / 'include'}"]
    command = [nvcc, *flags, "-o", str(tmp_path / "clash.cubin"), str(CSRC / "cuda" / "clash.cu")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    usage = [line.strip() for line in (result.stdout + result.stderr).splitlines() if "stack frame" in line]
    assert usage == 2 * ["0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"]

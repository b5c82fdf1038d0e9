"""What nvcc makes of the kernels: nothing lies in local memory, that is no stack and no spilled register."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[2] / "csrc"


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("source", sorted(CSRC.glob("cuda/*.cu")), ids=lambda source: source.stem)
def test_kernels_keep_to_registers(source, architecture, tmp_path):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not on this machine")
    flags = ["-std=c++17", "--fmad=false", f"-arch={architecture}", "-cubin", "--resource-usage", f"-I{CSRC / 'include'}"]
    command = [nvcc, *flags, "-o", str(tmp_path / "kernels.cubin"), str(source)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    report = result.stdout + result.stderr
    usage = {line.strip() for line in report.splitlines() if "stack frame" in line}
    assert usage == {"0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"}
    # As many as leave room for two blocks of 128 threads on a multiprocessor.
    assert all(int(n) <= 168 for n in re.findall(r"Used (\d+) registers", report))

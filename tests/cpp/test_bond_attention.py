"""The C++ core of the attention under the address and undefined-behaviour sanitizers, without Python or torch in the process."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc"
LEVELS = {"baseline": [], "avx2": ["-march=x86-64-v3"], "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"]}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """bond_attention.cpp linked with the kernels of every instruction set that the compiler can make."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not on this machine")
    x86 = platform.machine() in ("x86_64", "AMD64")
    folder = tmp_path_factory.mktemp("attention")
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-fopenmp", "-ffp-contract=fast", f"-I{CSRC / 'include'}"]
    flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    flags += ["-DPACKFLOW_X86_LEVELS"] if x86 else []
    sources = {CSRC / "cpu" / "bond_attention.cpp": [], CSRC / "cpu" / "instruction_set.cpp": [], HERE / "bond_attention.cpp": []}
    for level, options in LEVELS.items():
        if x86 or level == "baseline":
            sources[CSRC / "cpu" / f"bond_attention_{level}.cpp"] = options
    objects = [folder / f"{i}.o" for i in range(len(sources))]
    for (source, options), made in zip(sources.items(), objects, strict=True):
        subprocess.run([compiler, *flags, *options, "-c", source, "-o", made], check=True)
    subprocess.run([compiler, *flags, *objects, "-o", folder / "program"], check=True)
    return folder / "program"


def test_awkward_batches_touch_only_their_own_memory(program):
    # libgomp keeps its threads' memory for the next parallel region.
    environment = {**os.environ, "OMP_NUM_THREADS": "3", "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.count("2000 atoms") >= 1

"""Links programs with the C++ core alone, under the address and undefined-behaviour sanitizers."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc"
LEVELS = {"baseline": [], "avx2": ["-march=x86-64-v3"], "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"]}
FLAGS = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-fopenmp", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture
def run_sanitized(tmp_path):
    """A function that runs a program of this folder with the kernels of some ops for every instruction set that the compiler can make."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not on this machine")
    x86 = platform.machine() in ("x86_64", "AMD64")

    def run(program, ops, others=(), contract="off"):
        flags = [*FLAGS, f"-ffp-contract={contract}", f"-I{CSRC / 'include'}", *(["-DPACKFLOW_X86_LEVELS"] if x86 else [])]
        sources = {HERE / program: []}
        sources |= {CSRC / "cpu" / f"{name}.cpp": [] for name in ("instruction_set", *others, *ops)}
        for level in LEVELS if x86 else ["baseline"]:
            sources |= {CSRC / "cpu" / f"{op}_{level}.cpp": LEVELS[level] for op in ops}
        objects = [tmp_path / f"{k}.o" for k in range(len(sources))]
        for (source, options), made in zip(sources.items(), objects, strict=True):
            subprocess.run([compiler, *flags, *options, "-c", source, "-o", made], check=True)
        subprocess.run([compiler, *flags, *objects, "-o", tmp_path / "program"], check=True)
        # libgomp keeps its threads' memory for the next parallel region.
        environment = {**os.environ, "OMP_NUM_THREADS": "3", "ASAN_OPTIONS": "detect_leaks=0"}
        done = subprocess.run([tmp_path / "program"], capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr[-3000:]
        return done.stdout

    return run

"""Compiles CUDA sources with g++ against the emulation header."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc"
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="session")
def emulate(tmp_path_factory):
    """A function that makes a shared library of a source file; `csrc` may be a changed copy of ours."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not on this machine")

    def compile_source(source, sanitize=False, csrc=CSRC):
        library = tmp_path_factory.mktemp("emulated") / "library.so"
        flags = ["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-fvisibility-inlines-hidden"]
        folders = [f"-I{HERE}", f"-I{csrc}", f"-I{csrc / 'include'}"]
        sanitizers = SANITIZERS if sanitize else []
        subprocess.run([compiler, *flags, *sanitizers, *folders, "-fPIC", "-shared", str(source), "-o", str(library)], check=True)
        return library

    return compile_source


@pytest.fixture(scope="session")
def sanitizer_environment():
    """Environment in which an unsanitized program can load a sanitized library."""
    runtime = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
    # Python itself leaks by the standards of ASan, and its own allocator would hide overruns of small arrays.
    return {**os.environ, "LD_PRELOAD": str(Path(runtime).resolve()), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}

"""Compiles CUDA sources with g++ against the emulation header and runs them in a process of their own."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc"
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# Functions of each .cu file.
OPS = {
    "amd": ["amd", "pdd"],
    "bonded": ["bonded"],
    "clash": ["clash"],
    "ewald": ["ewald"],
    "min_image": ["min_image"],
    "neighbors": ["count_neighbors", "write_neighbors"],
    "nonbonded": ["nonbonded"],
    "ode": ["ode"],
    "rdf": ["rdf"],
}
# Functions that are no templates.
FLOAT64_ONLY = {"bonded", "ewald", "nonbonded"}


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
def emulated_op(emulate, tmp_path_factory):
    """A function that makes the library of a .cu file; `change` is a file of csrc/cuda, a text in it, and what takes its place."""

    @functools.cache
    def compile_op(op, sanitize=False, change=None):
        folder = tmp_path_factory.mktemp(op)
        entries = "".join(f"EMULATED{'_FLOAT64' if function in FLOAT64_ONLY else ''}({function})\n" for function in OPS[op])
        source = folder / "entry.cpp"
        source.write_text(f'#include "cuda/{op}.cu"\n#include "entry.h"\n{entries}')
        if change is None:
            return emulate(source, sanitize)
        name, old, new = change
        shutil.copytree(CSRC, folder / "csrc")
        changed = folder / "csrc" / "cuda" / name
        text = changed.read_text()
        assert old in text
        changed.write_text(text.replace(old, new))
        return emulate(source, sanitize, folder / "csrc")

    return compile_op


@pytest.fixture(scope="session")
def sanitizer_environment():
    """Environment in which an unsanitized program can load a sanitized library."""
    runtime = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
    # Python itself leaks by the standards of ASan, and its own allocator would hide overruns of small arrays.
    return {**os.environ, "LD_PRELOAD": str(Path(runtime).resolve()), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}


@pytest.fixture
def run_arguments(emulated_op, sanitizer_environment, tmp_path):
    """A function that runs an emulated kernel of a dtype; its arguments afterwards, for each order of threads.

    All orders, but only the random one under the sanitizers. Arguments are tensors, numpy arrays and numbers of the right type, in
    the order of the C++ function; "group.member" is a member of the struct "group".
    """

    def run_arguments(function, dtype, arguments, sanitize=False, change=None):
        case, out = tmp_path / "case.npz", tmp_path / "out.npz"
        np.savez(case, **{name: np.asarray(x) for name, x in arguments.items()})
        op = next(op for op, functions in OPS.items() if function in functions)
        library = emulated_op(op, sanitize, change)
        orders = "2" if sanitize else "012"
        command = [sys.executable, HERE / "run.py", library, f"{function}_{str(dtype).removeprefix('torch.')}", case, orders, out]
        environment = sanitizer_environment if sanitize else None
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-4000:])
        results = np.load(out)
        return [{name: torch.from_numpy(results[f"{order} {name}"]) for name in arguments} for order in orders]

    return run_arguments


@pytest.fixture
def run(run_arguments):
    """`run_arguments` for a kernel whose first argument is the batch (positions, cell, atom_ptr)."""

    def run(function, batch, sanitize=False, change=None, **arguments):
        positions, cell, atom_ptr = batch[:3]
        crystals = {"positions": positions, "cell": cell, "atom_ptr": atom_ptr, "n_crystals": len(cell), "n_atoms": len(positions)}
        given = {**{f"crystals.{name}": x for name, x in crystals.items()}, **arguments}
        return run_arguments(function, positions.dtype, given, sanitize, change)

    return run


def crystal(cell, positions):
    """A batch of one crystal, in float64."""
    positions = torch.tensor(positions, dtype=torch.float64).reshape(-1, 3)
    return positions, torch.tensor(cell, dtype=torch.float64)[None], torch.tensor([0, len(positions)], dtype=torch.int32)


def near(positions, cell, atom_ptr, _):
    """The atoms moved to within a cell of the origin: the slow reference visits all images between the outermost atoms."""
    cells = cell.repeat_interleave(atom_ptr.diff().long(), dim=0)
    fractional = torch.einsum("ni,nij->nj", positions, cells.inverse())
    return torch.einsum("ni,nij->nj", (fractional + 1) % 2 - 1, cells), cell, atom_ptr


@pytest.fixture(scope="session")
def awkward(random_crystals):
    """A function that makes one batch, without radii, of crystals of all kinds that a periodic search can stumble over."""
    cube = torch.eye(3).mul(3.0).tolist()
    grid = torch.cartesian_prod(*3 * [torch.arange(2.0)]).mul(3.0).tolist()
    needle = [[1.1, 0.0, 0.0], [0.4, 14.0, 0.0], [-0.3, 2.0, 15.0]]
    skewed = [[5.0, 0.0, 0.0], [4.9, 1.6, 0.0], [-2.6, -3.0, 6.0]]
    batches = [
        # Sizes around a warp and a block.
        near(*random_crystals([0, 1, 2, 31, 32, 33, 0, 63, 64, 65])),
        # Cells smaller than the cutoff.
        near(*random_crystals([1, 2, 5], volume_per_atom=4.0)),
        # One candidate image per pair.
        near(*random_crystals([1, 2, 3, 40], volume_per_atom=200.0)),
        crystal(cube, [0, 0, 0]),
        crystal((2 * torch.tensor(cube)).tolist(), grid),
        crystal(needle, [[0.2, 0.3, 0.4], [0.8, 9.0, 3.0]]),
        crystal(skewed, [[0.2, 0.3, 0.4], [3.0, 0.1, 5.0], [3.0, 0.1, 5.0]]),
        # 40 cells outside, and an atom on a face.
        crystal([[6.0, 0.5, 0.0], [0.0, 7.0, 0.3], [0.0, 0.0, 8.0]], [[-239.0, -19.5, 0.6], [3.0, 0.25, 0.0], [0.0, 0.0, 0.0]]),
    ]
    sizes = [n for _, _, atom_ptr in batches for n in atom_ptr.diff().tolist()]
    positions, cell = (torch.cat([b[k].double() for b in batches]) for k in (0, 1))
    atom_ptr = torch.tensor([0, *torch.tensor(sizes).cumsum(0).tolist()], dtype=torch.int32)

    def make(dtype=torch.float64):
        return positions.to(dtype), cell.to(dtype), atom_ptr

    return make

"""Triton attention against a dense float64 reference: in the interpreter everywhere, on a device where there is one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "run_bond_attention.py"
HEAD_DIMS = (8, 16, 24, 32, 40, 64, 80, 128)
# sums of some hundred float32 terms; the interpreter rounds to bfloat16 by cutting off, errors up to 2**-8 in outputs and weights
LIMITS = {"float32": 3e-6, "bfloat16": 8e-3}
DEVICE_LIMITS = {"float32": 1e-5, "bfloat16": 6e-3}  # exp2 is approximate and crystals are larger; bfloat16 is rounded to nearest

RAGGED = [1, 31, 32, 33, 63, 64, 65, 130]  # around the sizes of blocks and tiles
CASES = {
    **{f"{d}-{t}": {"sizes": [3, 66], "d_head": d, "dtype": t, "n_heads": 2 if d == 40 else 1} for d in HEAD_DIMS for t in LIMITS},
    "ragged": {"sizes": RAGGED, "d_head": 16},
    "ragged-bfloat16": {"sizes": RAGGED, "d_head": 16, "dtype": "bfloat16"},
    "no atoms": {"sizes": [], "d_head": 16},
    "empty crystals": {"sizes": [0, 5, 0, 40, 0], "d_head": 16, "n_heads": 2},
    "crystals of one atom": {"sizes": [1, 1, 1], "d_head": 16, "bonds": "loops"},
    "no bonds": {"sizes": [40, 65], "d_head": 16, "bonds": "none"},
    "self-loops": {"sizes": [5, 70], "d_head": 16, "bonds": "loops"},
    "duplicate edges": {"sizes": [5, 70], "d_head": 16, "bonds": "duplicates"},
    "bonds across the crystal": {"sizes": [40, 130], "d_head": 16, "bonds": "far"},
    "edges in one direction": {"sizes": [5, 70], "d_head": 16, "bonds": "one way"},
    "an atom bonded to all": {"sizes": [5, 70], "d_head": 16, "bonds": "star"},
    "large biases": {"sizes": [5, 70], "d_head": 16, "bias": 20.0},
    "forbidden pairs": {"sizes": [5, 70], "d_head": 16, "bonds": "forbidden"},
    "part of a fused tensor": {"sizes": [5, 70], "d_head": 40, "n_heads": 3, "layout": "fused"},
    "heads first": {"sizes": [5, 70], "d_head": 16, "n_heads": 3, "layout": "heads first"},
    "rows at odd places": {"sizes": [5, 70], "d_head": 16, "n_heads": 2, "layout": "odd"},
    "random batches": {"random": 15},
}
LARGE = {
    f"{n}-{heads}x{d}-{t}": {"sizes": [n] * 4 + [31, 186], "d_head": d, "n_heads": heads, "dtype": t}
    for n, heads, d in ((120, 10, 64), (250, 8, 32), (250, 16, 80), (250, 8, 40), (2000, 2, 128))
    for t in LIMITS
}


def run(cases, device, environment):
    """Errors of all cases from one process."""
    environment = {**os.environ, **environment, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), device]
    done = subprocess.run(command, input=json.dumps(list(cases.values())), capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(cases, map(json.loads, done.stdout.splitlines()), strict=True))


def check(found, limit):
    assert "exception" not in found, found["exception"]
    assert set(found) == {"out", "lse", "dq", "dk", "dv", "dbias"}
    for name, (error, cosine) in found.items():
        assert error <= limit, f"{name}: relative error {error:.1e}, cosine {cosine:.7f}"
        assert cosine >= 1 - limit**2, f"{name}: relative error {error:.1e}, cosine {cosine:.7f}"


@pytest.fixture(scope="session")
def interpreted():
    return run(CASES, "cpu", {"TRITON_INTERPRET": "1"})


@pytest.fixture(scope="session")
def on_device():
    return run(CASES | LARGE, "cuda", {"TRITON_INTERPRET": "0"})


@pytest.mark.parametrize("name", CASES)
def test_interpreted_kernels_agree_with_float64(name, interpreted):
    check(interpreted[name], LIMITS[CASES[name].get("dtype", "float32")])


@pytest.mark.gpu
@pytest.mark.parametrize("name", CASES | LARGE)
def test_kernels_on_a_device_agree_with_float64(name, on_device):
    check(on_device[name], DEVICE_LIMITS[(CASES | LARGE)[name].get("dtype", "float32")])

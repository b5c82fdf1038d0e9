"""Every example runs."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("example", sorted(p.name for p in EXAMPLES.glob("*.py") if p.name != "01_sample.py"))
def test_example(example, tmp_path):
    subprocess.run([sys.executable, EXAMPLES / example], cwd=tmp_path, check=True, timeout=300)


def test_sample_example(capsys):
    runpy.run_path(str(EXAMPLES / "01_sample.py"))["main"](n_samples=2, n_steps=5)
    assert "_cell_length_a" in capsys.readouterr().out

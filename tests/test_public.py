"""The public names and a fast import."""

import subprocess
import sys

import pytest

import packflow


def test_every_public_name_is_there():
    for name in packflow.__all__:
        assert getattr(packflow, name) is not None
    assert set(packflow.__all__) == set(packflow._PUBLIC)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = packflow.nonsense


def test_import_does_no_work():
    code = "import sys, packflow; print([m for m in ('torch', 'rdkit', 'pymatgen', 'ase', 'packflow._C') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"

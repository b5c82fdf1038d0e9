"""Potentials by name; those of extras are tested with them."""

import importlib.util
import subprocess
import sys

import pytest

from packflow.errors import InputError
from packflow.potential import potential_of


@pytest.mark.parametrize("name", ["", "MMFF", "uma:", "uma-s-1p1", "sevennet:7net-0", "mmff:"])
def test_unknown(name):
    with pytest.raises(InputError, match=f"potential must be one of mmff, sevennet, uma, uma:MODEL_OR_FILE, got '{name}'"):
        potential_of(name)


@pytest.mark.skipif(importlib.util.find_spec("packflow.potential.mmff") is None, reason="this build has no packflow.potential.mmff")
def test_mmff():
    assert potential_of("mmff").name == "mmff"


@pytest.mark.parametrize(("name", "model"), [("uma", "uma-s-1p1"), ("uma:some/file.pt", "some/file.pt"), ("uma:C:/file.pt", "C:/file.pt")])
def test_what_follows_uma_is_its_model(name, model, monkeypatch):
    asked = []
    monkeypatch.setattr("packflow.potential.uma.Uma", lambda model, device: asked.append((model, device)))
    potential_of(name, "cuda")
    assert asked == [(model, "cuda")]


def test_sevennet_gets_the_device(monkeypatch):
    asked = []
    monkeypatch.setattr("packflow.potential.sevennet.SevenNet", lambda device: asked.append(device))
    potential_of("sevennet", "cuda:1")
    assert asked == ["cuda:1"]


def test_extras_are_imported_when_asked_for():
    code = "import sys, packflow.potential.named, packflow.potential.uma, packflow.potential.sevennet, packflow.potential.ase\n"
    code += "print([name for name in ('fairchem', 'sevenn', 'dftd3', 'e3nn') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

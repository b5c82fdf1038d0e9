"""Engines that are other programs, where they are installed and where they are not."""

import sys
from pathlib import Path

import pytest

from packflow.baseline import GenarrisConfig
from packflow.errors import InputError
from packflow.evaluate.engines import engine_names
from packflow.evaluate.run import evaluate_engines
from packflow.evaluate.sampled import SamplingOptions
from packflow.evaluate.scores import ScoreOptions

STAND_IN = (sys.executable, str(Path(__file__).parents[1] / "baseline" / "stand_in_genarris.py"))


def test_genarris_is_an_engine_and_what_is_not_installed_keeps_no_other(urea_and_benzene, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyxtal", None)
    sampling = SamplingOptions(2, genarris=GenarrisConfig(STAND_IN, pool=2))
    warnings = []
    engines = ["pyxtal", "pressed=genarris-press"]
    found = evaluate_engines(urea_and_benzene, engines, tmp_path, sampling, ScoreOptions(rmsd=False), warnings.append, progress=False)
    assert found.problems == {"pyxtal": "PyXtal is not installed: pip install pyxtal"}
    assert warnings == ["engine pyxtal cannot be evaluated: PyXtal is not installed: pip install pyxtal"]
    (result,) = found.results
    assert result.engine.label == "pressed"
    assert result.overlap.known
    assert result.mean("bonds_valid_percent").mean == 100
    assert result.times.n_timed == 4


def test_names(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    names = engine_names(["pyxtal", "genarris", "x=genarris-press"])
    assert all(name.is_baseline and name.energy_share is None for name in names)
    with pytest.raises(InputError, match="Genarris 3 is not installed"):
        names[1].sampler()

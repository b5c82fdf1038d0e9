"""PyXtal, where it is installed."""

import warnings

import pytest


@pytest.fixture
def pyxtal():
    """Its module; without it, the test is skipped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pyxtal", reason="PyXtal is not installed")

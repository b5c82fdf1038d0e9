"""Packing similarity under the address and undefined-behaviour sanitizers, without Python or torch in the process."""

import pytest

PARTS = ("atoms", "clusters", "growth", "isometries", "molecules", "starts")


@pytest.mark.slow
def test_awkward_structures_touch_only_their_own_memory(run_sanitized):
    printed = run_sanitized("packing_similarity.cpp", [], ["packing_similarity", *(f"overlay_{part}" for part in PARTS)])
    assert "cluster of 1: 171 matched, 21 of 21 are themselves" in printed
    # a cluster of lone atoms is not turned onto itself
    assert printed.count("18 of 21 are themselves") == 2

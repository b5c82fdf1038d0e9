"""The C++ core of the attention under the address and undefined-behaviour sanitizers, without Python or torch in the process."""


def test_awkward_batches_touch_only_their_own_memory(run_sanitized):
    assert run_sanitized("bond_attention.cpp", ["bond_attention"], contract="fast").count("2000 atoms") >= 1

"""The C++ core of the refinement under the address and undefined-behaviour sanitizers, without Python or torch in the process."""


def test_awkward_batches_touch_only_their_own_memory(run_sanitized):
    assert run_sanitized("pair_refinement.cpp", ["pair_refinement"], contract="fast").count("a block and one") >= 1

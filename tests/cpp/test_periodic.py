"""The C++ core of the periodic ops under the address and undefined-behaviour sanitizers, without Python or torch in the process."""


def test_awkward_crystals_touch_only_their_own_memory(run_sanitized):
    printed = run_sanitized("periodic.cpp", ["neighbors", "rdf", "amd", "min_image"], ["search", "check"])
    assert printed.count("grid:") >= 2

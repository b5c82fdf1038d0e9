"""The C++ core of nonbonded and ewald under the sanitizers, and the polynomials that they are made of."""


def test_polynomials_and_kernels(run_sanitized):
    printed = run_sanitized("nonbonded.cpp", ["nonbonded", "ewald"], contract="fast")
    assert "relative errors of exp" in printed
    assert "baseline: " in printed

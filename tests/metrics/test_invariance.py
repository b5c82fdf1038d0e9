"""A crystal's numbers do not depend on how it is written, nor on what else is in the batch, its precision, or the size of a part."""

import pytest
import torch

from packflow import metrics
from packflow.metrics import validity
from packflow.structure import AtomsBatch

ALONE = {
    "density": metrics.density,
    "clash_percent": metrics.clash_percent,
    "clash_nonbonded_percent": lambda atoms: metrics.clash_percent(atoms, bonded=False),
    "bonds_valid_percent": metrics.bonds_valid_percent,
    "volume_per_atom": lambda atoms: metrics.volume(atoms) / atoms.sizes,
}
AGAINST = {
    "density_error_percent": metrics.density_error_percent,
    "amd_distance": metrics.amd_distance,
    "pdd_distance": metrics.pdd_distance,
    "rdf_distance": metrics.rdf_distance,
    "contact_f1": metrics.contact_f1,
}


@pytest.mark.parametrize("name", ALONE)
def test_alone(name, noisy, rewritten):
    torch.testing.assert_close(ALONE[name](rewritten(noisy)), ALONE[name](noisy), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", AGAINST)
def test_against_a_reference(name, noisy, measured, rewritten):
    some, reference = noisy.select(torch.tensor([1, 3])), measured.select(torch.tensor([1, 3]))
    expected = AGAINST[name](some, reference)
    assert (expected > 1e-3).all()
    torch.testing.assert_close(AGAINST[name](rewritten(some), reference), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", AGAINST)
def test_identical(name, measured, rewritten):
    """0, or 1 for a score, for the same crystal written in another way."""
    some = measured.select(torch.tensor([1, 3]))
    found = AGAINST[name](rewritten(some), some)
    expected = torch.ones_like(found) if name == "contact_f1" else torch.zeros_like(found)
    # a distance at the edge of a bin may fall on either side of it
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3 if name == "rdf_distance" else 1e-7)


def test_single_precision(noisy, measured):
    single = AtomsBatch(**{n: x.float() if x.is_floating_point() else x for n, x in vars(noisy).items()})
    for name in ("amd_distance", "contact_f1", "density_error_percent"):
        found = AGAINST[name](single, measured)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, AGAINST[name](noisy, measured), rtol=1e-4, atol=1e-5)


def test_parts(noisy, measured, monkeypatch):
    """Structures that are looked at in parts have the numbers that they have together."""
    together = [metrics.amd(noisy), metrics.contact_f1(noisy, measured), metrics.clash_percent(noisy, bonded=False)]
    monkeypatch.setattr(validity, "MAX_ATOMS", 15)
    parts = [metrics.amd(noisy), metrics.contact_f1(noisy, measured), metrics.clash_percent(noisy, bonded=False)]
    torch.testing.assert_close(parts, together, rtol=0, atol=1e-12)

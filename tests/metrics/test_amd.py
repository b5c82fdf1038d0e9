"""AMD and PDD against the average-minimum-distance package, and by hand."""

import math

import numpy as np
import pytest
import torch

from packflow.metrics import amd, amd_distance, pdd_distance
from packflow.metrics.pdd import MAX_ASSIGNED, earth_movers_distance

peer = pytest.importorskip("amd", reason="average-minimum-distance is not installed")


def periodic_sets(atoms):
    parts = atoms.positions.split(atoms.sizes.tolist())
    return [peer.PeriodicSet(x.numpy(), cell.numpy()) for x, cell in zip(parts, atoms.cell, strict=True)]


def test_amd_against_peer(noisy):
    found = amd(noisy).numpy()
    for row, points in zip(found, periodic_sets(noisy), strict=True):
        np.testing.assert_allclose(row, peer.AMD(points, 100), rtol=0, atol=1e-6)


@pytest.mark.parametrize("k", [1, 7, 150])
def test_amd_distance_against_peer(k, noisy, measured):
    rows = torch.tensor([1, 3])
    ours, theirs = periodic_sets(noisy.select(rows)), periodic_sets(measured.select(rows))
    wanted = [np.abs(peer.AMD(p, k) - peer.AMD(q, k)).max() for p, q in zip(ours, theirs, strict=True)]
    np.testing.assert_allclose(amd_distance(noisy.select(rows), measured.select(rows), k=k), wanted, rtol=0, atol=1e-6)


def test_pdd_distance_against_peer(noisy, measured):
    """Every prediction against the next reference too: another number of atoms, other molecules."""
    references = (torch.arange(len(noisy)) + 1) % len(noisy)
    pdds = [[peer.PDD(s, 100, collapse=False) for s in periodic_sets(atoms)] for atoms in (noisy, measured)]
    wanted = [peer.EMD(p, pdds[1][r]) for p, r in zip(pdds[0], references.tolist(), strict=True)]
    found = pdd_distance(noisy, measured, references)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    assert (found >= amd_distance(noisy, measured, references) - 1e-9).all()


def test_earth_movers_distance_by_hand():
    """Rows 0 and 4 of one set, 1 of weight 1/3 and 4 of weight 2/3: 1/3 moves by 1, 1/6 by 4."""
    p, q = np.array([[0.0, 0], [4, 4]]), np.array([[1.0, 1], [4, 4], [4, 4]])
    assert earth_movers_distance(p, q) == pytest.approx(1 / 3 + 4 / 6)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (6, 6), (7, 5), (12, 8)])
def test_linear_program_is_assignment(n, m, monkeypatch):
    rng = np.random.default_rng(n)
    p, q = rng.random((n, 10)), rng.random((m, 10))
    p[-1] = p[0]
    assigned = earth_movers_distance(p, q)
    monkeypatch.setattr("packflow.metrics.pdd.MAX_ASSIGNED", 0)
    assert earth_movers_distance(p, q) == pytest.approx(assigned, abs=1e-9)


def test_large_common_multiple():
    """47 and 31 atoms: 1457 rows if repeated, so a linear program."""
    rng = np.random.default_rng(0)
    p, q = rng.random((47, 20)), rng.random((31, 20))
    weights = [np.concatenate([np.full((n, 1), 1 / n), x], 1) for n, x in ((47, p), (31, q))]
    assert math.lcm(47, 31) > MAX_ASSIGNED
    # the peer computes in single precision
    assert earth_movers_distance(p, q) == pytest.approx(peer.EMD(*weights), abs=1e-6)


def test_amd_of_a_simple_cubic_lattice(structure):
    """6 neighbors at a, 12 at sqrt(2) a, 8 at sqrt(3) a."""
    found = amd(structure([6], [[1.0, 2, 3]], 3 * torch.eye(3)), k=26)[0]
    wanted = 3 * torch.tensor([1.0] * 6 + [2.0**0.5] * 12 + [3.0**0.5] * 8, dtype=torch.float64)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("distance", [amd_distance, pdd_distance])
def test_k(distance, measured):
    with pytest.raises(ValueError, match="k must be an integer of at least 1, got 0"):
        distance(measured, measured, k=0)

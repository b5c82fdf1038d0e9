"""Distance distributions against scipy's Wasserstein distance, and by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from packflow.metrics import rdf, rdf_distance
from packflow.structure import AtomsBatch


@pytest.mark.parametrize(("r_max", "n_bins"), [(10.0, 100), (5.0, 50)])
def test_against_scipy(r_max, n_bins, noisy, measured):
    """On the bins' centers; the short variant keeps the width of the bins."""
    references = torch.tensor([1, 0, 2, 4, 3])
    centers = (np.arange(n_bins) + 0.5) * r_max / n_bins
    p, q = rdf(noisy, r_max, n_bins), rdf(measured, r_max, n_bins)[references]
    wanted = [wasserstein_distance(centers, centers, x.numpy(), y.numpy()) for x, y in zip(p, q, strict=True)]
    np.testing.assert_allclose(rdf_distance(noisy, measured, references, r_max), wanted, rtol=0, atol=1e-12)


def test_rdf_of_a_simple_cubic_lattice(structure):
    """6 neighbors at 3.05 Å, 12 at 4.31 Å, 8 at 5.28 Å."""
    found = rdf(structure([6], [[1.0, 2, 3]], 3.05 * torch.eye(3)), r_max=6.0, n_bins=60)[0]
    assert found.nonzero()[:, 0].tolist() == [30, 43, 52]
    torch.testing.assert_close(found[[30, 43, 52]] * 26, torch.tensor([6.0, 12, 8], dtype=torch.float64))


def test_distance_by_hand(structure):
    """Two chains with the only distances 3.05 and 3.35 Å: three bins apart."""
    chains = [structure([6], [[0.0, 0, 0]], torch.diag(torch.tensor([a, 50, 50]))) for a in (3.05, 3.35)]
    assert rdf_distance(chains[0], chains[1], r_max=5.0).item() == pytest.approx(0.3)


def test_no_distance_is_no_distribution(structure):
    """Neither 0, a perfect score, nor any other number."""
    far, near = (structure([6], [[0.0, 0, 0]], a * torch.eye(3)) for a in (12.0, 6.0))
    batch = AtomsBatch.join([far, near])
    assert rdf_distance(batch, batch).isnan().tolist() == [True, False]
    assert rdf_distance(batch, batch, r_max=5.0).isnan().all()
    assert rdf_distance(far, near).isnan().all()


@pytest.mark.parametrize("r_max", [0.0, float("nan")])
def test_r_max(r_max, measured):
    with pytest.raises(ValueError, match="r_max must be a positive number"):
        rdf_distance(measured, measured, r_max=r_max)

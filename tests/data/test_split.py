"""Families stay together."""

import numpy as np
import pytest

from packflow.data.dataset import CrystalDataset
from packflow.data.split import family, split_families


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", True),
        ("NCC(=O)O", "[NH3+]CC(=O)[O-]", True),
        ("Oc1ccccn1", "O=c1cccc[nH]1", True),
        ("CCO", "CCN", False),
        ("CCCO", "CC(C)O", False),
    ],
)
def test_family(a, b, same):
    assert (family(a) == family(b)) == same


def test_no_family_in_two_splits():
    rng = np.random.default_rng(0)
    families = [f"f{k}" for k in rng.integers(0, 300, 1000)]
    split = split_families(families, (0.8, 0.1, 0.1), seed=1)
    for name in set(families):
        assert len({s for f, s in zip(families, split, strict=True) if f == name}) == 1
    for name, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert np.mean(split == name) == pytest.approx(share, abs=0.02)
    np.testing.assert_array_equal(split, split_families(families, (0.8, 0.1, 0.1), seed=1))
    assert (split != split_families(families, (0.8, 0.1, 0.1), seed=2)).any()


def test_fractions_must_add_up():
    with pytest.raises(ValueError, match="sum 1"):
        split_families(["a"], (0.5, 0.1, 0.1), 0)


def test_dataset_has_all_splits(dataset_folder):
    assert set(CrystalDataset.open(dataset_folder).split) == {"train", "validation", "test"}

"""A kept neighbour list gives what a fresh one gives, for as long as it is kept."""

import pytest
import torch

from packflow.ops import NonbondedPairs, nonbonded

FIELDS = ("van_der_waals", "coulomb", "forces", "stress")


def assert_same(got, expected):
    for field in FIELDS:
        torch.testing.assert_close(getattr(got, field), getattr(expected, field), rtol=1e-10, atol=1e-10)


@pytest.fixture
def batch(molecular_batch):
    return molecular_batch([(2, 5), (1, 6), (3, 4)], in_vacuum=(1,))


def test_small_movements_keep_the_list(batch, generator):
    pairs = NonbondedPairs(skin=1.0)
    nonbonded(**batch, pairs=pairs)
    for _ in range(5):
        step = 0.25 * (2 * torch.rand(batch["positions"].shape, generator=generator, dtype=torch.float64) - 1)
        moved = batch | {"positions": batch["positions"] + step}
        assert_same(nonbonded(**moved, pairs=pairs), nonbonded(**moved))
    assert pairs.n_builds == 1


@pytest.mark.parametrize(("distance", "n_builds"), [(0.49, 1), (0.51, 2)])
def test_half_the_skin_is_the_limit(batch, distance, n_builds):
    pairs = NonbondedPairs(skin=1.0)
    nonbonded(**batch, pairs=pairs)
    moved = batch["positions"].clone()
    moved[2, 1] += distance
    assert_same(nonbonded(**batch | {"positions": moved}, pairs=pairs), nonbonded(**batch | {"positions": moved}))
    assert pairs.n_builds == n_builds


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_cell_changes(batch, axis):
    """Atoms go with the cell or stay; a skewed and shortened cell brings images nearer."""
    pairs = NonbondedPairs(skin=1.0)
    for k in range(12):
        deformation = torch.eye(3, dtype=torch.float64)
        deformation[axis, axis] -= 0.02 * k
        deformation[axis, axis - 1] += 0.01 * k
        strained = batch | {"cell": batch["cell"] @ deformation}
        if k % 2:
            strained["positions"] = batch["positions"] @ deformation
        assert_same(nonbonded(**strained, pairs=pairs), nonbonded(**strained))
    assert 1 < pairs.n_builds < 12


def test_atoms_that_go_along_with_a_small_strain_keep_the_list(batch):
    pairs = NonbondedPairs(skin=1.0)
    nonbonded(**batch, pairs=pairs)
    deformation = torch.diag(torch.tensor([1.05, 0.97, 1.0], dtype=torch.float64))
    strained = batch | {"positions": batch["positions"] @ deformation, "cell": batch["cell"] @ deformation}
    assert_same(nonbonded(**strained, pairs=pairs), nonbonded(**strained))
    assert pairs.n_builds == 1


def test_anything_may_happen_in_vacuum(batch):
    pairs = NonbondedPairs(skin=0.5)
    nonbonded(**batch, pairs=pairs)
    moved = batch["positions"].clone()
    moved[10:16] *= 3
    cell = batch["cell"].clone()
    cell[1] = torch.nan
    changed = batch | {"positions": moved, "cell": cell}
    assert_same(nonbonded(**changed, pairs=pairs), nonbonded(**changed))


def test_another_cutoff_or_batch_makes_another_list(batch, molecular_batch):
    pairs = NonbondedPairs()
    for cutoff in (8.0, 10.0):
        assert_same(nonbonded(**batch, cutoff=cutoff, pairs=pairs), nonbonded(**batch, cutoff=cutoff))
    other = molecular_batch([(1, 4)])
    assert_same(nonbonded(**other, pairs=pairs), nonbonded(**other))
    assert pairs.n_builds == 3


def test_same_atoms_packed_otherwise_make_another_list(molecular_batch):
    """Two structures of four and six atoms, then the same rows as six and four."""
    batch = molecular_batch([(1, 4), (1, 6)])
    pairs = NonbondedPairs()
    nonbonded(**batch, pairs=pairs)
    nothing = {
        "special_ptr": torch.zeros(11, dtype=torch.int32),
        "special_index": batch["special_index"][:0],
        "special_scale": batch["special_scale"][:0],
    }
    other = batch | nothing | {"atom_ptr": torch.tensor([0, 6, 10], dtype=torch.int32), "charges": torch.zeros(10, dtype=torch.float64)}
    got, expected = nonbonded(**other, pairs=pairs), nonbonded(**other)
    assert torch.equal(got.problem, expected.problem)
    for field in FIELDS:
        torch.testing.assert_close(getattr(got, field), getattr(expected, field), rtol=1e-10, atol=1e-10, equal_nan=True)
    assert pairs.n_builds == 2


@pytest.mark.parametrize("skin", [0.0, -1.0, 3.5, float("nan")])
def test_skin_is_checked(skin):
    with pytest.raises(ValueError, match=r"skin must be .*, got"):
        NonbondedPairs(skin)

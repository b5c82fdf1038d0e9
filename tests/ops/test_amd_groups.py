"""Groups of AMD vectors against the definition, all pairs compared."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from packflow.rank import amd_groups


def all_pairs(amds, tolerance, kinds=None, priority=None, same=None):
    """The definition: the best one that is left takes all that are left and within the tolerance of it. Lists of members."""
    rank = [(() if priority is None else (priority[i],)) + (amds[i].mean(), *amds[i]) for i in range(len(amds))]
    left = sorted(range(len(amds)), key=lambda i: rank[i])
    groups = []
    while left:
        best = left[0]
        members = [best] + [
            i
            for i in left[1:]
            if np.abs(amds[i] - amds[best]).max() <= tolerance
            and (kinds is None or kinds[i] == kinds[best])
            and (same is None or same(best, i))
        ]
        groups.append(members)
        left = [i for i in left if i not in members]
    return groups


def members_of(groups):
    """The representative of each group, then its other members in the order of the input."""
    listed = []
    for number, best in enumerate(groups.representative.tolist()):
        members = (groups.group == number).nonzero()[:, 0].tolist()
        assert best in members
        listed.append([best, *sorted(set(members) - {best})])
    return listed


def sets_of(lists):
    return [(members[0], frozenset(members)) for members in lists]


def clustered(n, n_forms, seed=0, k=20, noise=0.004):
    """Vectors like those of a landscape: smooth differences between forms, small ones within."""
    rng = np.random.default_rng(seed)
    smooth = np.cos(np.pi * np.arange(6)[:, None] * (np.arange(k) + 0.5) / k) / (1 + np.arange(6)[:, None])
    forms = np.cbrt(13 * np.arange(1, k + 1)) + rng.normal(size=(n_forms, 6)) @ smooth * 0.02
    return forms[rng.integers(n_forms, size=n)] + noise * rng.normal(size=(n, 1)) * rng.random((n, k))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tolerance", [0.0, 0.003, 0.01, 0.05])
def test_groups_are_those_of_the_definition(seed, tolerance):
    amds = clustered(200, 25, seed)
    found = amd_groups(torch.from_numpy(amds), tolerance)
    assert sets_of(members_of(found)) == sets_of(all_pairs(amds, tolerance))


def test_kinds_priority_and_confirmation_are_those_of_the_definition():
    rng = np.random.default_rng(1)
    amds, kinds, priority = clustered(200, 10), rng.integers(3, size=200), rng.normal(size=200)

    def same(a, b):
        return (a + b) % 4 != 0

    calls = []

    def confirm(structure, others):
        calls.append(len(others))
        return np.array([same(structure, other) for other in others.tolist()])

    found = amd_groups(torch.from_numpy(amds), 0.01, torch.from_numpy(kinds), torch.from_numpy(priority), confirm)
    assert sets_of(members_of(found)) == sets_of(all_pairs(amds, 0.01, kinds, priority, same))
    assert found.n_pdd == sum(calls) > 0
    best = priority[found.representative.numpy()]
    assert (np.diff(best) > 0).all()
    for number, representative in enumerate(found.representative.tolist()):
        assert priority[representative] == priority[found.group.numpy() == number].min()


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3), min_size=1, max_size=25),
    steps=st.integers(0, 3),
    order=st.randoms(use_true_random=False),
    columns=st.integers(1, 3),
)
def test_search_is_exact_and_blind_to_the_order_of_the_input(rows, steps, order, columns):
    """Vectors on a grid: many ties, and many distances that are exactly the tolerance."""
    amds = np.array(rows)[:, :columns] * 0.125
    found = amd_groups(torch.from_numpy(amds), steps * 0.125)
    # equal vectors may stand for each other, so compare the vectors of groups
    expected = [sorted(map(tuple, amds[members])) for members in all_pairs(amds, steps * 0.125)]
    assert [sorted(map(tuple, amds[members])) for members in members_of(found)] == expected
    shuffled = list(range(len(amds)))
    order.shuffle(shuffled)
    other = amd_groups(torch.from_numpy(amds[shuffled]), steps * 0.125)
    assert torch.equal(other.group, found.group[shuffled])


def test_order_of_the_input_does_not_matter():
    amds, rng = clustered(300, 20), np.random.default_rng(0)
    priority = rng.normal(size=300).round(1)
    found = amd_groups(torch.from_numpy(amds), priority=torch.from_numpy(priority))
    shuffled = rng.permutation(300)
    other = amd_groups(torch.from_numpy(amds[shuffled]), priority=torch.from_numpy(priority[shuffled]))
    assert torch.equal(other.group, found.group[shuffled])
    assert torch.equal(torch.from_numpy(shuffled)[other.representative], found.representative)
    assert torch.equal(other.distance, found.distance[shuffled])


def test_members_are_within_the_tolerance_and_representatives_are_not():
    amds = torch.from_numpy(clustered(400, 30))
    found = amd_groups(amds, 0.006)
    to_representative = (amds - amds[found.representative[found.group]]).abs().amax(1)
    torch.testing.assert_close(found.distance, to_representative, rtol=0, atol=0)
    assert to_representative.max() <= 0.006
    assert torch.nn.functional.pdist(amds[found.representative], torch.inf).min() > 0.006
    assert found.sizes.sum() == 400
    assert len(found.sizes) == len(found)


def test_a_chain_of_small_steps_is_not_one_group():
    amds = torch.arange(7, dtype=torch.float64)[:, None].expand(-1, 5) * 0.75 + 5
    assert amd_groups(amds, 1.0).group.tolist() == [0, 0, 1, 1, 2, 2, 3]
    middle = torch.tensor([2.0, 1, 0, 1, 2, 3, 4], dtype=torch.float64)
    assert amd_groups(amds, 1.0, priority=middle).group.tolist() == [1, 0, 0, 0, 2, 2, 3]


def test_what_is_not_finite_is_in_no_group():
    amds = torch.from_numpy(clustered(6, 1, noise=0.0))
    amds[1, 3] = torch.nan
    amds[4, 0] = torch.inf
    found = amd_groups(amds)
    assert found.group.tolist() == [0, -1, 0, 0, -1, 0]
    assert [bool(problem) for problem in found.problems] == [False, True, False, False, True, False]
    assert found.distance.isnan().tolist() == [False, True, False, False, True, False]
    assert found.sizes.tolist() == [4]


def test_priority_that_is_no_number_comes_last():
    amds = torch.from_numpy(clustered(3, 1, noise=0.0))
    assert amd_groups(amds, priority=torch.tensor([torch.nan, 2.0, -1.0])).representative.tolist() == [2]
    assert amd_groups(amds, priority=torch.tensor([torch.nan, 2.0, 7.0])).representative.tolist() == [1]


@pytest.mark.parametrize("shape", [(0, 5), (1, 5), (1, 1)])
def test_few_structures(shape):
    found = amd_groups(torch.ones(shape))
    assert found.group.tolist() == [0] * shape[0]
    assert len(found) == shape[0]
    assert found.group.dtype == found.representative.dtype == torch.int64


def test_many_equal_vectors_and_many_different_ones_are_not_all_compared():
    equal = torch.ones(20000, 10, dtype=torch.float64)
    found = amd_groups(equal)
    assert len(found) == 1
    assert found.n_amd == 19999
    different = torch.from_numpy(clustered(3000, 3000))
    assert amd_groups(different, 1e-4).n_amd < 3000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"amds": torch.ones(3)}, "amds must have shape"),
        ({"amds": torch.ones(3, 0)}, "amds must have at least 1 column"),
        ({"amds": torch.ones(3, 2, dtype=torch.int64)}, "amds must have dtype"),
        ({"tolerance": -0.1}, "tolerance must be a number of at least 0 Å, got -0.1"),
        ({"tolerance": float("nan")}, "tolerance must be"),
        ({"kinds": torch.zeros(2, dtype=torch.int64)}, "kinds must have shape"),
        ({"priority": torch.zeros(4)}, "priority must have shape"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        amd_groups(**{"amds": torch.ones(3, 2), **arguments})

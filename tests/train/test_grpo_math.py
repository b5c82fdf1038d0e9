"""Advantages, ratios and divergences: the paper's equations, the released code's numbers, and proposals that failed."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch

from packflow.train.grpo_math import (
    advantages_of,
    divergence,
    importance_ratio,
    objective,
    ranks_of,
    sign_agreement,
    vector_alignment,
    volume_held,
)

FIXTURE = Path(__file__).parents[3] / "shared" / "parity" / "grpo.json"


@pytest.fixture(scope="module")
def recorded():
    if not FIXTURE.is_file():
        pytest.skip(f"no parity fixture at {FIXTURE}")
    return json.loads(FIXTURE.read_text())


@pytest.fixture
def rewards(generator):
    return torch.randn(3, 6, 2, generator=generator, dtype=torch.float64) * torch.tensor([30.0, 0.2]) - torch.tensor([500.0, 3.0])


def half(rewards, **options):
    return advantages_of(rewards, (0.5, 0.5), **options).values


def test_advantages_are_those_of_the_released_code(recorded):
    """Which computed them in float32."""
    rewards = torch.tensor([recorded["energies_reward"], recorded["force_reward"]]).T[None]
    for name, weight in {"eNone": 1.0, "fNone": 0.0, "ef0.5": 0.5, "ef1.0": 1.0, "ef0.0": 0.0}.items():
        wanted = torch.tensor([recorded["advantages"][name]], dtype=torch.float64)
        torch.testing.assert_close(advantages_of(rewards, (weight, 1 - weight)).values, wanted, rtol=1e-5, atol=1e-5)


def test_objective_is_that_of_the_released_code(recorded):
    """Its losses are float32 near 60, so that their differences have an error of 4e-6."""
    rows = {key: torch.tensor([row[key] for row in recorded["per_sample"]], dtype=torch.float64) for key in recorded["per_sample"][0]}
    found = objective(rows["new"], rows["old"], rows["old"], torch.tensor(recorded["advantages"]["ef0.5"]), clip=0.2, beta=1.0)
    torch.testing.assert_close(found.ratio, rows["ratio"], rtol=0, atol=1e-5)
    torch.testing.assert_close(found.divergence, rows["kl"], rtol=0, atol=1e-5)
    torch.testing.assert_close(found.loss, rows["policy"], rtol=0, atol=1e-5)
    assert found.loss.mean().item() == pytest.approx(recorded["mean_policy_loss"], abs=1e-5)
    assert not found.clipped.any()


def test_a_failed_proposal_leaves_the_others_apart_where_the_released_code_does_not(recorded):
    """There its energy counts as 1e10 eV, after which all others are equal."""
    assert len(set(recorded["advantages_energy_with_one_failed_minus1e10"])) == 2
    energies = torch.tensor(recorded["energies_reward"], dtype=torch.float64)
    energies[2] = torch.nan
    values = advantages_of(energies[None, :, None], (1.0,)).values[0]
    assert values.argsort().tolist() == [2, 1, 3, 0]
    assert values.diff().abs().min() > 0.1


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_advantages_are_their_equations(rewards, weight):
    found = advantages_of(rewards, (weight, 1 - weight), clip=1.1, epsilon=1e-3)
    for group, values in zip(rewards, found.values, strict=True):
        one, other = ((r - r.mean()) / (r.std(correction=0) + 1e-3) for r in group.T)
        torch.testing.assert_close(values, (weight * one + (1 - weight) * other).clamp(-1.1, 1.1))
    assert found.values.abs().max() == pytest.approx(1.1)
    torch.testing.assert_close(found.spread, rewards.std(1, correction=0))


@pytest.mark.parametrize("failed", [[], [1], [0, 3, 4]])
def test_advantages_do_not_depend_on_origin_and_unit_of_the_rewards(rewards, failed):
    rewards[1, failed] = torch.nan
    other = rewards * torch.tensor([7.0, 1e3]) + torch.tensor([-3e4, 12.0])
    torch.testing.assert_close(half(other), half(rewards), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_failure_is_last_and_the_order_of_the_others_stays(rewards, bad):
    before = advantages_of(rewards, (1.0, 0.0)).values
    rewards[:, 2, 1] = bad  # one channel is enough
    found = advantages_of(rewards, (1.0, 0.0))
    others = [0, 1, 3, 4, 5]
    assert found.values.isfinite().all()
    assert not found.skipped.any()
    assert torch.equal(found.valid.sum(1), torch.full((3,), 5))
    assert torch.equal(found.values[:, others].argsort(1), before[:, others].argsort(1))
    assert (found.values[:, 2] < found.values[:, others].amin(1)).all()
    assert (found.values.abs() <= math.sqrt(5) + 1e-9).all()


def test_in_every_mixture_failures_are_equal_and_last(rewards):
    rewards[0, [1, 4]] = torch.nan
    for weight in (0.0, 0.3, 1.0):
        values = advantages_of(rewards, (weight, 1 - weight)).values[0]
        assert values[1] == values[4] < values[[0, 2, 3, 5]].min()


def test_equal_rewards_have_no_advantage():
    rewards = torch.full((2, 4, 2), -310.2 / 7, dtype=torch.float64)
    assert torch.equal(half(rewards), torch.zeros(2, 4, dtype=torch.float64))
    rewards[0, :, 1] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    torch.testing.assert_close(half(rewards)[0], torch.tensor([-3.0, -1, 1, 3], dtype=torch.float64) / (2 * math.sqrt(5)))
    rewards[1, 0] = torch.nan  # the others are equally good, and better than nothing
    torch.testing.assert_close(half(rewards)[1], torch.tensor([-3.0, 1, 1, 1], dtype=torch.float64) / math.sqrt(3))


def test_groups_with_fewer_than_two_rewards_are_skipped(rewards):
    rewards[0] = torch.nan
    rewards[1, 1:] = torch.nan
    rewards[2, 2:] = torch.nan
    found = advantages_of(rewards, (0.5, 0.5))
    assert found.skipped.tolist() == [True, True, False]
    assert torch.equal(found.values[:2], torch.zeros(2, 6, dtype=torch.float64))
    assert found.values[2].isfinite().all()
    assert found.values[2, 2:].max() < found.values[2, :2].min()


def test_divergence_is_its_formula_and_never_negative():
    difference = torch.linspace(-60, 60, 4001, dtype=torch.float64)
    found = divergence(difference, torch.zeros_like(difference))
    inside = difference <= 5
    torch.testing.assert_close(found[inside], (difference.exp() - difference - 1)[inside])
    assert (found >= 0).all()
    assert found.isfinite().all()
    assert (found.diff().diff() > -1e-9).all()  # convex, so it pulls back from anywhere
    assert divergence(torch.tensor(1e4), torch.tensor(0.0)).isfinite()


def test_the_logarithm_of_the_ratio_is_limited():
    new = torch.tensor([0.0, 0.3, 90.0, -90.0], dtype=torch.float64, requires_grad=True)
    ratio = importance_ratio(torch.zeros(4, dtype=torch.float64), new)
    torch.testing.assert_close(ratio.detach(), torch.tensor([0.0, -0.3, -5.0, 5.0], dtype=torch.float64).exp())
    (gradient,) = torch.autograd.grad(ratio.sum(), new)
    assert gradient.tolist() == [-1.0, pytest.approx(-math.exp(-0.3)), 0.0, 0.0]


def test_clipping_takes_the_gain_of_going_farther_but_never_the_way_back():
    advantages = torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64)
    new = -torch.tensor([1.5, 0.5, 1.5, 0.5], dtype=torch.float64).log()
    new.requires_grad_()
    found = objective(new, torch.zeros(4, dtype=torch.float64), new.detach(), advantages, clip=0.2, beta=0.0)
    torch.testing.assert_close(found.loss.detach(), torch.tensor([-1.2, -0.5, 1.5, 0.8], dtype=torch.float64))
    assert found.clipped.tolist() == [True, False, False, True]
    (gradient,) = torch.autograd.grad(found.loss.sum(), new)
    assert (gradient == 0).tolist() == [True, False, False, True]


def test_gradients_agree_with_finite_differences(generator):
    old, reference, advantages = torch.randn(3, 9, generator=generator, dtype=torch.float64)
    new = (old + 0.3 * torch.randn(9, generator=generator, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: objective(x, old, reference, advantages, beta=0.7).loss, new)
    far = (reference + torch.linspace(4, 9, 9)).detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: divergence(x, reference), far)


def test_agreement_of_two_advantages():
    one = torch.tensor([[1.0, -1.0, 2.0, -2.0], [1.0, 0.0, 0.0, -1.0]])
    other = torch.tensor([[-1.0, 1.0, 2.0, -2.0], [0.0, 1.0, -1.0, 0.0]])
    assert vector_alignment(one, other).tolist() == pytest.approx([0.6, 0.0])
    assert sign_agreement(one, other).tolist() == [0.5, 0.0]
    assert vector_alignment(one, 3 * one).tolist() == pytest.approx([1.0, 1.0])


def test_ranks_are_those_of_scipy(rewards):
    rewards[0, 1] = rewards[0, 2]
    wanted = scipy.stats.rankdata(rewards.numpy(), axis=1)  # 1 to k, equal ones their mean
    torch.testing.assert_close(ranks_of(rewards), torch.from_numpy(2 * wanted - rewards.shape[1] - 1))


def test_ranks_do_not_know_how_bad_the_worst_is(rewards):
    crushed = rewards.clone()
    worst = crushed[..., 0].argmin(1)
    crushed[torch.arange(len(crushed)), worst, 0] -= 1e6
    torch.testing.assert_close(half(rewards, ranks=True), half(crushed, ranks=True))
    assert not torch.allclose(half(rewards), half(crushed), atol=0.1)
    failed = rewards.clone()
    failed[torch.arange(len(failed)), worst] = torch.nan
    assert (half(failed, ranks=True).argmin(1) == worst).all()


@pytest.mark.parametrize(("excess", "gain", "wanted"), [(0.0, 2.0, 0.0), (0.01, 2.0, -0.4), (-0.01, 1.0, 0.2), (0.5, 1.0, -1.0)])
def test_the_slope_on_the_volume_brings_it_back(rewards, generator, excess, gain, wanted):
    """Deviations of 5 %: an excess of 1 % asks, with a gain of 2, for 0.4 per standard deviation."""
    volume = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    volume[1, 2] = torch.nan
    has = volume.isfinite()
    deviation = torch.where(has, volume - volume.nanmean(1, keepdim=True), 0.0)
    deviation *= 0.05 / (deviation.square().sum() / has.sum()).sqrt()
    known = torch.tensor([5.0, 6.0, 7.0], dtype=torch.float64)
    volume = torch.where(has, known[:, None] + excess + deviation, torch.nan)
    before = half(rewards)
    held = volume_held(before, volume, known, gain)
    fit = np.polynomial.polynomial.polyfit(deviation[has].numpy() / 0.05, held[has].numpy(), 1)
    assert fit[1] == pytest.approx(wanted, abs=1e-9)
    assert held[1, 2] == before[1, 2]
    torch.testing.assert_close(volume_held(before + 3 * deviation, volume, known, gain), held)
    assert torch.equal(volume_held(before, torch.full_like(volume, torch.nan), known, gain), before)

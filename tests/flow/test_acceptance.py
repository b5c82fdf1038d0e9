"""Flagged proposals are replaced by the first sample that passes, the same whatever the batch, and the share that passes is counted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from packflow.errors import InputError
from packflow.flow.acceptance import BUDGET, Checks, Tally, accepted, judged
from packflow.flow.draws import Draw, draws_of, generator_of
from packflow.flow.sampler import Proposal, SampleConfig, sample, sample_batch, sample_batches
from packflow.flow.validity import Limits, flags_of
from packflow.model import ModelConfig, PackFlow
from packflow.proposal_table import proposal_of, rows_of
from packflow.relax.clean import clean_crystals
from packflow.structure import Crystal, FlowSpace, Molecule, Template

CO2 = Template(Molecule.from_smiles("O=C=O"), 1)
UREA = Template(Molecule.from_smiles("NC(N)=O"), 2)
GOOD, LOOSE, BAD = np.array([4.5, 4, 4, 90, 90, 90]), np.array([6.0, 6, 6, 90, 90, 90]), np.array([-1.0, 4, 4, 90, 90, 90])
# what untrained weights pass about every other time
LENIENT = Limits(100, 0, 0, 100)


class Scripted:
    """A sampler whose proposal of an index is what the text of its attempt says: g good, l of low density, p with a problem."""

    def __init__(self, *scripts):
        self.scripts = scripts
        self.batches = []

    def __call__(self, draws):
        self.batches.append([(draw.index, draw.attempt) for draw in draws])
        return [self.proposal(draw.index, draw.attempt) for draw in draws]

    def proposal(self, index, attempt=0):
        kind = self.scripts[attempt][index]
        lattice = {"g": GOOD, "l": LOOSE, "p": BAD}[kind]
        positions = np.array([[-1.16, 0, 0], [0.0, 0, 0], [1.16, 0, 0]])
        return Proposal(Crystal(CO2, positions, lattice), index, 7, "impossible cell" if kind == "p" else "")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return PackFlow(ModelConfig(32, 4, 64, 1, FlowSpace("packed"), center_noise=True)).eval()


def test_first_sample_that_passes():
    """Slot k takes the first good one of its attempts; only what is flagged is sampled again, all of it together."""
    sampler = Scripted("glpg", "glpg", "glgl", "lgll")
    found = accepted(sampler, list(draws_of(CO2, 4, 7)), Checks(budget=4))
    assert sampler.batches == [[(0, 0), (1, 0), (2, 0), (3, 0)], [(1, 1), (2, 1)], [(1, 2), (2, 2)], [(1, 3)]]
    assert [(p.index, p.attempt, p.flag) for p in found] == [(0, 0, ""), (1, 3, ""), (2, 2, ""), (3, 0, "")]
    low = flags_of([Scripted("l").proposal(0).crystal], Limits())[0]
    assert low.startswith("density: ")
    assert [p.rejected for p in found] == [(), (low,) * 3, ("impossible cell",) * 2, ()]
    tally = Tally.of(found)
    assert (tally.n_proposals, tally.n_sampled, tally.n_flagged) == (4, 9, 0)
    assert tally.reasons == {"density": 3, "impossible cell": 2}
    assert tally.acceptance == pytest.approx(100 * 4 / 9)


def test_what_never_passes_ends_with_the_budget():
    """The first that is a crystal at all stays, with its flag."""
    sampler = Scripted("lpp", "llp", "lpp")
    found = accepted(sampler, list(draws_of(CO2, 3, 7)), Checks(budget=3))
    assert sampler.batches == [[(k, attempt) for k in range(3)] for attempt in range(3)]
    assert [(p.index, p.attempt, p.problem) for p in found] == [(0, 0, ""), (1, 1, ""), (2, 0, "impossible cell")]
    assert [p.flag.split(":")[0] for p in found] == ["density", "density", "impossible cell"]
    assert [len(p.rejected) for p in found] == [2, 2, 2]
    tally = Tally.of(found)
    assert (tally.n_sampled, tally.n_flagged, tally.acceptance) == (9, 3, 0)
    assert tally.reasons == {"density": 4, "impossible cell": 5}


def test_a_budget_of_one_flags_only():
    found = accepted(Scripted("glp"), [Draw(CO2, k, 7) for k in range(3)], Checks())
    assert [p.flag.split(":")[0] for p in found] == ["", "density", "impossible cell"]
    assert [(p.attempt, p.rejected) for p in found] == [(0, ())] * 3


def test_replacements_have_noise_of_their_own():
    draws = [replace(draw, attempt=attempt) for draw in draws_of(CO2, 5, 7) for attempt in range(4)]
    noises = {tuple(torch.randn(3, generator=generator_of(draw)).tolist()) for draw in draws}
    assert len(noises) == 20


def test_the_same_whatever_the_batch(model):
    """The proposals of the network: those of the attempts one by one, in batches of any size."""
    n, checks, config = 8, Checks(LENIENT, 3), SampleConfig(3)
    draws = [[Draw(UREA, k, 4, attempt) for attempt in range(3)] for k in range(n)]
    attempts = [judged(sample_batch(model, tries, config), LENIENT) for tries in draws]
    n_needed = [next((j for j, p in enumerate(tries) if not p.flag), 2) for tries in attempts]
    # slots that need no, one and more replacements, and some that stay flagged
    assert set(n_needed) == {0, 1, 2}
    for max_atoms in (1, 3 * UREA.n_atoms, 4096):
        found = sample(model, UREA, n, 4, config, max_atoms, checks=checks)
        assert [p.index for p in found] == list(range(n))
        for p, tries, needed in zip(found, attempts, n_needed, strict=True):
            wanted = tries[p.attempt]
            assert p.attempt == needed if not p.flag else all(other.flag for other in tries)
            assert (p.problem, p.flag.split(":")[0]) == (wanted.problem, wanted.flag.split(":")[0])
            np.testing.assert_allclose(p.crystal.positions, wanted.crystal.positions, atol=1e-3)
            np.testing.assert_allclose(p.crystal.lattice, wanted.crystal.lattice, atol=1e-3)
        n_valid = sum(not p.flag for p in found)
        assert Tally.of(found).acceptance == pytest.approx(100 * n_valid / sum(needed + 1 for needed in n_needed))


def test_plain_sampling_flags(model):
    proposals = sample(model, UREA, 8, 4, SampleConfig(3))
    good = [p for p in proposals if not p.problem]
    assert [p.flag for p in good] == flags_of([p.crystal for p in good], Limits())
    assert {p.flag for p in proposals if p.problem} == {"impossible cell"}


def test_every_sample_of_the_network_is_counted(model):
    steps = []
    batches = sample_batches(model, draws_of(UREA, 8, 4), SampleConfig(3), 3 * UREA.n_atoms, steps.append, Checks(LENIENT, 3))
    tally = Tally.of(p for batch in batches for p in batch)
    assert tally.n_proposals == 8 < tally.n_sampled
    assert sum(steps) == 3 * tally.n_sampled


def test_tallies_add_up():
    one = Tally.of(accepted(Scripted("glpl"), [Draw(CO2, k, 7) for k in range(4)], Checks()))
    other = Tally.of(accepted(Scripted("gp", "gg"), list(draws_of(CO2, 2, 7)), Checks(budget=2)))
    both = one + other + Tally()
    assert both == Tally(6, 7, 3, {"density": 2, "impossible cell": 2})
    assert both.text(1) == "acceptance 42.9 %: 3 of 7 samples are valid\nflagged for density 2, impossible cell 2"
    assert both.text(2).splitlines()[2] == "3 of 6 proposals stayed flagged within the budget of 2 samples each"
    assert replace(both, n_flagged=0).text(2).splitlines()[2] == "no proposal stayed flagged within the budget of 2 samples each"
    assert Tally().text(BUDGET) == "nothing was sampled"


@pytest.mark.parametrize("budget", [0, -1])
def test_no_budget(budget):
    with pytest.raises(InputError, match=f"budget must be at least 1 sample of a proposal, got {budget}"):
        Checks(budget=budget)


def test_samples_are_cleaned_before_they_are_judged(model):
    """What is kept is the cleaned crystal, and it says how far it was moved."""
    plain, cleaned = (sample(model, UREA, 8, 4, SampleConfig(3), checks=Checks(clean=clean)) for clean in (False, True))
    good = [(p, q) for p, q in zip(plain, cleaned, strict=True) if not p.problem]
    assert 0 < len(good) < 8
    crystals, report = clean_crystals([p.crystal for p, _ in good])
    for (p, q), crystal, displacement in zip(good, crystals, report.displacement.tolist(), strict=True):
        assert p.cleaning is None
        np.testing.assert_array_equal(q.crystal.positions, crystal.positions)
        assert (q.cleaning.displacement, q.flag) == (displacement, flags_of([crystal], Limits())[0])
    assert all(p.cleaning is None for p in cleaned if p.problem)
    tally = Tally.of(cleaned)
    assert tally.n_cleaned == sum(report.changed.tolist()) > 0
    assert tally.n_unclean == sum(not f for f in report.finished.tolist())
    assert f"cleaned {tally.n_cleaned} of 8 proposals, which moved their atoms by {tally.moved / tally.n_cleaned:.2f} Å" in tally.text(1)
    rows = rows_of(cleaned)
    assert [proposal_of(row).cleaning for row in rows] == [p.cleaning for p in cleaned]

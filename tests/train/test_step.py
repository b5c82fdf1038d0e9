"""One step: batches that are accumulated count as one batch, and a bad one is named."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from packflow.errors import InputError
from packflow.flow.loss import LossConfig, flow_matching_loss
from packflow.flow.path import CrystalPath, FlowPath
from packflow.structure import TemplateBatch
from packflow.train.pretrain import start
from packflow.train.step import backward, path_of, rows_of_step, train_step


@pytest.fixture
def run(config, source):
    return start(replace(config, accumulate=3), source, None, "cpu")


def joined(paths, source, rows):
    """The paths of several batches as those of one batch."""
    template = TemplateBatch.pack([source[int(row)].template for batch in rows for row in batch])

    def channel(name):
        parts = [getattr(path, name) for path in paths]
        owner = template.crystal_index if name == "positions" else None
        return FlowPath(*(torch.cat([getattr(part, key) for part in parts]) for key in ("data", "noise", "t")), owner)

    return CrystalPath(template, channel("positions"), channel("lattice"))


def test_accumulated_batches_have_the_loss_and_the_gradient_of_one_batch(run, source):
    rows = rows_of_step(run)
    assert len(rows) == 3
    assert len({len(batch) for batch in rows}) > 1  # else a plain mean over the batches would pass
    model, space = run.state.model, run.config.model.space
    paths = [path_of(run, k, batch) for k, batch in enumerate(rows)]
    whole = joined(paths, source, rows)
    expected = flow_matching_loss(whole.velocities(model), whole, space, run.config.loss)
    gradients = torch.autograd.grad(expected.total, list(model.parameters()))
    n_crystals = sum(map(len, rows))
    parts = [backward(run, path, len(batch) / n_crystals) for path, batch in zip(paths, rows, strict=True)]
    torch.testing.assert_close(torch.stack(parts).sum(0), torch.stack([expected.total, expected.positions, expected.lattice]).detach())
    got, wanted = (torch.cat([g.flatten() for g in side]) for side in ([p.grad for p in model.parameters()], gradients))
    # float32 sums over some hundred atoms, in another order
    assert (got - wanted).norm() < 1e-5 * wanted.norm()


def test_a_step_reports_all_its_batches(run, source):
    rows = rows_of_step(run)
    n_atoms = sum(source.n_atoms[batch].sum() for batch in rows)
    rate, loss, norm, reported = train_step(run)
    assert reported == n_atoms
    assert rate > 0
    assert norm > 0
    weights = np.array([len(batch) for batch in rows]) / sum(map(len, rows))
    fresh = start(run.config, source, None, "cpu")
    parts = [backward(fresh, path_of(fresh, k, batch), 1.0) for k, batch in enumerate(rows)]
    assert loss.total.item() == pytest.approx(sum(w * p[0].item() for w, p in zip(weights, parts, strict=True)), rel=1e-5)


def test_batches_of_a_step_differ_and_depend_on_the_step(run):
    first = rows_of_step(run)
    run.state.progress.step = 1
    second = rows_of_step(run)
    assert len({tuple(batch) for batch in (*first, *second)}) == 6


def test_the_crystals_without_a_finite_loss_are_named(config, source):
    """Positions so far out that their squares overflow."""
    row = 9
    crystals = list(source.crystals)
    crystals[row] = replace(crystals[row], positions=crystals[row].positions * 1e30)
    config = replace(config, loss=LossConfig("velocity"), fit_lattice=False)
    run = start(config, replace(source, crystals=crystals), None, "cpu")
    before = [p.clone() for p in run.state.model.parameters()]
    with pytest.raises(InputError, match=rf"the loss became (nan|inf) .* at step \d+, at crystals {row} of the dataset: resume"):
        for _ in range(50):
            before = [p.detach().clone() for p in run.state.model.parameters()]
            train_step(run)
    assert all(torch.equal(one, other) for one, other in zip(before, run.state.model.parameters(), strict=True))


def test_a_gradient_that_is_no_number_names_the_batch(config, source):
    run = start(config, source, None, "cpu")
    run.state.model.head_lattice[0].bias.register_hook(lambda gradient: gradient * torch.nan)
    rows = sorted({int(row) for batch in rows_of_step(run) for row in batch})
    named = f"crystals {', '.join(map(str, rows[:8]))}"
    with pytest.raises(InputError, match=rf"\(gradient norm nan\) at step 1, each loss alone being finite, in the batch of {named}"):
        train_step(run)

"""`nonbonded` and `ewald` on the GPU against the CPU."""

import pytest
import torch

from packflow.ops import NonbondedPairs, ewald, nonbonded

pytestmark = pytest.mark.gpu


@pytest.fixture
def batch(molecular_batch):
    return molecular_batch([(2, 5), (1, 33), (0, 1), (1, 1), (1, 31), (4, 8), (1, 2), (8, 12)], in_vacuum=(1, 6))


def on_gpu(batch):
    return {name: x.cuda() for name, x in batch.items()}


@pytest.mark.parametrize("cutoff", [6.0, 10.0])
def test_nonbonded(batch, cutoff):
    got, expected = nonbonded(**on_gpu(batch), cutoff=cutoff), nonbonded(**batch, cutoff=cutoff)
    for field in ("van_der_waals", "coulomb", "forces", "stress", "problem"):
        assert getattr(got, field).is_cuda
        torch.testing.assert_close(getattr(got, field).cpu(), getattr(expected, field), rtol=1e-10, atol=1e-10)


def test_kept_list(batch):
    pairs, gpu = NonbondedPairs(), on_gpu(batch)
    nonbonded(**gpu, pairs=pairs)
    moved = gpu | {"positions": gpu["positions"] + 0.1}
    got, expected = nonbonded(**moved, pairs=pairs), nonbonded(**moved)
    torch.testing.assert_close(got.forces, expected.forces, rtol=1e-10, atol=1e-10)
    assert pairs.n_builds == 1


def test_same_bits_every_time(batch):
    gpu = on_gpu(batch)
    one, other = nonbonded(**gpu), nonbonded(**gpu)
    assert torch.equal(one.energy, other.energy)
    assert torch.equal(one.forces, other.forces)


def test_ewald(batch):
    names = ("positions", "cell", "atom_ptr", "charges")
    got = ewald(*(batch[name].cuda() for name in names), 0.4, 3.5)
    expected = ewald(*(batch[name] for name in names), 0.4, 3.5)
    for field in ("energy", "forces", "strain"):
        torch.testing.assert_close(getattr(got, field).cpu(), getattr(expected, field), rtol=1e-10, atol=1e-10)


def test_problem_is_marked(batch):
    batch["positions"][0, 0] = torch.nan
    batch["positions"][-5] = batch["positions"][-20]
    assert nonbonded(**on_gpu(batch)).problem.tolist() == nonbonded(**batch).problem.tolist() == [1, *6 * [0], 2]

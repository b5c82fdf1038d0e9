"""The module's torch code in float64 -> every instruction set of the CPU kernel."""

import copy
import importlib
import re

import pytest
import torch

from packflow import _C
from packflow.model.pairs import PairRefinement, Pairs
from packflow.ops import pair_refinement

module = importlib.import_module("packflow.ops.pair_refinement")
INSTRUCTION_SETS = ["baseline", "avx2", "avx512"]
D_MODEL = 24
# Relative L2 error of the moves: a float32 keeps 6e-8, and so do the coordinates that moves are added to. Torch in float32 is 1.5e-7 off.
TOLERANCE = 1e-6
# Around the tiles of 6, the vectors of 16 and the blocks of 48 pairs.
N_PAIRS = [0, 1, 5, 6, 7, 15, 16, 17, 47, 48, 49, 95, 96, 97, 1000]


@pytest.fixture(params=INSTRUCTION_SETS)
def instruction_set(request):
    if request.param not in _C.instruction_sets():
        pytest.skip(f"this machine cannot run {request.param}")
    return request.param


@pytest.fixture(scope="module")
def refinement():
    """A network that moves atoms by about an Å."""
    torch.manual_seed(0)
    network = PairRefinement(D_MODEL).requires_grad_(False)
    torch.nn.init.normal_(network.step.weight, std=0.5)
    torch.nn.init.normal_(network.step.bias)
    return network


def make_batch(n_atoms, n_pairs, seed=0, scale=1.0):
    """Tokens, positions and pairs of random atoms: in any order, repeated, and of an atom with itself as well."""
    generator = torch.Generator().manual_seed(seed)
    x, positions = scale * torch.randn(n_atoms, D_MODEL, generator=generator), 1.5 * torch.randn(n_atoms, 3, generator=generator)
    pair_index = torch.randint(0, n_atoms, (2, n_pairs), generator=generator)
    apart = torch.randint(1, 4, (n_pairs, 1), generator=generator)
    features = torch.cat([apart, 1.0 + torch.rand(n_pairs, 2, generator=generator).cumsum(1)], 1)
    return x, positions, Pairs.of(pair_index, features)


def exact(refinement, x, positions, pairs):
    """The module's torch code in float64."""
    inputs = [t.double() for t in (pairs.range, pairs.known)]
    return copy.deepcopy(refinement).double()(x.double(), positions.double(), Pairs(pairs.target, pairs.source, *inputs))


def arguments_of(refinement, x, positions, pairs):
    states = refinement.messages.source(x), refinement.messages.target(x)
    return positions, *states, pairs.source, pairs.target, pairs.known, refinement.weights()


def error(moved, expected, positions):
    return ((moved.double() - expected).norm() / (expected - positions.double()).norm()).item()


@pytest.mark.parametrize("n_pairs", N_PAIRS)
def test_numbers_of_pairs(instruction_set, refinement, n_pairs):
    batch = make_batch(30, n_pairs)
    moved = module._launch(*arguments_of(refinement, *batch), instruction_set)
    if n_pairs == 0:
        assert torch.equal(moved, batch[1])
    else:
        assert error(moved, exact(refinement, *batch), batch[1]) < TOLERANCE


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 1000.0])
def test_small_and_large_states(instruction_set, refinement, scale):
    """Arguments of silu from thousandths to thousands."""
    batch = make_batch(40, 300, scale=scale)
    moved = module._launch(*arguments_of(refinement, *batch), instruction_set)
    expected = exact(refinement, *batch)
    assert error(moved, expected, batch[1]) < TOLERANCE
    assert (expected - batch[1].double()).norm() > 1


def test_shares_of_the_result(refinement):
    """Each input matters: without one of them the result is another, so a kernel that forgot it would be noticed."""
    *tensors, weights = arguments_of(refinement, *make_batch(20, 150))
    moved = pair_refinement(*tensors, weights)
    for k in (0, 1, 2, 5):
        changed = [t * 0.5 if i == k else t for i, t in enumerate(tensors)]
        assert not torch.allclose(pair_refinement(*changed, weights), moved, atol=1e-3)
    for name in weights._fields:
        changed = weights._replace(**{name: getattr(weights, name) * 0.5})
        assert not torch.allclose(pair_refinement(*tensors, changed), moved, atol=1e-3), name


@pytest.mark.parametrize(("n_atoms", "n_pairs"), [(1, 0), (0, 0), (1, 3)], ids=["one atom", "no atoms", "an atom with itself"])
def test_nothing_moves(instruction_set, refinement, n_atoms, n_pairs):
    x, positions, _ = make_batch(max(n_atoms, 1), 0)
    pairs = make_batch(1, n_pairs)[2]
    moved = module._launch(*arguments_of(refinement, x[:n_atoms], positions[:n_atoms], pairs), instruction_set)
    assert torch.equal(moved, positions[:n_atoms])


def test_a_number_that_is_not_finite_stays_where_torch_has_it(instruction_set, refinement):
    """In the atom itself and in those that it tells; elsewhere nothing changes."""
    x, positions, pairs = make_batch(40, 60)
    good = module._launch(*arguments_of(refinement, x, positions, pairs), instruction_set)
    for value in (torch.nan, torch.inf, -torch.inf):
        broken = positions.clone()
        broken[7] = value
        moved = module._launch(*arguments_of(refinement, x, broken, pairs), instruction_set)
        told = torch.zeros(40, dtype=torch.bool)
        told[7] = True
        told[pairs.target[pairs.source == 7]] = True
        assert torch.equal(moved.isfinite().all(1), ~told)
        assert torch.equal(refinement(x, broken, pairs).isfinite().all(1), ~told)
        assert torch.equal(moved[~told], good[~told])


def test_neither_threads_nor_the_rest_of_the_batch_change_a_bit(instruction_set, refinement):
    x, positions, pairs = make_batch(100, 1000)
    expected = module._launch(*arguments_of(refinement, x, positions, pairs), instruction_set)
    torch.set_num_threads(3)
    try:
        assert torch.equal(module._launch(*arguments_of(refinement, x, positions, pairs), instruction_set), expected)
    finally:
        torch.set_num_threads(1)
    *tensors, source, target, known, weights = arguments_of(refinement, x, positions, pairs)
    some = target < 50  # other places in other blocks
    moved = module._launch(*tensors, source[some], target[some], known[some], weights, instruction_set)
    assert torch.equal(moved[:50], expected[:50])


def test_any_layout_of_memory(refinement):
    *tensors, weights = arguments_of(refinement, *make_batch(30, 100))
    strided = [t.T.contiguous().T if t.dim() == 2 else torch.stack([t, t], 1)[:, 0] for t in tensors]
    matrices = weights._replace(pair=weights.pair.T.contiguous().T, mix=weights.mix.T.contiguous().T)
    assert torch.equal(pair_refinement(*strided, matrices), pair_refinement(*tensors, weights))


NAMES = ("positions", "source_state", "target_state", "source", "target", "known", "weights")
ERRORS = {
    "not a tensor": ({"positions": [0.0]}, TypeError, "positions must be a torch.Tensor, got list"),
    "float64": ({"positions": torch.zeros(9, 3).double()}, ValueError, "positions must have dtype torch.float32, got torch.float64"),
    "fewer states": ({"source_state": torch.zeros(8, 64)}, ValueError, "source_state must have shape (9, 64), got (8, 64)"),
    "narrow states": ({"target_state": torch.zeros(9, 32)}, ValueError, "target_state must have shape (9, 64), got (9, 32)"),
    "half states": (
        {"target_state": torch.zeros(9, 64).bfloat16()},
        ValueError,
        "target_state must have dtype torch.float32, got torch.bfloat16",
    ),
    "int32 pairs": ({"source": torch.zeros(4).int()}, ValueError, "source must have dtype torch.int64, got torch.int32"),
    "fewer targets": ({"target": torch.zeros(3).long()}, ValueError, "target must have shape (4,), got (3,)"),
    "more is known": ({"known": torch.zeros(4, 6)}, ValueError, "known must have shape (4, 5), got (4, 6)"),
    "source past the end": ({"source": torch.tensor([0, 1, 9, 2])}, ValueError, "source must be atoms from 0 to 8, got 9 for pair 2"),
    "negative target": ({"target": torch.tensor([0, -1, 3, 2])}, ValueError, "target must be atoms from 0 to 8, got -1 for pair 1"),
    "other device": ({"known": torch.zeros(4, 5, device="meta")}, ValueError, "known must be on cpu, got meta"),
    "a gradient": (
        {"positions": torch.zeros(9, 3, requires_grad=True)},
        ValueError,
        "pair_refinement has no gradient: call it under torch.no_grad()",
    ),
}
WEIGHTS = {
    "pair": (torch.zeros(64, 19), "weights.pair must have shape (64, 20), got (64, 19)"),
    "mix": (torch.zeros(64, 32), "weights.mix must have shape (64, 64), got (64, 32)"),
    "mix_bias": (torch.zeros(1), "weights.mix_bias must have shape (64,), got (1,)"),
    "step": (torch.zeros(2, 64), "weights.step must have shape (1, 64), got (2, 64)"),
    "step_bias": (torch.zeros(1).double(), "weights.step_bias must have dtype torch.float32, got torch.float64"),
    "centers": (torch.zeros(11), "weights.centers must have shape (12,), got (11,)"),
}


@pytest.fixture
def arguments(refinement):
    return dict(zip(NAMES, arguments_of(refinement, *make_batch(9, 4)), strict=True))


@pytest.mark.parametrize("name", ERRORS)
def test_message(arguments, name):
    change, kind, message = ERRORS[name]
    with pytest.raises(kind, match=re.escape(message)):
        pair_refinement(**{**arguments, **change})


@pytest.mark.parametrize("name", WEIGHTS)
def test_message_of_weights_that_do_not_fit(arguments, name):
    x, message = WEIGHTS[name]
    arguments["weights"] = arguments["weights"]._replace(**{name: x})
    with pytest.raises(ValueError, match=re.escape(message)):
        pair_refinement(**arguments)


def test_under_no_grad_a_weight_that_learns_is_no_obstacle(arguments):
    expected = pair_refinement(**arguments)
    arguments["positions"].requires_grad_()
    with torch.no_grad():
        assert torch.equal(pair_refinement(**arguments), expected)

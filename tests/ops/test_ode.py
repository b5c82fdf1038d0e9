"""Formula in float64 -> reference -> CPU kernel -> CUDA."""

import pytest
import torch

from packflow.ops import ode, reference

DTYPES = [torch.float32, torch.float64]
# Below, around and above the 64 atoms that fill the partial sums once.
SIZES = [5, 0, 1, 2, 63, 64, 65, 200]
NAMES = ("state", "velocity", "history", "coefficients", "atom_ptr", "finite", "noise")


def make(sizes=SIZES, dtype=torch.float32, seed=0, device="cpu"):
    """Random arguments by name, coefficients without zeros."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype).to(device)

    def channels():
        return normal(sum(sizes), 3), normal(len(sizes), 6)

    atom_ptr = torch.tensor([0, *torch.tensor(sizes, dtype=torch.int64).cumsum(0).tolist()], dtype=torch.int32, device=device)
    finite = torch.ones(len(sizes), dtype=torch.bool, device=device)
    return dict(zip(NAMES, (channels(), channels(), channels(), normal(len(sizes), 2, 6), atom_ptr, finite, channels()), strict=True))


def copied(arguments, change=lambda x: x):
    return {k: tuple(change(y.clone()) for y in x) if isinstance(x, tuple) else change(x.clone()) for k, x in arguments.items()}


def results(call, arguments, **options):
    """New state, new history and finite, of copies of the arguments."""
    arguments = copied(arguments) | options
    call(**arguments)
    return [*arguments["state"], *arguments["history"], arguments["finite"]]


def crystal_of_batch(arguments, c):
    """The arguments of one crystal alone."""
    first, last = arguments["atom_ptr"][c : c + 2].tolist()
    alone = {k: (x[0][first:last], x[1][c : c + 1]) for k, x in arguments.items() if isinstance(x, tuple)}
    rest = {k: arguments[k][c : c + 1] for k in ("coefficients", "finite")}
    return copied(alone | rest | {"atom_ptr": torch.tensor([0, last - first], dtype=torch.int32)})


def assert_same(got, expected, rounding):
    """Equal where `rounding` is 0, else up to so many roundings of numbers of up to 8."""
    for one, other in zip(got, expected, strict=True):
        if rounding and one.is_floating_point():
            torch.testing.assert_close(one, other, rtol=0, atol=8 * rounding * torch.finfo(one.dtype).eps, equal_nan=True)
        else:
            torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("center", [False, True], ids=["as is", "centered"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_reference_is_the_formula(dtype, center):
    arguments = make(dtype=dtype)
    exact = copied(arguments, lambda x: x.double() if x.is_floating_point() else x)
    owner = torch.repeat_interleave(torch.arange(len(SIZES)), torch.tensor(SIZES))
    got = results(reference.ode, arguments, center=center)
    for channel, rows in enumerate((owner, slice(None))):
        a, b, h, s, d, e = exact["coefficients"][rows, channel, :, None].unbind(1)
        x, v, y, z = (exact[k][channel] for k in ("state", "velocity", "history", "noise"))
        expected = a * x + b * v + h * y + s * z
        if center and channel == 0:
            mean = torch.stack([expected[owner == c].mean(0) for c in range(len(SIZES))])
            expected = expected - mean[owner]
        torch.testing.assert_close(got[channel].double(), expected, rtol=0, atol=64 * torch.finfo(dtype).eps)
        torch.testing.assert_close(got[2 + channel].double(), d * x + e * v, rtol=0, atol=64 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("with_noise", [True, False], ids=["noise", "no noise"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_kernel_is_the_reference_to_the_bit(dtype, with_noise):
    arguments = make(dtype=dtype)
    if not with_noise:
        arguments["noise"] = ()
    given = {} if with_noise else {"noise": None}
    assert_same(results(ode, arguments, **given), results(reference.ode, arguments, **given), rounding=0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_centering(dtype):
    """Sums in another order move the mean in float64 by far less than a rounding, but that may fall to the other side."""
    arguments = make(dtype=dtype)
    got = results(ode, arguments, center=True)
    assert_same(got, results(reference.ode, arguments, center=True), rounding=1 if dtype == torch.float32 else 16)
    for positions in got[0].split(SIZES):
        if len(positions):
            assert positions.double().mean(0).abs().max() < 8 * torch.finfo(dtype).eps
    # Neither the lattice nor the history is centered.
    assert_same(got[1:4], results(ode, arguments)[1:4], rounding=0)


def test_a_mean_of_the_history_does_not_reach_centered_positions():
    arguments = make(dtype=torch.float64)
    moved = copied(arguments)
    moved["history"][0].add_(torch.tensor([1.0, -2.0, 3.0]))
    got, expected = (results(ode, x, center=True)[0] for x in (moved, arguments))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-13)


def test_zero_coefficients_ignore_nan():
    """Every operand in turn is NaN where its coefficient is zero; the history of velocity and state likewise."""
    for operand, zero in (("state", [0, 4]), ("velocity", [1, 5]), ("history", [2]), ("noise", [3])):
        arguments = make()
        arguments["coefficients"][..., zero] = 0
        clean = results(ode, arguments)
        for x in arguments[operand]:
            x.fill_(torch.nan)
        for call in (ode, reference.ode):
            assert_same(results(call, arguments), clean, rounding=0)
        assert clean[-1].all()


def test_euler_is_the_plain_expression_to_the_bit():
    """The step of `packflow.flow.sampler.integrate`."""
    arguments = make()
    arguments["coefficients"][:] = torch.tensor([1.0, -0.02, 0, 0, 0, 0])
    got = results(ode, arguments)
    for channel in (0, 1):
        assert torch.equal(got[channel], arguments["state"][channel] - 0.02 * arguments["velocity"][channel])


@pytest.mark.parametrize("center", [False, True], ids=["as is", "centered"])
def test_a_crystal_does_not_depend_on_the_batch_or_the_threads(center):
    arguments = make(SIZES * 3)
    expected = results(ode, arguments, center=center)
    torch.set_num_threads(3)
    try:
        assert_same(results(ode, arguments, center=center), expected, rounding=0)
    finally:
        torch.set_num_threads(1)
    for c in range(len(SIZES)):
        first, last = arguments["atom_ptr"][c : c + 2].tolist()
        rows = slice(first, last), slice(c, c + 1)
        whole = [x[rows[k % 2]] for k, x in enumerate(expected[:4])]
        assert_same(results(ode, crystal_of_batch(arguments, c), center=center), [*whole, expected[4][c : c + 1]], rounding=0)


@pytest.mark.parametrize("call", [ode, reference.ode], ids=["kernel", "reference"])
@pytest.mark.parametrize("center", [False, True], ids=["as is", "centered"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_number_that_is_not_finite_marks_its_crystal(call, center, bad):
    arguments = make()
    arguments["velocity"][0][40, 1] = bad
    arguments["velocity"][1][7, 5] = bad
    finite = results(call, arguments, center=center)[-1]
    assert finite.tolist() == [c not in (4, 7) for c in range(len(SIZES))]


def test_the_mark_is_not_taken_back():
    arguments = make()
    arguments["finite"][3] = False
    assert results(ode, arguments)[-1].tolist() == [c != 3 for c in range(len(SIZES))]


def test_overflow_is_not_finite():
    arguments = make([4])
    arguments["coefficients"][:] = torch.tensor([3e38, 0, 0, 0, 0, 0])
    arguments["state"][0][2, 2] = 9.0
    assert results(ode, arguments)[-1].tolist() == [False]


def test_addresses_stay():
    arguments = make()
    tensors = [*arguments["state"], *arguments["history"], arguments["finite"]]
    before = [x.data_ptr() for x in tensors]
    ode(**arguments)
    assert [x.data_ptr() for x in tensors] == before


def test_no_crystals():
    assert [x.numel() for x in results(ode, make([]), center=True)] == [0] * 5


def replaced(**changes):
    return lambda arguments: arguments | changes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replaced(finite=torch.ones(8)), r"finite must have dtype torch\.bool, got torch\.float32"),
        (replaced(coefficients=torch.ones(2, 6)), r"coefficients must have shape \(8, 2, 6\), got \(2, 6\)"),
        (replaced(atom_ptr=torch.zeros(9, dtype=torch.int32)), "atom_ptr must rise from 0 to the number of atoms, 400"),
        (replaced(atom_ptr=torch.zeros(4, dtype=torch.int32)), r"atom_ptr must have shape \(9,\), got \(4,\)"),
        (replaced(velocity=(torch.zeros(400, 3), torch.zeros(7, 6))), r"velocity\[1\] must have shape \(8, 6\), got \(7, 6\)"),
        (replaced(noise=(torch.zeros(400, 3).double(), torch.zeros(8, 6))), r"noise\[0\] must have dtype torch\.float32"),
        (replaced(velocity=(torch.zeros(3, 400).T, torch.zeros(8, 6))), r"velocity must be contiguous, got strides \(1, 400\)"),
        (replaced(history=(torch.zeros(400, 3).requires_grad_(), torch.zeros(8, 6))), "must not require a gradient"),
    ],
)
def test_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ode(**change(make()))


@pytest.mark.gpu
@pytest.mark.parametrize("center", [False, True], ids=["as is", "centered"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_cuda_equals_cpu(dtype, center):
    arguments = make(SIZES * 9, dtype)
    got = results(ode, copied(arguments, lambda x: x.cuda()), center=center)
    assert_same([x.cpu() for x in got], results(ode, arguments, center=center), rounding=0)


@pytest.mark.gpu
def test_a_cuda_graph_holds_it():
    arguments = copied(make(), lambda x: x.cuda())
    ode(**copied(arguments))
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    captured = copied(arguments)
    with torch.cuda.graph(graph):
        ode(**captured, center=True)
    expected = copied(arguments)
    for _ in range(3):
        graph.replay()
        ode(**expected, center=True)
    assert_same([*captured["state"], captured["finite"]], [*expected["state"], expected["finite"]], rounding=0)

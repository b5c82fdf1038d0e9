"""The CUDA kernel of ode, run on the CPU, against the CPU kernel: the same bits."""

import pytest
import torch

from packflow.ops import ode

# Around a warp, the threads of a block, and twice those.
SIZES = [0, 1, 2, 10, 11, 63, 64, 65, 128, 129, 0]


@pytest.fixture
def make(generator):
    """A function that makes state, velocity, history, noise, coefficients and atom_ptr at random."""

    def make(sizes, dtype):
        def normal(*shape):
            return torch.randn(*shape, generator=generator, dtype=dtype)

        channels = [(normal(sum(sizes), 3), normal(len(sizes), 6)) for _ in range(4)]
        atom_ptr = torch.tensor([0, *torch.tensor(sizes).cumsum(0).tolist()], dtype=torch.int32)
        return [*channels, normal(len(sizes), 2, 6), atom_ptr]

    return make


@pytest.fixture
def emulated(run_arguments):
    """New state, history and finite of the emulated `ode` for each order of the threads."""

    def emulated(state, velocity, history, noise, coefficients, atom_ptr, center, **options):
        members = {"state": state, "velocity": velocity, "history": history, "noise": noise}
        arguments = {f"batch.{channel} {name}": x[k] for k, channel in enumerate("pl") for name, x in members.items()}
        arguments |= {"batch.coefficients": coefficients, "batch.atom_ptr": atom_ptr, "batch.n_crystals": len(coefficients)}
        arguments |= {"batch.finite": torch.ones(len(coefficients), dtype=torch.bool), "center": center}
        results = run_arguments("ode", coefficients.dtype, arguments, **options)
        names = ("p state", "l state", "p history", "l history", "finite")
        return [[result[f"batch.{name}"] for name in names] for result in results]

    return emulated


def on_cpu(state, velocity, history, noise, coefficients, atom_ptr, center):
    """The same of the CPU kernel."""
    state, history = (tuple(x.clone() for x in pair) for pair in (state, history))
    finite = torch.ones(len(coefficients), dtype=torch.bool)
    ode(state, velocity, history, coefficients, atom_ptr, finite, noise if isinstance(noise[0], torch.Tensor) else None, center)
    return [*state, *history, finite]


@pytest.mark.parametrize("center", [False, True], ids=["as is", "centered"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_emulated_equals_the_cpu_kernel(emulated, make, dtype, center):
    arguments = make(SIZES, dtype)
    # The velocity of crystal 3 is ignored, that of crystal 4 is not.
    arguments[4][3, :, 1::2] = 0
    arguments[1][0][[5, 15]] = torch.nan
    arguments[0][1][6, 2] = torch.inf
    expected = on_cpu(*arguments, center)
    assert expected[-1].tolist() == [c not in (4, 6) for c in range(len(SIZES))]
    for got in emulated(*arguments, center):
        for one, other in zip(got, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("sizes", [[], [1], [64, 0, 65]], ids=str)
def test_without_noise_under_sanitizers(emulated, make, sizes):
    arguments = make(sizes, torch.float32)
    arguments[3] = (0, 0)
    expected = on_cpu(*arguments, True)
    for got in emulated(*arguments, True, sanitize=True):
        for one, other in zip(got, expected, strict=True):
            assert torch.equal(one, other)


def test_a_missing_barrier_is_found(emulated, make):
    arguments = make([65, 40], torch.float32)
    change = ("ode.cu", "sums[thread] = sum;\n    __syncthreads();", "sums[thread] = sum;")
    expected = on_cpu(*arguments, True)[0]
    assert not all(torch.equal(got[0], expected) for got in emulated(*arguments, True, change=change))

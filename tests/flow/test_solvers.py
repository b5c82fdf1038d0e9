"""Solvers on closed-form fields: normal data have an exact velocity and an exact flow."""

import math

import pytest
import torch

from packflow.errors import InputError
from packflow.flow.integrate import integrate
from packflow.flow.solvers import Stage, solver_stages
from packflow.flow.time_grid import TimeGrid

SOLVERS = ["euler", "heun", "ab2", "multistep"]
GRIDS = [TimeGrid("linear"), TimeGrid("quadratic"), TimeGrid("exponential"), TimeGrid("power", power=1.5)]
COMPAT = [TimeGrid(kind, compat=True) for kind in ("linear", "quadratic", "exponential")]
MEAN, DEVIATION = 0.7, 0.4
ATOM_PTR = torch.tensor([0, 2, 2, 7], dtype=torch.int32)


def normal_velocity(x, t, mean=MEAN, deviation=DEVIATION):
    """Velocity of the flow to independent normal numbers: E[noise - data | x]."""
    scaled = (x - (1 - t) * mean) / ((1 - t) ** 2 * deviation**2 + t**2)
    return t * scaled - (mean + (1 - t) * deviation**2 * scaled)


def normal_field(deviation=DEVIATION):
    def field(x, lattice, t_positions, t_lattice):
        return normal_velocity(x, t_positions[0], deviation=deviation), normal_velocity(lattice, t_lattice[0], deviation=deviation)

    return field


def start(dtype=torch.float64, seed=0):
    """Noise of three crystals of 2, 0 and 5 atoms."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(7, 3, generator=generator, dtype=dtype), torch.randn(3, 6, generator=generator, dtype=dtype)


def run(field, stages, noise=None, **options):
    noise = noise or start()
    positions, lattice, finite = integrate(field, *noise, ATOM_PTR, stages, **options)
    assert finite.all()
    return positions, lattice


def worst(got, expected):
    return max((x - y).abs().max().item() for x, y in zip(got, expected, strict=True))


@pytest.mark.parametrize("grids", [(GRIDS[0], GRIDS[0]), (GRIDS[3], GRIDS[1]), (GRIDS[2], GRIDS[3])], ids=["linear", "mixed", "shrinking"])
@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("ab2", 2), ("multistep", 2)])
def test_order_of_convergence(solver, order, grids):
    """The exact flow takes x at t = 1 to mean + deviation x."""
    exact = [MEAN + DEVIATION * x for x in start()]
    errors = [worst(run(normal_field(), solver_stages(solver, n, *grids)), exact) for n in (100, 200, 400)]
    assert errors[-1] < (6e-3 if order == 1 else 6e-4)
    # "multistep" has a logarithm of the number of steps in its error unless steps shrink toward the data.
    assert math.log2(errors[1] / errors[2]) == pytest.approx(order, abs=0.35 if solver == "multistep" else 0.15)


@pytest.mark.parametrize("n_steps", [1, 2, 3, 8])
@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: grid.kind)
@pytest.mark.parametrize("solver", ["euler", "multistep"])
def test_a_single_data_point_is_reached_exactly(solver, grid, n_steps, generator):
    """All paths lead to it, so the predicted data are right and the same at every step."""
    data = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in start()]

    def field(x, lattice, t_positions, t_lattice):
        return (x - data[0]) / t_positions[0], (lattice - data[1]) / t_lattice[0]

    assert worst(run(field, solver_stages(solver, n_steps, grid, GRIDS[0])), data) < 1e-13


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_steps", [1, 2, 5])
def test_a_straight_flow_arrives_at_the_data(solver, n_steps):
    """With a constant velocity every solver is exact, on any grid."""
    data, noise = start(seed=1), start()
    velocity = [x - y for x, y in zip(noise, data, strict=True)]
    for grid in GRIDS:
        assert worst(run(lambda *_: velocity, solver_stages(solver, n_steps, grid, GRIDS[0])), data) < 1e-13


@pytest.mark.parametrize("grids", [*zip(GRIDS + COMPAT, GRIDS + COMPAT, strict=True), (COMPAT[1], GRIDS[2])], ids=str)
def test_euler_is_its_loop_to_the_bit(grids):
    def field(x, lattice, t_positions, t_lattice):
        return x.sin() * t_positions[0] + x, lattice.cos() - lattice * t_lattice[:, None]

    noise = start(torch.float32)
    x, lattice = expected = noise
    for (t_positions, step_positions), (t_lattice, step_lattice) in zip(*(grid.steps(20) for grid in grids), strict=True):
        moved = field(x, lattice, torch.full((len(lattice),), t_positions), torch.full((len(lattice),), t_lattice))
        x, lattice = expected = x - step_positions * moved[0], lattice - step_lattice * moved[1]
    got = run(field, solver_stages("euler", 20, *grids), noise)
    assert all(torch.equal(x, y) for x, y in zip(got, expected, strict=True))


@pytest.mark.parametrize("solver", SOLVERS)
def test_when_the_network_is_asked(solver):
    stages = solver_stages(solver, 4, GRIDS[0], TimeGrid("power", power=2))
    times = [(stage.t_positions, stage.t_lattice) for stage in stages]
    expected = [(1.0, 1.0), (0.75, 0.5625), (0.5, 0.25), (0.25, 0.0625)]
    if solver == "heun":
        expected = [expected[0], *(t for t in expected[1:] for _ in range(2))]
    assert times == expected
    assert all(stage.coefficients.shape == (2, 6) for stage in stages)


@pytest.mark.parametrize("solver", SOLVERS)
def test_no_tempering_changes_no_bit(solver):
    plain = solver_stages(solver, 9, GRIDS[2], GRIDS[1])
    for tempering in (1.0, torch.ones(())):
        same = solver_stages(solver, 9, GRIDS[2], GRIDS[1], tempering)
        assert all(torch.equal(x.coefficients, y.coefficients) for x, y in zip(plain, same, strict=True))
    for x, y in zip(plain, solver_stages(solver, 9, GRIDS[2], GRIDS[1], torch.ones(2)), strict=True):
        assert torch.equal(x.coefficients.expand(2, 2, 6), y.coefficients)


@pytest.mark.parametrize("width", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("strength", [0.5, 1.5, 4.0])
@pytest.mark.parametrize("solver", SOLVERS)
def test_tempered_normal_data_have_their_variance_divided(solver, strength, width):
    """Exactly so for data of that width, around any mean: x at t = 1 goes to mean + width x / sqrt(strength)."""
    exact = [MEAN + width * x / math.sqrt(strength) for x in start()]
    grid = GRIDS[3]
    errors = [worst(run(normal_field(width), solver_stages(solver, n, grid, grid, strength, width)), exact) for n in (200, 400)]
    assert errors[1] < (0.02 if solver == "euler" else 0.002) * max(x.abs().max().item() for x in exact)
    assert errors[0] / errors[1] > (1.8 if solver == "euler" else 2.8)


def test_data_narrower_than_the_width_become_narrower_still():
    deviations = [(run(normal_field(0.3), solver_stages("heun", 100, tempering=s))[0] - MEAN).abs().mean() for s in (2.0, 1.0, 0.5)]
    assert deviations[0] < math.sqrt(1 / 2) * deviations[1]
    assert deviations[2] > math.sqrt(2) * deviations[1]


@pytest.mark.parametrize("solver", SOLVERS)
def test_coefficients_are_bounded(solver):
    for strength in (0.05, 1.0, 20.0):
        for n_steps in (1, 3, 1000):
            for stage in solver_stages(solver, n_steps, GRIDS[2], GRIDS[1], strength):
                assert stage.coefficients.isfinite().all()
                assert stage.coefficients.abs().max() < 40


@pytest.mark.parametrize("solver", SOLVERS)
def test_crystals_with_strengths_of_their_own(solver):
    strengths = torch.tensor([1.0, 2.5, 0.8], dtype=torch.float64)
    got = run(normal_field(), solver_stages(solver, 12, GRIDS[3], GRIDS[0], strengths), center=True)
    for c, strength in enumerate(strengths.tolist()):
        alone = run(normal_field(), solver_stages(solver, 12, GRIDS[3], GRIDS[0], strength), center=True)
        rows = slice(*ATOM_PTR[c : c + 2].tolist())
        assert torch.equal(got[0][rows], alone[0][rows])
        assert torch.equal(got[1][c], alone[1][c])


def spread(stages, mean=MEAN, deviation=DEVIATION):
    """Mean and variance that an Euler sampler ends with on normal data: each update is linear in x."""
    at, variance = 0.0, 1.0
    for stage in stages:
        t = torch.tensor(stage.t_positions, dtype=torch.float64)
        a, b, _, s, _, _ = stage.coefficients[0].tolist()
        offset = normal_velocity(torch.zeros(()), t, mean, deviation).item()
        slope = normal_velocity(torch.ones(()), t, mean, deviation).item() - offset
        at, variance = (a + b * slope) * at + b * offset, (a + b * slope) ** 2 * variance + s**2
    return at, variance


@pytest.mark.parametrize("eta", [0.3, 1.0, 3.0])
def test_noise_keeps_the_distribution(eta):
    """Mean and variance are those of the data but for an error of first order."""
    errors = []
    for n_steps in (200, 400):
        mean, variance = spread(solver_stages("euler", n_steps, eta=eta))
        assert mean == pytest.approx(MEAN, abs=1e-6)
        errors.append(abs(variance - DEVIATION**2))
    assert errors[0] < 0.01 * (1 + eta)
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.2)


def test_noise_by_sampling():
    """20,000 numbers know a deviation to 0.5 %."""
    generator = torch.Generator().manual_seed(0)
    atom_ptr = torch.tensor([0, 6000, 7000], dtype=torch.int32)

    def noise():
        return torch.randn(7000, 3, generator=generator), torch.randn(2, 6, generator=generator)

    stages = solver_stages("euler", 50, eta=1.0)
    positions, _, finite = integrate(normal_field(), *noise(), atom_ptr, stages, noise=noise)
    mean, variance = spread(stages)
    assert finite.all()
    assert positions.mean().item() == pytest.approx(mean, abs=0.02 * DEVIATION)
    assert positions.std().item() == pytest.approx(math.sqrt(variance), rel=0.015)


def test_where_noise_is_added():
    assert not any(stage.is_noisy for stage in solver_stages("euler", 10))
    stages = solver_stages("euler", 10, eta=0.5)
    assert [stage.is_noisy for stage in stages] == [True] * 9 + [False]
    plain = solver_stages("euler", 10)
    assert torch.equal(stages[-1].coefficients, plain[-1].coefficients)
    # The first step keeps nothing of the noise: x' = (1 - u) (x - v) + u fresh.
    torch.testing.assert_close(stages[0].coefficients[0], torch.tensor([0.1, -0.1, 0, 0.9, 0, 0], dtype=torch.float64))


@pytest.mark.parametrize("solver", SOLVERS)
def test_centered_flow(solver):
    """Subtracting the mean at every stage or once at the end is the same where the field does not look at it."""
    free = run(lambda x, lattice, t, _: (x.mean() + t.sum() * x, lattice), stages := solver_stages(solver, 20))[0]
    centered = run(lambda x, lattice, t, _: (3 + t.sum() * x, lattice), stages, center=True)[0]
    for a, b in zip(free.split([2, 0, 5]), centered.split([2, 0, 5]), strict=True):
        torch.testing.assert_close(b, a - a.mean(0) if len(a) else a, rtol=0, atol=1e-12)


def test_a_crystal_that_is_not_finite_is_marked():
    def field(x, lattice, t_positions, t_lattice):
        bad = torch.zeros_like(lattice)
        bad[2, 3] = torch.nan if t_positions[0] == 0.75 else 0
        return torch.zeros_like(x), bad

    finite = integrate(field, *start(), ATOM_PTR, solver_stages("ab2", 4))[2]
    assert finite.tolist() == [True, True, False]


def test_the_noise_is_left_as_it_is_and_stages_are_counted():
    noise, calls = start(torch.float32), []
    before = [x.clone() for x in noise]
    end = run(normal_field(), solver_stages("heun", 5), noise, on_stage=lambda: calls.append(1))
    assert all(torch.equal(x, y) for x, y in zip(noise, before, strict=True))
    assert [x.dtype for x in end] == [torch.float32] * 2
    assert len(calls) == 9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: solver_stages("rk4", 5), "solver must be one of 'euler', 'heun', 'ab2', 'multistep', got 'rk4'"),
        (lambda: solver_stages("euler", 0), "n_steps must be at least 1, got 0"),
        (lambda: solver_stages("heun", 5, COMPAT[1]), "compat must go with the solver 'euler' and eta 0, got 'heun'"),
        (lambda: solver_stages("euler", 5, GRIDS[0], COMPAT[0], eta=0.5), "compat must go with .* got eta 0.5"),
        (lambda: solver_stages("ab2", 5, eta=1.0), "eta must be 0 unless the solver is 'euler', got 1.0 with 'ab2'"),
        (lambda: solver_stages("euler", 5, eta=-1.0), "eta must be a finite number of 0 or more, got -1.0"),
        (lambda: solver_stages("euler", 5, tempering=0.0), "tempering must be a finite number above 0"),
        (lambda: solver_stages("euler", 5, tempering=torch.tensor([1.0, math.nan])), "tempering must be a finite number above 0"),
        (lambda: solver_stages("euler", 5, width=0.0), "width must be a finite number above 0, got 0.0"),
        (lambda: solver_stages("euler", 1000, TimeGrid("power", power=9.0)), "must have a length that a float64 can hold"),
        (lambda: run(normal_field(), solver_stages("euler", 5, eta=1.0)), "noise must be given"),
        (lambda: run(normal_field(), [Stage(1.0, 1.0, torch.zeros(2, 2, 6))]), "must have coefficients of 3 crystals, got those of 2"),
    ],
)
def test_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()

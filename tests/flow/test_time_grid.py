"""Times and lengths of the integration's steps."""

import pytest

from packflow.errors import InputError
from packflow.flow.time_grid import TimeGrid

KINDS = ["linear", "quadratic", "exponential", "power"]


@pytest.mark.parametrize("n_steps", [1, 2, 7, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_lead_from_noise_to_data(kind, n_steps):
    steps = TimeGrid(kind).steps(n_steps)
    assert len(steps) == n_steps
    assert steps[0][0] == 1
    for (time, length), (later, _) in zip(steps, [*steps[1:], (0.0, 0.0)], strict=True):
        assert length > 0
        assert time - length == pytest.approx(later, abs=1e-12)


def test_where_steps_are_short():
    quadratic, exponential = (TimeGrid(kind).steps(10) for kind in ("quadratic", "exponential"))
    assert quadratic[0][1] < quadratic[-1][1]
    assert exponential[0][1] > exponential[-1][1]


@pytest.mark.parametrize(("kind", "n_steps", "total"), [("linear", 20, 1), ("quadratic", 20, 0.995), ("exponential", 20, 1.0059)])
def test_the_released_grids_miss_the_data_as_described(kind, n_steps, total):
    steps = TimeGrid(kind, compat=True).steps(n_steps)
    assert sum(length for _, length in steps) == pytest.approx(total, abs=5e-5)
    assert steps[-1][1] == steps[-2][1]
    assert TimeGrid(kind, compat=True).steps(1) == [(1.0, 1.0)]


def test_the_released_exponential_grid_looks_at_the_data():
    assert TimeGrid("exponential", compat=True).steps(20)[-1][0] == 0
    assert TimeGrid("exponential").steps(20)[-1][0] > 0


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_power(power):
    times = [time for time, _ in TimeGrid("power", power=power).steps(8)]
    assert times == pytest.approx([(1 - k / 8) ** power for k in range(8)], abs=1e-14)


def test_refused():
    with pytest.raises(InputError, match="'linear', 'quadratic', 'exponential' or 'power', got 'cosine'"):
        TimeGrid("cosine")
    with pytest.raises(InputError, match=r"power of a time grid must be a finite number above 0, got 0\.0"):
        TimeGrid("power", power=0.0)
    with pytest.raises(InputError, match="compat must be False for the time grid 'power'"):
        TimeGrid("power", compat=True)

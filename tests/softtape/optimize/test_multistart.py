import numpy as np
import pytest

from softtape.optimize import Bounds, LevenbergMarquardt, minimize
from softtape.optimize.multistart import multistart

X = np.linspace(0.0, 3.0 * np.pi, 200)


def run(objective, start, bounds=None, **options):
    theta = np.array(start, float)
    bounds = bounds or Bounds.unbounded(theta.size)

    def descend(point):
        result = minimize(objective, point, optimizer=LevenbergMarquardt(), bounds=bounds)
        return result.theta, result.value

    return multistart(objective.value, descend, theta, bounds, **options)


@pytest.fixture
def sine(squares):
    return squares(lambda t: np.sin(t[0] * X) - np.sin(1.5 * X))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("start", [0.2, 2.25, 3.0])
def test_sine_from_the_bad_starts(sine, start, seed):
    assert run(sine, [start], restarts=0)[0].value > 1  # it is bad indeed
    best, *others = run(sine, [start], restarts=20, seed=seed)
    assert best.theta == pytest.approx([1.5])
    assert sum(basin.starts for basin in [best, *others]) == 21
    assert all(best.value < basin.value for basin in others)


def test_it_ends_at_the_threshold(sine):
    basins = run(sine, [0.2], restarts=1000, threshold=1e-9)
    assert basins[0].value <= 1e-9
    assert sum(basin.starts for basin in basins) < 10


def test_the_same_seed_gives_the_same_starts(sine):
    one, two = (run(sine, [0.2], restarts=6, seed=3) for _ in range(2))
    assert [b.first.tolist() for b in one] == [b.first.tolist() for b in two]
    other = run(sine, [0.2], restarts=6, seed=4)
    assert [b.first.tolist() for b in one] != [b.first.tolist() for b in other]


def test_a_rastrigin_of_ten_dimensions(squares):
    """Σ θᵢ² + 10 (1 - cos 2πθᵢ), as squares: 11¹⁰ minima in the box, one of them 0."""

    def residuals(theta):
        return np.concatenate([theta, np.sqrt(20.0) * np.sin(np.pi * theta)])

    bounds = Bounds(np.full(10, -5.12), np.full(10, 5.12))
    start = np.random.default_rng(5).uniform(-5, 5, 10)
    for seed in range(2):
        basins = run(squares(residuals), start, bounds, restarts=100, threshold=1e-9, seed=seed)
        assert basins[0].value <= 1e-9
    assert run(squares(residuals), start, bounds, restarts=0)[0].value > 10


def test_every_point_is_in_bounds_and_failures_are_passed_over(squares):
    def residuals(theta):
        return np.where(np.real(theta) < 1.0, np.nan, theta - 2.0)

    bounds = Bounds(np.array([0.0]), np.array([np.inf]))
    objective = squares(residuals)
    (basin,) = run(objective, [1.5], bounds, restarts=9)
    assert basin.theta == pytest.approx([2.0])
    assert basin.starts == 10
    assert all(bounds.contains(np.real(asked)) for asked in objective.asked)

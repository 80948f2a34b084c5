"""Gradient descent, Adam and L-BFGS: answers, bounds, units, regions without a value."""

import numpy as np
import pytest

from softtape import SoftError
from softtape.optimize import (
    LBFGS,
    OPTIMIZERS,
    Adam,
    Bounds,
    GradientDescent,
    Momentum,
    Status,
    minimize,
)
from softtape.optimize.base import parameter_scale

ALL = ["gradient-descent", "momentum", "adam", "lbfgs", "newton-cg"]


def fit(objective, theta, name="lbfgs", bounds=None, **options):
    theta = np.array(theta, dtype=float)
    bounds = bounds or Bounds.unbounded(theta.size)
    return minimize(objective, theta, optimizer=OPTIMIZERS[name](), bounds=bounds, **options)


@pytest.mark.parametrize(
    ("name", "limit"), [("gradient-descent", 9000), ("momentum", 2000), ("adam", 9000)]
)
def test_first_order_methods_come_down_rosenbrock(name, limit, rosenbrock):
    result = fit(rosenbrock, (-1.2, 1.0), name, max_steps=limit)
    assert result.theta == pytest.approx([1.0, 1.0], abs=2e-2)


def test_lbfgs_solves_rosenbrock_and_powell(rosenbrock, powell):
    result = fit(rosenbrock, (-1.2, 1.0))
    assert result.theta == pytest.approx([1.0, 1.0], abs=1e-9)
    assert result.evaluations < 150
    result = fit(powell, (0.0, 1.0))
    assert result.value < 1e-18
    assert result.theta == pytest.approx([1.098159e-5, 9.106146], rel=1e-5)


def test_lbfgs_in_many_dimensions(smooth):
    n = 200
    weights = np.logspace(0, 4, n)
    objective = smooth(lambda b: float(weights @ (b - 1) ** 2) + 1, lambda b: 2 * weights * (b - 1))
    result = fit(objective, np.zeros(n))
    assert result.status.converged
    assert result.theta == pytest.approx(np.ones(n), abs=1e-5)
    assert result.evaluations < 1500


@pytest.mark.parametrize("name", ALL)
def test_convergence_without_any_limit(name, smooth):
    objective = smooth(
        lambda b: float(np.cosh(b[0] - 2) + 3 * (b[1] + 1) ** 2),
        lambda b: np.array([np.sinh(b[0] - 2), 6 * (b[1] + 1)]),
    )
    result = fit(objective, (0.5, 0.5), name)
    assert result.status.converged
    assert result.theta == pytest.approx([2.0, -1.0], abs=1e-6)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("start", [(1.0, 1.0), (0.0, 0.0), (0.0, 1.0)])
def test_units_of_a_millionth_beside_a_million(name, start, smooth):
    unit = np.array([1e-6, 1e6])

    def residual(b):
        return b / unit - np.array([2.0, 3.0])

    objective = smooth(lambda b: float(np.sum(residual(b) ** 2)), lambda b: 2 * residual(b) / unit)
    result = fit(objective, unit * start, name, threshold=1e-10, max_steps=3000)
    assert result.status is Status.THRESHOLD
    assert result.theta / unit == pytest.approx([2.0, 3.0], abs=1e-4)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_the_first_step_of_gradient_descent_suits_the_unit(unit, smooth):
    objective = smooth(
        lambda b: float(np.sum((b / unit - 2) ** 2)), lambda b: 2 * (b / unit - 2) / unit
    )
    result = fit(objective, [unit], "gradient-descent", threshold=1e-12)
    assert result.status is Status.THRESHOLD
    assert result.evaluations < 100


def test_gradient_descent_follows_its_formula(smooth):
    objective = smooth(lambda b: float(np.sum(b**2)), lambda b: 2 * b)
    optimizer, bounds = GradientDescent(growth=1.5, shrink=0.5), Bounds.unbounded(1)
    state = optimizer.start(objective, np.array([8.0]), bounds)
    size = 0.1 / (8.0 * 16.0)  # b is 8 at the start, so it is measured in units of 8
    for _ in range(20):
        assert state.step_size == pytest.approx(size, rel=1e-12)
        theta = state.theta[0]
        while abs(theta - size * 64 * 2 * theta) >= abs(theta):
            size *= 0.5
        state = optimizer.step(objective, bounds, state)
        assert state.theta[0] == pytest.approx(theta - size * 64 * 2 * theta, rel=1e-9)
        size *= 1.5


def test_adam_takes_its_published_first_steps(smooth):
    objective = smooth(lambda b: float(np.sum(b**2)), lambda b: 2 * b)
    optimizer, bounds = Adam(learning_rate=0.01), Bounds.unbounded(2)
    state = optimizer.start(objective, np.array([5.0, -0.25]), bounds)
    state = optimizer.step(objective, bounds, state)
    # The first step of Adam is the rate times the sign of the gradient, here in relative units.
    assert state.theta == pytest.approx([5.0 * 0.99, -0.25 * 0.99], rel=1e-6)
    assert state.first == pytest.approx([1.0, -0.05])
    assert state.second == pytest.approx([0.1, 0.001 * 0.25])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("start", [(-1.2, 1.0), (-2.0, 2.0), (0.5, -2.0)])
def test_an_optimum_on_a_bound(name, start, rosenbrock):
    bounds = Bounds(np.array([-2.0, -2.0]), np.array([0.5, 2.0]))
    result = fit(rosenbrock, start, name, bounds, max_steps=6000)
    assert result.theta == pytest.approx([0.5, 0.25], abs=1e-5)
    assert result.theta[0] == 0.5
    assert all(bounds.contains(theta) for theta in rosenbrock.asked)


def test_lbfgs_in_a_box_agrees_with_scipy(smooth):
    peer = pytest.importorskip("scipy.optimize")
    n = 12
    rng = np.random.default_rng(3)
    root = rng.normal(size=(n, n))
    matrix, pull = root @ root.T + 0.1 * np.eye(n), 5 * rng.normal(size=n)
    objective = smooth(
        lambda b: float(0.5 * b @ matrix @ b - pull @ b), lambda b: matrix @ b - pull
    )
    bounds = Bounds(np.full(n, -0.5), np.full(n, 0.5))
    result = fit(objective, np.zeros(n), bounds=bounds)
    best = peer.minimize(
        objective.function,
        np.zeros(n),
        jac=objective.gradient,
        bounds=[(-0.5, 0.5)] * n,
        options={"ftol": 1e-15, "gtol": 1e-10},
    )
    assert result.status.converged
    assert np.count_nonzero(np.abs(result.theta) == 0.5) >= 2
    assert result.value == pytest.approx(best.fun, rel=1e-9)
    assert result.theta == pytest.approx(best.x, abs=1e-4)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("hole", [np.inf, np.nan, -np.inf])
def test_a_region_without_a_finite_loss_shortens_the_step(name, hole, smooth):
    # A wall beyond 1.5, close behind the minimum at 1.4.
    objective = smooth(
        lambda b: float((b[0] - 1.4) ** 4 + (b[0] - 1.4) ** 2) if b[0] < 1.5 else hole,
        lambda b: 4 * (b - 1.4) ** 3 + 2 * (b - 1.4),
    )
    result = fit(objective, [-3.0], name, threshold=1e-12, max_steps=5000)
    assert result.status is Status.THRESHOLD
    assert result.theta[0] == pytest.approx(1.4, abs=1e-5)


def test_a_trial_beyond_the_wall_was_really_made(smooth):
    objective = smooth(lambda b: float(b[0] ** 2) if b[0] > -1 else np.inf, lambda b: 2 * b)
    result = minimize(
        objective, np.array([9.0]), optimizer=GradientDescent(first_change=40.0),
        bounds=Bounds.unbounded(1), threshold=1e-12,
    )  # fmt: skip
    assert any(theta[0] <= -1 for theta in objective.asked)
    assert result.status is Status.THRESHOLD


@pytest.mark.parametrize("memory", [1, 3, 10])
def test_lbfgs_keeps_no_more_pairs_than_its_memory(memory, rosenbrock):
    optimizer, bounds = LBFGS(memory=memory), Bounds.unbounded(2)
    state = optimizer.start(rosenbrock, np.array([-1.2, 1.0]), bounds)
    for k in range(1, 15):
        state = optimizer.step(rosenbrock, bounds, state)
        assert state.moves.shape == state.changes.shape == (min(k, memory), 2)


def test_lbfgs_discards_pairs_of_negative_curvature(smooth):
    # Concave around the start: the first pair has y's < 0, and the next step still goes down.
    objective = smooth(lambda b: float(-np.cos(b[0])), lambda b: np.sin(b))
    result = fit(objective, [3.0])
    assert result.status.converged
    assert np.cos(result.theta[0]) == pytest.approx(1.0)


def test_momentum_follows_its_formula(smooth):
    objective = smooth(lambda b: float(np.sum(b**2)), lambda b: 2 * b)
    optimizer, bounds = Momentum(growth=1.0, shrink=0.5), Bounds.unbounded(1)
    first = optimizer.start(objective, np.array([8.0]), bounds)
    size = 0.1 / (8.0 * 16.0)
    assert first.step_size == pytest.approx(size)
    one = optimizer.step(objective, bounds, first)
    assert one.theta == pytest.approx([8.0 - size * 64 * 16.0])
    t = (1 + np.sqrt(5)) / 2
    beta = (t - 1) / ((1 + np.sqrt(1 + 4 * t**2)) / 2)
    ahead = one.theta + beta * (one.theta - first.theta)
    two = optimizer.step(objective, bounds, one)
    assert two.theta == pytest.approx(ahead - size * 64 * 2 * ahead)


def test_momentum_needs_fewer_steps_in_a_valley(smooth):
    weights = np.array([1.0, 100.0, 3000.0])
    objective = smooth(lambda b: float(weights @ (b - 1) ** 2), lambda b: 2 * weights * (b - 1))
    steps = {
        name: fit(objective, (2.0, 2.0, 2.0), name, threshold=1e-6).steps
        for name in ("gradient-descent", "momentum")
    }
    assert steps["momentum"] < steps["gradient-descent"] / 3


def test_elements_of_an_array_share_their_size():
    theta = np.array([5.0, 0.1, -0.2, 0.0, 0.3, 0.0])
    alone = Bounds(np.full(6, -np.inf), np.full(6, np.inf))
    assert parameter_scale(theta, alone).tolist() == [5.0, 0.1, 0.2, 1.0, 0.3, 1.0]
    joined = Bounds(alone.lower, alone.upper, parts=(1, 4, 1))
    common = np.sqrt(0.14 / 4)
    assert parameter_scale(theta, joined) == pytest.approx([5.0, *[common] * 4, 1.0])


def test_elements_of_different_units_do_not():
    theta = np.array([1e-6, 1e6, 2e6])
    bounds = Bounds(np.full(3, -np.inf), np.full(3, np.inf), parts=(3,))
    assert parameter_scale(theta, bounds).tolist() == theta.tolist()


def test_parts_must_be_those_of_the_bounds():
    with pytest.raises(SoftError, match="parts of 5 variables in bounds of 6"):
        Bounds(np.zeros(6), np.ones(6), parts=(2, 3))


LINE_SEARCHES = [name for name in ALL if name != "adam"]


@pytest.mark.parametrize("name", LINE_SEARCHES)
def test_a_loss_that_comes_down_to_rounding_has_converged(name, smooth):
    """Two classes that can be told apart: log(1 + exp(-t x)) falls for ever, and rounds to 0."""
    x = np.array([0.5, 1.0, 3.0])

    def value(t):
        return float(np.sum(np.log(1 + np.exp(-t[0] * x))))

    objective = smooth(value, lambda t: np.array([np.sum(-x / (1 + np.exp(t[0] * x)))]))
    result = fit(objective, [0.0], name, max_steps=2000)
    assert result.value < 1e-14
    assert result.status.converged


@pytest.mark.parametrize("name", LINE_SEARCHES)
@pytest.mark.parametrize("beyond", [np.inf, np.nan])
def test_a_wall_at_the_start_is_no_minimum(name, beyond, smooth):
    objective = smooth(lambda t: t[0] if t[0] >= 1 else beyond, lambda t: np.ones(1))
    assert fit(objective, [1.0], name).status is Status.FAILED

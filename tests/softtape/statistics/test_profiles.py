import numpy as np
import pytest

from softtape.optimize import Bounds
from softtape.statistics.profiles import profile_interval
from softtape.statistics.uncertainty import estimate, student_quantile

X = np.linspace(0.2, 3.0, 15)
NOISE = 0.05 * np.cos(17 * X)


class Squares:
    """Σ r² with derivatives by complex steps."""

    has_residuals = True

    def __init__(self, residuals):
        self._residuals = residuals

    def value(self, theta):
        return float(np.sum(self._residuals(theta) ** 2))

    def residuals_and_jacobian(self, theta):
        steps = [theta + 1e-30j * row for row in np.eye(theta.size)]
        columns = [np.imag(self._residuals(step)) / 1e-30 for step in steps]
        return self._residuals(theta), np.stack(columns, axis=1)

    def value_and_gradient(self, theta):
        residuals, jacobian = self.residuals_and_jacobian(theta)
        return float(residuals @ residuals), 2 * jacobian.T @ residuals


def minimum(residuals, start, bounds=None):
    from softtape.optimize import LevenbergMarquardt, minimize

    objective = Squares(residuals)
    bounds = bounds or Bounds.unbounded(len(start))
    result = minimize(objective, np.array(start), optimizer=LevenbergMarquardt(), bounds=bounds)
    return objective, result.theta, estimate(*objective.residuals_and_jacobian(result.theta))


def line(t):
    return t[0] + t[1] * X - (1 + 2 * X + NOISE)


def decay(t):
    return t[0] * np.exp(-t[1] * X) - (2 * np.exp(-0.7 * X) + 4 * NOISE)


@pytest.mark.parametrize("index", [0, 1])
def test_of_a_parabola_it_is_the_interval_by_curvature(index):
    objective, theta, known = minimum(line, [0.0, 0.0])
    found = profile_interval(
        objective, theta, Bounds.unbounded(2), index, error=known.errors[index], dof=known.dof
    )
    half = known.half_width()[index]
    assert found.lower == pytest.approx(theta[index] - half, rel=1e-4)
    assert found.upper == pytest.approx(theta[index] + half, rel=1e-4)
    assert found.better is None


@pytest.mark.parametrize("index", [0, 1])
def test_the_ends_are_where_the_profile_rises_enough(index):
    """Checked on a grid of the other Param, not by any optimizer."""
    objective, theta, known = minimum(decay, [1.0, 1.0])
    found = profile_interval(
        objective, theta, Bounds.unbounded(2), index, error=known.errors[index], dof=known.dof
    )
    goal = objective.value(theta) * (1 + student_quantile(0.975, known.dof) ** 2 / known.dof)
    for end in (found.lower, found.upper):
        others = theta[1 - index] + np.linspace(-6, 6, 20_001) * known.errors[1 - index]
        points = np.empty((2, others.size, 1))
        points[index], points[1 - index] = end, others[:, None]
        least = np.min(np.sum(decay(points) ** 2, axis=1))
        assert least == pytest.approx(goal, rel=1e-4)
    middle = (found.lower + found.upper) / 2
    assert abs(middle - theta[index]) > 1e-3 * known.errors[index]  # it is not symmetric


def test_an_interval_can_be_open():
    def saturating(t):  # the plateau is never reached: a large rate is as good as any
        return t[0] * (1 - np.exp(-t[1] * (X + 2.0))) - (1 + NOISE)

    objective, theta, known = minimum(saturating, [1.0, 2.0])
    found = profile_interval(
        objective, theta, Bounds.unbounded(2), 1, error=known.errors[1], dof=known.dof
    )
    assert found.upper == np.inf
    assert np.isfinite(found.lower)


def test_it_ends_at_a_bound():
    bounds = Bounds(np.array([-5.0, 1.99]), np.array([5.0, 2.001]))
    objective, theta, known = minimum(line, [0.0, 2.0], bounds)
    found = profile_interval(objective, theta, bounds, 1, error=known.errors[1], dof=known.dof)
    assert (found.lower, found.upper) == (1.99, 2.001)


def test_a_single_param():
    objective, theta, known = minimum(lambda t: t[0] * X - (2 * X + NOISE), [1.0])
    found = profile_interval(
        objective, theta, Bounds.unbounded(1), 0, error=known.errors[0], dof=known.dof
    )
    assert found.upper - theta[0] == pytest.approx(known.half_width()[0], rel=1e-4)


def test_a_supposed_minimum_that_is_none():
    objective, theta, known = minimum(line, [0.0, 0.0])
    beside = theta + np.array([0.3, 0.0])
    found = profile_interval(
        objective, beside, Bounds.unbounded(2), 1, error=known.errors[1], dof=known.dof
    )
    assert found.better is not None

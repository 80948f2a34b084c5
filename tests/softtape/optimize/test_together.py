import numpy as np
import pytest

from softtape.optimize import Bounds
from softtape.optimize.together import descend_together


class Many:
    """Σ r² at many points; those where ``known`` is false have to be asked for alone."""

    def __init__(self, residuals, known=lambda theta: True):
        self.residuals, self.known, self.asked = residuals, known, []

    def values(self, points):
        return self.models(points)[0]

    def models(self, points):
        self.asked.extend(points)
        found = [self.model(theta) for theta in points]
        return tuple(np.array(part) for part in zip(*found, strict=True))

    def model(self, theta):
        n = theta.size
        shifted = theta + 1e-30j * np.eye(n)
        jacobian = np.array([self.residuals(row).imag / 1e-30 for row in shifted]).T
        residuals = self.residuals(theta)
        value = float(residuals @ residuals) if self.known(theta) else np.nan
        return value, jacobian.T @ residuals, jacobian.T @ jacobian


def rosenbrock(theta):
    return np.array([10.0 * (theta[1] - theta[0] ** 2), 1.0 - theta[0]])


STARTS = np.random.default_rng(1).uniform(-2.0, 2.0, (8, 2))
FREE = Bounds.unbounded(2)


def test_all_starts_arrive_at_the_minimum():
    ends = descend_together(Many(rosenbrock), STARTS, FREE, np.ones(2), steps=60)
    assert ends.arrived.all()
    np.testing.assert_allclose(ends.thetas, np.ones((8, 2)), atol=1e-6)
    np.testing.assert_allclose(ends.values, 0.0, atol=1e-12)


def test_each_goes_its_way_whatever_the_others_do():
    whole = descend_together(Many(rosenbrock), STARTS, FREE, np.ones(2))
    for k, start in enumerate(STARTS):
        alone = descend_together(Many(rosenbrock), start[None], FREE, np.ones(2))
        np.testing.assert_allclose(alone.thetas[0], whole.thetas[k], rtol=1e-9)


def test_bounds_hold_at_every_point():
    bounds = Bounds(np.array([-2.0, -2.0]), np.array([0.5, 2.0]))
    problem = Many(rosenbrock)
    inside = np.clip(STARTS, bounds.lower, bounds.upper)
    ends = descend_together(problem, inside, bounds, np.ones(2), steps=60)
    np.testing.assert_allclose(ends.thetas, np.tile([0.5, 0.25], (8, 1)), atol=1e-6)
    assert ends.arrived.all()
    assert all(bounds.contains(theta) for theta in problem.asked)


def test_a_start_stays_at_the_best_point_it_has_where_it_has_to_go_on_alone():
    problem = Many(lambda theta: theta - 3.0, known=lambda theta: theta[0] < 1.0)
    start = np.array([[0.0, 0.0], [-20.0, 0.0], [0.5, 3.0]])
    ends = descend_together(problem, start, FREE, np.ones(2))
    assert not ends.arrived.any()
    assert np.all(ends.thetas[:, 0] < 1.0)
    assert np.isfinite(ends.values).all()


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_start_without_a_loss_stays(value):
    problem = Many(lambda theta: np.where(theta.real < 0, value, 1.0) * (theta - 1.0))
    ends = descend_together(problem, np.array([[-1.0], [2.0]]), Bounds.unbounded(1), np.ones(1))
    assert ends.arrived.tolist() == [False, True]
    assert ends.thetas[0] == -1.0


def test_a_variable_that_nothing_depends_on_stays():
    problem = Many(lambda theta: np.array([theta[0] - 1.0]))
    ends = descend_together(problem, STARTS, FREE, np.ones(2))
    np.testing.assert_allclose(ends.thetas[:, 0], 1.0, rtol=1e-6)
    np.testing.assert_array_equal(ends.thetas[:, 1], STARTS[:, 1])

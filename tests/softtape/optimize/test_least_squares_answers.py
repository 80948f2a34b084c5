"""Levenberg-Marquardt against certified and known answers."""

import numpy as np
import pytest

from softtape.errors import NoResidualsError
from softtape.optimize import Bounds, LevenbergMarquardt, Status, minimize

# NIST StRD, Misra1a (Misra, 1978: dental research): y = b1 (1 - exp(-b2 x)); public domain.
PRESSURE = np.array(
    [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760]
)
VOLUME = np.array(
    [
        10.07,
        14.73,
        17.94,
        23.93,
        29.61,
        35.18,
        40.02,
        44.82,
        50.76,
        55.05,
        61.01,
        66.4,
        75.47,
        81.78,
    ]
)
CERTIFIED = np.array([2.3894212918e02, 5.5015643181e-04])

# NIST StRD, BoxBOD (Box, Hunter and Hunter, 1978), the same model; higher level of difficulty.
TIME = np.array([1.0, 2.0, 3.0, 5.0, 7.0, 10.0])
DEMAND = np.array([109.0, 149.0, 149.0, 191.0, 213.0, 224.0])
BOXBOD = np.array([2.1380940889e02, 5.4723748542e-01])


def digits(fitted, certified):
    """The log relative error of the worst parameter: its correct digits."""
    worst = np.max(np.abs(fitted - certified) / np.abs(certified))
    return -np.log10(max(worst, 1e-16))


def fit(objective, theta, bounds=None, **options):
    theta = np.array(theta, dtype=float)
    bounds = bounds or Bounds.unbounded(theta.size)
    return minimize(objective, theta, optimizer=LevenbergMarquardt(), bounds=bounds, **options)


def saturation(x, y):
    return lambda b: b[0] * (1 - np.exp(-b[1] * x)) - y


@pytest.mark.parametrize("damping", [1e-3, 0.1, 10.0])
def test_no_step_leads_to_where_a_variable_does_not_matter_any_more(damping, squares):
    objective, bounds = squares(saturation(TIME, DEMAND)), Bounds.unbounded(2)
    optimizer = LevenbergMarquardt(first_damping=damping)
    for start in [(1.0, 1.0), (0.9, 1.1), (1.1, 1.1), (1.1, 0.9), (2.0, 1.0)]:
        result = minimize(objective, np.array(start), optimizer=optimizer, bounds=bounds)
        assert digits(result.theta, BOXBOD) >= 9, start


@pytest.mark.parametrize("start", [(500, 0.0001), (250, 0.0005)])
def test_misra1a_from_both_certified_starts(start, squares):
    result = fit(squares(saturation(PRESSURE, VOLUME)), start)
    assert result.status.converged
    assert digits(result.theta, CERTIFIED) >= 10
    assert result.value == pytest.approx(1.2455138894e-01, rel=1e-10)
    assert result.steps < 60


@pytest.mark.parametrize("start", [(1, 1), (100, 0.75)])
def test_boxbod_from_both_certified_starts(start, squares):
    result = fit(squares(saturation(TIME, DEMAND)), start)
    assert digits(result.theta, BOXBOD) >= 9


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1e6])
def test_units_do_not_matter(factor, squares):
    base = saturation(PRESSURE, VOLUME)
    scaled = squares(lambda b: base(np.stack([b[0] * factor, b[1] / factor])))
    result = fit(scaled, (250 / factor, 0.0005 * factor))
    assert digits(result.theta * [factor, 1 / factor], CERTIFIED) >= 9


def test_rosenbrock_and_powell_to_working_precision(rosenbrock, powell):
    result = fit(rosenbrock, (-1.2, 1.0))
    assert result.theta == pytest.approx([1.0, 1.0], abs=1e-14)
    assert result.evaluations < 100
    result = fit(powell, (0.0, 1.0))
    assert result.value < 1e-24
    assert result.theta == pytest.approx([1.098159e-5, 9.106146], rel=1e-6)


def test_a_linear_problem_agrees_with_lstsq(squares):
    rng = np.random.default_rng(7)
    matrix, target = rng.normal(size=(20, 6)), rng.normal(size=20)
    result = fit(squares(lambda b: matrix @ b - target), np.zeros(6))
    assert result.theta == pytest.approx(np.linalg.lstsq(matrix, target)[0], rel=1e-11)


def test_more_variables_than_residuals(squares):
    result = fit(squares(lambda b: np.stack([b[0] + b[1] + b[2] - 6])), (0.0, 1.0, 2.0))
    assert result.status.converged
    assert result.value < 1e-28


def test_a_variable_without_effect_stays_where_it_is(squares):
    result = fit(squares(lambda b: np.stack([b[0] - 3, 2 * b[0] - 6 + 0 * b[1]])), (1.0, 7.25))
    assert result.theta.tolist() == [pytest.approx(3.0), 7.25]


@pytest.mark.parametrize("upper", [0.2, 0.9])
def test_an_optimum_on_a_bound(upper, rosenbrock):
    bounds = Bounds(np.array([-2.0, -2.0]), np.array([upper, 2.0]))
    result = fit(rosenbrock, (-1.2, 1.0), bounds)
    assert result.status.converged
    assert result.theta == pytest.approx([upper, upper**2], rel=1e-10)
    assert result.theta[0] == upper
    assert all(bounds.contains(theta) for theta in rosenbrock.asked)


def test_an_optimum_in_a_corner_and_a_start_in_the_opposite_one(squares):
    objective = squares(lambda b: b - np.array([5.0, -5.0]) + 0.5 * b[::-1])
    bounds = Bounds(np.array([0.0, 0.0]), np.array([1.0, 1.0]))
    result = fit(objective, (0.0, 1.0), bounds)
    assert result.theta.tolist() == [1.0, 0.0]
    assert result.status.converged


def test_bounded_fits_agree_with_scipy(squares):
    peer = pytest.importorskip("scipy.optimize")
    residuals = saturation(PRESSURE, VOLUME)
    bounds = Bounds(np.array([0.0, 0.0]), np.array([220.0, 1.0]))
    result = fit(squares(residuals), (100.0, 0.0005), bounds)
    best = peer.least_squares(
        residuals, (100.0, 0.0005), bounds=(bounds.lower, bounds.upper), x_scale=(100, 1e-3)
    )
    assert result.theta[0] == 220.0
    assert result.theta[1] == pytest.approx(best.x[1], rel=1e-5)
    assert result.value <= 2 * best.cost * (1 + 1e-9)


def test_a_region_of_nan_shortens_the_step(squares):
    # The Gauss-Newton step from 0.01 goes far below zero, where the logarithm is nan.
    objective = squares(lambda b: np.log(b) - 1.0)
    result = fit(objective, [30.0])
    assert any(theta[0] < 0 for theta in objective.asked)
    assert result.theta[0] == pytest.approx(np.e, rel=1e-14)


def test_a_jacobian_that_is_not_finite_shortens_the_step(squares):
    class Cliff(squares):
        def residuals_and_jacobian(self, theta):
            residuals, jacobian = super().residuals_and_jacobian(theta)
            return residuals, jacobian if theta[0] < 4 else np.full_like(jacobian, np.nan)

    result = fit(Cliff(lambda b: np.stack([b[0] - 3.5, 0.1 * (b[0] - 3.5) ** 2])), [-6.0])
    assert result.theta[0] == pytest.approx(3.5)


def test_the_loss_alone_is_asked_for_only_after_a_trial_that_failed(squares):
    class Asked(squares):
        def value(self, theta):
            alone.append(theta)
            return super().value(theta)

    alone = []
    fit(Asked(lambda b: np.exp(b) - 1.0), [0.1])
    assert not alone
    fit(Asked(lambda b: np.log(b) - 1.0), [30.0])  # the first step goes far below zero
    assert alone


def test_a_trial_without_residuals_is_a_failed_one_where_the_loss_is_higher(squares):
    class Partly(squares):
        def residuals_and_jacobian(self, theta):
            if theta[0] < 0:
                raise NoResidualsError("no sum of squares")
            return super().residuals_and_jacobian(theta)

    def residuals(b):
        return np.where(b.real > 0, np.log(np.where(b.real > 0, b, 1.0)) - 1.0, 50.0)

    objective = Partly(residuals)
    result = fit(objective, [30.0])
    assert any(theta[0] < 0 for theta in objective.asked)
    assert result.theta[0] == pytest.approx(np.e, rel=1e-14)
    assert result.status.converged


def test_the_loss_never_rises_by_more_than_rounding(squares):
    objective = squares(saturation(TIME, DEMAND))
    bounds = Bounds.unbounded(2)
    optimizer = LevenbergMarquardt()
    state = optimizer.start(objective, np.array([100.0, 0.75]), bounds)
    while state.status is None:
        new = optimizer.step(objective, bounds, state)
        assert new.value <= state.value + state.noise / 2
        assert state.noise < 1e-11 * state.value
        state = new
    assert state.status is Status.STEP

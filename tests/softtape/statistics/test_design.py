import numpy as np
import pytest

from softtape.statistics.design import most_helpful
from softtape.statistics.uncertainty import estimate


@pytest.mark.parametrize("each", [1, 3])
def test_against_adding_the_rows(each):
    draw = np.random.default_rng(4)
    jacobian = draw.standard_normal((30, 4)) * [1, 10, 1e-3, 1]
    residuals = 0.1 * draw.standard_normal(30)
    theta = np.array([1.0, 1.0, 1.0, -2.0])
    tests = draw.permutation(np.repeat(np.arange(30 // each), each))
    known = estimate(residuals, jacobian)
    advice = most_helpful(jacobian, tests, known, theta)
    worst = int(np.argmax(known.errors / np.abs(theta)))
    errors = {}
    for test in range(30 // each):
        more = np.vstack([jacobian, jacobian[tests == test]])
        covariance = known.variance * np.linalg.inv(more.T @ more)
        errors[test] = np.sqrt(covariance[worst, worst])
    assert advice.param == worst
    assert advice.test == min(errors, key=errors.get)
    assert advice.before == pytest.approx(known.errors[worst])
    assert advice.after == pytest.approx(errors[advice.test], rel=1e-6)


def test_nothing_to_tell():
    jacobian = np.ones((3, 2))
    known = estimate(np.array([1.0, 0.0, -1.0]), jacobian)
    assert most_helpful(jacobian, np.arange(3), known, np.ones(2)) is None


def test_a_param_at_zero():
    jacobian = np.array([[1.0], [3.0], [-2.0]])
    known = estimate(np.array([1.0, 1.0, 2.0]), jacobian)
    assert most_helpful(jacobian, np.arange(3), known, np.zeros(1)).test == 1

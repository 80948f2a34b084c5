"""Log scales and simplices: there and back, bounds, and the chain rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softtape.coordinates import Coordinates, Simplex

NONE = np.zeros(0)
SHARES = Coordinates(NONE.astype(int), NONE, NONE, NONE, (Simplex(slice(1, 7), 3, 1e-15),))


def logs(origin, lower, upper):
    return Coordinates(np.array([0]), *(np.array([x]) for x in (origin, lower, upper)))


@given(st.floats(-800, 800), st.floats(1e-300, 1e300))
@settings(derandomize=True, deadline=None)
def test_a_log_scale_stays_within_its_bounds(move, origin):
    where = logs(origin, 1e-301, 1e301)
    value = where.values(np.array([move, 5.0]))
    assert 1e-301 <= value[0] <= 1e301
    assert value[1] == 5.0


@given(st.floats(1e-6, 1e6), st.floats(0.1, 0.9), st.floats(1.1, 9.0))
@settings(derandomize=True, deadline=None)
def test_the_bounds_of_a_log_scale_are_met_exactly(origin, down, up):
    where = logs(origin, origin * down, origin * up)
    lower, upper = where.bounds(np.zeros(1), np.ones(1))
    assert where.values(lower)[0] == origin * down
    assert where.values(upper)[0] == origin * up
    assert where.values(np.zeros(1))[0] == origin  # bit for bit
    assert where.values(where.theta(np.array([origin * 1.05])))[0] == pytest.approx(origin * 1.05)


@given(st.lists(st.floats(0, 1), min_size=7, max_size=7))
@settings(derandomize=True, deadline=None)
def test_a_simplex_is_one_wherever_the_optimizer_is(theta):
    values = SHARES.values(np.array(theta))
    rows = values[1:].reshape(2, 3)
    np.testing.assert_allclose(rows.sum(axis=1), 1.0, rtol=4e-16)
    assert np.all(rows >= 0)
    assert values[0] == theta[0]
    np.testing.assert_array_equal(SHARES.values(values), values)  # it stays where it is


def test_slopes_follow_the_chain_rule():
    places = (Simplex(slice(1, 7), 3, 1e-15),)
    one = np.array([2.0])
    where = Coordinates(np.array([0]), one, one * 1e-3, one * 1e3, places)
    theta = np.array([0.3, 0.2, 0.5, 0.9, 0.0, 0.4, 0.1])
    matrix = np.random.default_rng(0).normal(size=(4, 7))
    found = where.pulled_back(theta, matrix)
    for j in range(7):
        step = np.zeros(7)
        step[j] = 1e-6
        # also at a share of 0, where a softmax would have no slope
        change = matrix @ (where.values(theta + step) - where.values(theta - step)) / 2e-6
        np.testing.assert_allclose(found[:, j], change, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(where.pulled_back(theta, matrix[0]), found[0])

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softtape.statistics.influence import (
    cook_distances,
    influences,
    standing_out,
    studentized,
)
from softtape.statistics.uncertainty import estimate

X = np.r_[np.linspace(0.5, 3.0, 20), 2.0, 2.0]
LINE = np.stack([np.ones(22), X], axis=1)
TESTS = np.arange(22)


def fitted(data, design=LINE):
    residuals = design @ np.linalg.lstsq(design, data)[0] - data
    return residuals, estimate(residuals, design)


def line(seed=3, sigma=0.05):
    return 1 + 2 * X + np.random.default_rng(seed).normal(0.0, sigma, 22)


@given(st.integers(0, 500), st.integers(0, 21))
def test_studentized_and_cook_are_what_leaving_out_gives(seed, i):
    data = line(seed)
    residuals, known = fitted(data)
    rest = i != TESTS
    theta = np.linalg.lstsq(LINE[rest], data[rest])[0]
    without = LINE[rest] @ theta - data[rest]
    variance = without @ without / (21 - 2)
    own = LINE[i] @ np.linalg.inv(LINE.T @ LINE) @ LINE[i]
    expected = residuals[i] / np.sqrt(variance * (1 - own))
    assert studentized(residuals, known)[i] == pytest.approx(expected, rel=1e-6)
    moved = LINE @ theta - (data + residuals)
    expected = moved @ moved / (2 * known.variance)
    assert cook_distances(residuals, known)[i] == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_nothing_stands_out():
    assert standing_out(*reordered(line())) == ([], [])


def reordered(data):
    residuals, known = fitted(data)
    return residuals, TESTS, known


def test_an_outlier():
    data = line()
    data[7] += 1.0
    (outlier,), conflicts = standing_out(*reordered(data))
    assert outlier.test == 7
    assert outlier.studentized < -10
    assert conflicts == []


def test_two_tests_that_disagree_are_a_conflict_and_no_outliers():
    data = line()
    data[20] += 1.0
    data[21] -= 1.0
    outliers, (conflict,) = standing_out(*reordered(data))
    assert outliers == []
    assert sorted(conflict.tests) == [20, 21]
    residuals, _ = fitted(data)
    rest = conflict.tests[1] != TESTS
    theta = np.linalg.lstsq(LINE[rest], data[rest])[0]
    i = conflict.tests[0]
    gain = residuals[i] ** 2 - (LINE[i] @ theta - data[i]) ** 2
    assert conflict.gains[0] == pytest.approx(gain)


@pytest.mark.parametrize("others", [3, 8, 50])
def test_a_conflict_is_not_hidden_by_itself(others):
    """Where the other tests agree exactly, the two are all the scatter there is."""
    design = np.stack([np.ones(others + 2), np.r_[np.arange(others), 1.0, 1.0]], axis=1)
    data = design @ [1.0, 2.0] + np.r_[np.zeros(others), 1.0, -1.0]
    residuals, known = fitted(data, design)
    outliers, (conflict,) = standing_out(residuals, np.arange(others + 2), known)
    assert sorted(conflict.tests) == [others, others + 1]
    assert outliers == []


def test_two_outliers_on_one_side_are_no_conflict():
    data = line()
    data[20] += 1.0
    data[21] += 1.0
    outliers, conflicts = standing_out(*reordered(data))
    assert conflicts == []
    assert sorted(o.test for o in outliers) == [20, 21]


def test_residuals_of_one_test_do_not_conflict():
    data = line()
    data[20] += 1.0
    data[21] -= 1.0
    residuals, known = fitted(data)
    tests = np.r_[np.arange(20), 20, 20]
    outliers, conflicts = standing_out(residuals, tests, known)
    assert conflicts == []
    assert [o.test for o in outliers] == [20]


def test_the_only_test_does_not_stand_out_whatever_its_residuals():
    design = np.array([[1.0], [2.0], [1.0]])
    residuals, known = fitted(np.array([1.0, 1.0, 1.0]), design)
    assert standing_out(residuals, np.zeros(3, int), known) == ([], [])
    assert standing_out(residuals, np.arange(3), known)[0] != []


def test_too_few_residuals_tell_nothing():
    residuals, known = fitted(np.array([1.0, 2.0, 2.5]), np.ones((3, 1)))
    assert standing_out(residuals, np.arange(3), known)[1] == []
    residuals, known = fitted(np.array([1.0, 2.0]), np.ones((2, 1)))
    assert standing_out(residuals, np.arange(2), known) == ([], [])
    assert np.isnan(studentized(residuals, known)).all()


def test_residuals_that_are_all_zero():
    assert standing_out(np.zeros(22), TESTS, estimate(np.zeros(22), LINE)) == ([], [])


@pytest.mark.parametrize("each", [1, 2, 5])
def test_influence_is_how_far_the_fit_moves_without_a_test(each):
    draw = np.random.default_rng(8)
    x = draw.standard_normal((20, 3))
    y = x @ [1.0, -2.0, 0.5] + 0.1 * draw.standard_normal(20)
    tests = draw.permutation(np.repeat(np.arange(20 // each), each))
    theta = np.linalg.lstsq(x, y, rcond=None)[0]
    known = estimate(x @ theta - y, x)
    found = influences(x @ theta - y, tests, known)
    assert sorted(found) == list(range(20 // each))
    for test, distance in found.items():
        rest = tests != test
        moved = x @ (np.linalg.lstsq(x[rest], y[rest], rcond=None)[0] - theta)
        assert distance == pytest.approx(float(moved @ moved) / (3 * known.variance), rel=1e-8)


def test_a_test_that_alone_decides_has_no_influence_to_tell():
    x = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    residuals = np.array([0.5, -0.5, 0.0])
    assert influences(residuals, np.arange(3), estimate(residuals, x)).keys() == {0, 1}

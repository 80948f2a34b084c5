"""How far an assertion is from holding."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_soft.distance import Expected, Magnitude, call_distance, compare

numbers = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-3)


@pytest.mark.parametrize(
    ("op", "a", "b", "loss"),
    [
        ("==", 3.0, Expected(3.0), 0.0),
        ("==", 3.003, Expected(3.0, rel=1e-3), 1.0),
        ("==", Expected(3.0, abs=0.5), 4.0, 4.0),
        ("==", [1.0, 4.0], Expected([1.0, 2.0], abs=1.0), 4.0),
        ("==", {"a": 2.0}, Expected({"a": 1.0}, abs=0.5), 4.0),
        ("==", [1.0], Expected([1.0, 2.0]), math.inf),
        ("==", 2.0, 1.0, 1e12),
        ("==", 2e-12, 0.0, 4.0),
        ("<", 1.0, 2.0, 0.0),
        ("<=", 1.0, 1.0, 1.0),
        (">", 1.0, 1.0, 1.0),
        (">=", 1.0, 1.000003, 16.0),
        ("<", Magnitude(-3.0, 3.0), 2.0, 2.25),
        ("<", Magnitude(3.0, 3.0), -1.0, (4e6 + 1) ** 2),
    ],
)
def test_distances(op, a, b, loss):
    assert float(compare(op, a, b).loss) == pytest.approx(loss, rel=1e-4)


@given(st.sampled_from(["==", "<", "<=", ">", ">="]), numbers, numbers)
def test_numbers_compare_as_in_python_where_they_differ_by_more_than_the_tolerance(op, a, b):
    distance = compare(op, a, b)
    truth = {"==": a == b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op]
    assert distance.truth is truth
    if abs(a - b) > 2e-6 * abs(b) + 2e-12:
        assert (float(distance.loss) <= 1) is truth


@given(numbers, numbers, st.sampled_from([None, 1e-3, 1e-1]), st.sampled_from([None, 1e-2, 1.0]))
def test_approx_holds_where_its_distance_is_at_most_1(a, b, rel, tolerance):
    distance = compare("==", a, Expected(b, rel, tolerance))
    assert distance.truth is (a == pytest.approx(b, rel=rel, abs=tolerance))
    loss = float(distance.loss)
    if not math.isclose(loss, 1.0, rel_tol=1e-9):
        assert (loss <= 1) is distance.truth


@pytest.mark.parametrize(
    ("op", "a", "b", "truth"),
    [
        ("==", "a", "a", True),
        ("==", "a", "b", False),
        ("is", None, None, True),
        ("is not", None, None, False),
        ("in", 1.0, [1.0], True),
        ("not in", 1.0, [1.0], False),
        ("!=", 1.0, 2.0, True),
        ("==", True, 1, True),
        ("!=", 1.0, Expected(1.0), False),
    ],
)
def test_without_a_distance_there_is_a_truth(op, a, b, truth):
    assert compare(op, a, b) == (None, truth)


def test_of_all_elements():
    assert compare("<", np.array([1.0, 2.0]), 3.0, everywhere=True).truth is True
    assert compare("<", np.array([1.0, 4.0]), 3.0, everywhere=True).truth is False
    with pytest.raises(ValueError, match="ambiguous"):
        compare("<", np.array([1.0, 2.0]), 3.0)


@pytest.mark.parametrize(
    ("function", "args", "keywords", "loss"),
    [
        (np.allclose, ([1.0, 2.0], [1.0, 1.0]), {"rtol": 0.0, "atol": 0.5}, 4.0),
        (np.isclose, (3.0, 1.0), {"rtol": 1.0, "atol": 0.0}, 4.0),
        (np.array_equal, ([1.0, 2.0], [1.0, 2.0]), {}, 0.0),
        (math.isclose, (1.0, 4.0), {"rel_tol": 0.5}, 2.25),
        (math.isclose, (1.0, 1.5), {"abs_tol": 0.25}, 4.0),
        (np.testing.assert_allclose, ([3.0], [2.0]), {"rtol": 0.25}, 4.0),
        (np.testing.assert_allclose, (1e-12, 0.0), {}, 1.0),
        (np.testing.assert_almost_equal, (1.03, 1.0), {"decimal": 2}, 4.0),
        (np.testing.assert_array_almost_equal, ([1.3], [1.0], 1), {}, 4.0),
        (np.testing.assert_array_less, ([1.0, 3.0], [2.0, 3.0]), {}, 1.0),
        (np.testing.assert_equal, (1.0, 1.0), {}, 0.0),
        (np.testing.assert_array_equal, ([1.0], [1.0]), {"err_msg": "x"}, 0.0),
    ],
)
def test_calls_that_compare(function, args, keywords, loss):
    assert float(call_distance(function, args, keywords)) == pytest.approx(loss)


def test_other_calls_have_no_distance():
    assert call_distance(isinstance, (1.0, float), {}) is None
    assert call_distance(np.any, ([True],), {}) is None

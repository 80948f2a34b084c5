"""Losses against scipy-free closed forms, at ordinary and extreme arguments, and their slopes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from softtape import losses
from softtape.engines import Program
from softtape.tape import Tape
from softtape.transforms import value_and_gradient

numbers = st.floats(-50, 50)


@given(a=numbers, b=numbers)
@settings(derandomize=True, deadline=None)
def test_closed_forms(a, b):
    error = a - b
    assert losses.squared_error(a, b) == error**2
    assert losses.absolute_error(a, b) == abs(error)
    huber = 0.5 * error**2 if abs(error) <= 2 else 2 * (abs(error) - 1)
    assert losses.huber(a, b, delta=2.0) == pytest.approx(huber, rel=1e-12, abs=1e-300)
    assert losses.log_cosh(a, b) == pytest.approx(np.log(np.cosh(error)), rel=1e-12, abs=1e-15)


def test_no_overflow_far_away():
    assert losses.log_cosh(1e6, 0.0) == pytest.approx(1e6 - np.log(2))
    assert losses.cross_entropy(np.array([[1e4, 0.0]]), np.array([1]))[0] == pytest.approx(1e4)


@given(
    logits=arrays(float, (4, 3), elements=numbers),
    labels=arrays(int, 4, elements=st.integers(0, 2)),
)
@settings(derandomize=True, deadline=None)
def test_cross_entropy_is_minus_the_log_of_the_softmax(logits, labels):
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    expected = -np.log(np.maximum(p[np.arange(4), labels], 1e-300))
    np.testing.assert_allclose(losses.cross_entropy(logits, labels), expected, atol=1e-9)


@pytest.mark.parametrize(
    "labels", [np.array([0.0, 1.0]), np.array([0]), np.array([[0, 1]]), np.array([True, False])]
)
def test_cross_entropy_refuses_labels_that_do_not_fit(labels):
    with pytest.raises(ValueError, match=r"labels must be integers of shape \(2,\)"):
        losses.cross_entropy(np.zeros((2, 3)), labels)


@pytest.mark.parametrize("delta", [0, -1.0, np.nan])
def test_huber_refuses_a_delta_that_is_not_positive(delta):
    with pytest.raises(ValueError, match="delta must be positive"):
        losses.huber(1.0, 0.0, delta)


@pytest.mark.parametrize("name", losses.__all__)
def test_gradient_against_central_differences(name):
    start = np.array([[0.3, -1.2, 0.4], [2.5, 0.1, -0.7]])
    target = np.array([2, 0]) if name == "cross_entropy" else np.array([[0.1, 1.0, 3.0]])

    def loss(x):
        return np.sum(getattr(losses, name)(x, target) * 1.5)

    with Tape() as tape:
        graph = tape.graph([loss(tape.input("x", start))])
    value, gradient = Program(value_and_gradient(graph)).run({"x": start})
    assert value == pytest.approx(loss(start), rel=1e-14)
    for i in np.ndindex(start.shape):
        step = np.zeros(start.shape)
        step[i] = 1e-6
        slope = (loss(start + step) - loss(start - step)) / 2e-6
        assert gradient[i] == pytest.approx(slope, rel=1e-7, abs=1e-8)


def test_the_shift_in_cross_entropy_moves_with_the_logits():
    """A graph recorded at small logits must not overflow at large ones."""
    with Tape() as tape:
        x = tape.input("x", np.array([[0.0, 1.0]]))
        graph = tape.graph([np.sum(losses.cross_entropy(x, np.array([0])))])
    (value,) = Program(graph).run({"x": np.array([[2000.0, 1000.0]])})
    assert value == 0.0

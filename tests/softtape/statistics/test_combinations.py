import numpy as np
import pytest

from softtape.statistics.combinations import describe
from softtape.statistics.uncertainty import estimate

X = np.linspace(0.5, 3.0, 20)
DATA = 1.0 + X + 0.01 * np.cos(40 * X)


def told(program, theta):
    """What is said of a program whose Params are a, b and c."""
    theta = np.array(theta)
    columns = []
    for i in range(theta.size):
        moved = theta.astype(complex)
        moved[i] += 1e-30j
        columns.append(np.imag(program(*moved)) / 1e-30 * np.ones(20))

    def residuals(point):
        return program(*point) - DATA

    known = estimate(residuals(theta), np.stack(columns, axis=1))
    return [describe(d, theta, "abc", residuals) for d in known.undetermined]


@pytest.mark.parametrize(
    ("program", "theta", "text"),
    [
        (lambda a, b: a * b * X, [2.0, 3.0], "only a * b is determined"),
        (lambda a, b: a * b * X, [2.0, 2.0], "only a * b is determined"),
        (lambda a, b: a * b * X, [-2.0, 3.0], "only a * b is determined"),
        (lambda a, b: a / b * X, [2.0, 3.0], "only a / b is determined"),
        (lambda a, b: b / a * X, [2.0, 3.0], "only a / b is determined"),
        (lambda a, b: a**2 * b * X, [2.0, 3.0], "only a**2 * b is determined"),
        (lambda a, b: (a + b) * X, [2.0, 3.0], "only a + b is determined"),
        (lambda a, b: (a + b) * X, [2.0, 2.0], "only a + b is determined"),
        (lambda a, b: (a - b) * X, [2.0, 0.0], "only a - b is determined"),
        (lambda a, b: (a + 2 * b) * X, [1.0, 5.0], "only a + 2 * b is determined"),
        (lambda a, b: a * X + 0 * b, [2.0, 3.0], "b has no effect on any test here"),
        (lambda a, b, c: a * b * X + c, [2.0, 3.0, 1.0], "only a * b is determined"),
    ],
)
def test_readings(program, theta, text):
    assert told(program, theta) == [text]


def test_three_params_and_one_factor():
    (text,) = told(lambda a, b, c: a * b * X + a * c, [2.0, 3.0, 4.0])
    assert text.startswith("a, b and c are determined only up to a common factor s: ")
    assert text.endswith(("a / s, b * s, c * s", "a * s, b / s, c / s"))


def test_three_params_and_one_shift():
    (text,) = told(lambda a, b, c: (a - b) * X + a + c, [2.0, 3.0, 4.0])
    assert text.startswith("a, b and c are determined only up to a common shift s: ")


def test_two_directions():
    assert told(lambda a, b, c: a * b * c * X, [2.0, 3.0, 5.0]) in (
        [f"only {p} is determined", f"only {q} is determined"]
        for p in ("a * b", "a * c", "b * c")
        for q in ("a * b", "a * c", "b * c")
        if p != q
    )


def test_what_holds_only_nearby_is_not_called_a_product_or_a_sum():
    (text,) = told(lambda a, b: np.exp(b) * a * X, [2.0, 2.0])
    assert text.startswith("a and b are not determined apart: moving a by ")


def test_without_residuals_nothing_is_claimed_at_a_distance():
    text = describe(np.array([1.0, -1.0]), np.array([2.0, 2.0]), ["gain", "offset"])
    assert text == (
        "gain and offset are not determined apart: moving gain by +1, offset by -1 changes no test"
    )

"""What a rule answers where a function has no derivative: chosen, documented, never NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from softtape.engines import Program
from softtape.tape import Tape
from softtape.transforms import value_and_gradient
from softtape.transforms.replay import derive


def gradient(function: Callable[..., Any], *operands: Any) -> list[Any]:
    """Return the gradients of ``function`` (a scalar) by each of its operands."""
    with Tape() as tape:
        graph = tape.graph([function(*(tape.input(f"x{i}", x) for i, x in enumerate(operands)))])
    with np.errstate(all="ignore"):
        made = Program(value_and_gradient(graph)).run(graph.start)
    assert made is not None
    return made[1:]


def hessian(function: Callable[..., Any], x: Any) -> Any:
    with Tape() as tape:
        graph = tape.graph([function(tape.input("x", x))])
    first = value_and_gradient(graph)
    rows = []
    for i in range(len(x)):
        row = derive(first, lambda values, i=i: [values[first.outputs[1]][i]])
        made = Program(value_and_gradient(row)).run(graph.start)
        assert made is not None
        rows.append(made[1])
    return np.stack(rows)


@pytest.mark.parametrize("function", [np.abs, np.fabs, abs])
def test_abs_is_flat_at_zero(function: Callable[..., Any]) -> None:
    assert gradient(function, np.float64(0.0)) == [0.0]


@pytest.mark.parametrize("function", [np.maximum, np.minimum, np.fmax, np.fmin])
def test_equal_operands_share_a_maximum(function: Callable[..., Any]) -> None:
    assert gradient(function, np.float64(2.0), np.float64(2.0)) == [0.5, 0.5]


@pytest.mark.parametrize("function", [np.fmax, np.fmin])
def test_fmax_passes_by_nan(function: Callable[..., Any]) -> None:
    assert gradient(function, np.float64(np.nan), np.float64(2.0)) == [0.0, 1.0]
    assert gradient(function, np.float64(2.0), np.float64(np.nan)) == [1.0, 0.0]


@pytest.mark.parametrize("function", [np.max, np.min])
def test_tied_elements_share_a_reduction(function: Callable[..., Any]) -> None:
    sign = 1.0 if function is np.max else -1.0
    x = sign * np.array([[1.0, 3.0, 3.0], [3.0, 0.0, 2.0]])
    (g,) = gradient(lambda x: function(x), x)
    np.testing.assert_allclose(g, np.array([[0, 1, 1], [1, 0, 0]]) / 3)
    (g,) = gradient(lambda x: np.sum(function(x, axis=1)), x)
    np.testing.assert_allclose(g, [[0, 0.5, 0.5], [1, 0, 0]])


def test_ptp_of_equal_values_is_flat() -> None:
    (g,) = gradient(np.ptp, np.array([2.0, 2.0]))
    np.testing.assert_array_equal(g, [0.0, 0.0])


@pytest.mark.parametrize("exponent", [0, 0.0, np.float64(0.0), np.array(0.0)])
def test_power_zero_is_constant_also_at_zero(exponent: Any) -> None:
    assert gradient(lambda x: x**exponent, np.float64(0.0)) == [0.0]
    assert gradient(lambda x: np.power(x, exponent), np.float64(0.0)) == [0.0]


def test_power_of_array_exponents_at_zero() -> None:
    (g,) = gradient(lambda x: np.sum(x ** np.array([0, 1, 2, 3])), np.zeros(4))
    np.testing.assert_array_equal(g, [0.0, 1.0, 0.0, 0.0])


def test_zero_to_a_power_has_no_slope_in_the_exponent() -> None:
    assert gradient(lambda b: 0.0**b, np.float64(2.0)) == [0.0]
    (g,) = gradient(lambda b: np.sum(np.array([0.0, 2.0]) ** b), np.float64(3.0))
    np.testing.assert_allclose(g, 8 * np.log(2))


def test_power_of_a_negative_base_is_nan_not_complex() -> None:
    with Tape() as tape, np.errstate(invalid="ignore"):
        x = tape.input("x", -8.0)  # for a Python float, ** would give a complex number
        assert np.isnan(tape.graph([x**0.5]) and (x**0.5)._value)
        assert np.isnan(np.power(x, 1 / 3)._value)


@pytest.mark.parametrize("order", [None, 1, 2, 3, 1.5, np.inf])
def test_norm_is_flat_at_the_origin(order: Any) -> None:
    (g,) = gradient(lambda x: np.linalg.norm(x, order), np.zeros(3))
    np.testing.assert_array_equal(g, np.zeros(3))


def test_norm_of_some_rows_zero() -> None:
    (g,) = gradient(lambda x: np.sum(np.linalg.norm(x, axis=1)), np.array([[0.0, 0], [3, 4]]))
    np.testing.assert_allclose(g, [[0, 0], [0.6, 0.8]])


def test_std_of_equal_values_is_flat() -> None:
    (g,) = gradient(np.std, np.full(4, 0.5))
    np.testing.assert_array_equal(g, np.zeros(4))


def test_hypot_is_flat_at_the_origin() -> None:
    assert gradient(np.hypot, np.float64(0.0), np.float64(0.0)) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([2.0, 3.0, 4.0], [12.0, 8.0, 6.0]),
        ([0.0, 3.0, 4.0], [12.0, 0.0, 0.0]),
        ([0.0, 0.0, 4.0], [0.0, 0.0, 0.0]),
    ],
)
def test_prod_with_zeros(x: list[float], expected: list[float]) -> None:
    for function in (np.prod, lambda x: np.cumprod(x)[-1]):
        (g,) = gradient(function, np.array(x))
        np.testing.assert_array_equal(g, expected)
    a, b, c = x
    np.testing.assert_array_equal(hessian(np.prod, np.array(x)), [[0, c, b], [c, 0, a], [b, a, 0]])


def test_long_prod_with_a_zero() -> None:
    x = np.linspace(0.9, 1.1, 50)
    x[7] = 0.0
    (g,) = gradient(np.prod, x)
    expected = np.zeros(50)
    expected[7] = np.prod(np.delete(x, 7))
    np.testing.assert_allclose(g, expected)


def test_sinc_at_zero() -> None:
    assert gradient(np.sinc, np.float64(0.0)) == [0.0]
    np.testing.assert_allclose(
        hessian(lambda x: np.sum(np.sinc(x)), np.zeros(1)), [[-(np.pi**2) / 3]]
    )


def test_sort_gives_ties_their_slopes_in_order() -> None:
    weights = np.array([1.0, 2.0, 4.0])
    (g,) = gradient(lambda x: np.sum(weights * np.sort(x)), np.array([5.0, 3.0, 3.0]))
    np.testing.assert_array_equal(g, [4.0, 1.0, 2.0])


@pytest.mark.parametrize(
    ("x", "slope"), [(-2.0, 0.0), (-1.0, 1.0), (0.5, 1.0), (1.0, 1.0), (2.0, 0.0)]
)
def test_clip_lets_the_slope_through_at_its_bounds(x: float, slope: float) -> None:
    assert gradient(lambda x: np.clip(x, -1.0, 1.0), np.float64(x)) == [slope]


@pytest.mark.parametrize(
    ("x", "low", "high"), [(0.5, np.nan, 1.0), (0.5, 0.0, np.nan), (0.5, 2.0, 1.0)]
)
def test_clip_between_bounds_without_an_order_is_what_numpy_has(
    x: float, low: float, high: float
) -> None:
    with Tape() as tape:
        made = np.clip(tape.input("x", x), low, high)
    np.testing.assert_equal(made._value, np.clip(x, low, high))


def test_where_hides_the_other_branch_only_if_guarded_inside() -> None:
    def safe(x: Any) -> Any:
        positive = x > 0
        return np.sum(np.where(positive, np.sqrt(np.where(positive, x, 1.0)), 0.0))

    (g,) = gradient(safe, np.array([0.0, 4.0, -1.0]))
    np.testing.assert_array_equal(g, [0.0, 0.25, 0.0])


def test_median_of_nan_is_nan() -> None:
    with Tape() as tape:
        x = tape.input("x", np.array([1.0, np.nan, 3.0]))
        assert np.isnan(np.median(x)._value)


def test_interp_at_a_knot_takes_the_slope_to_its_right() -> None:
    (g,) = gradient(lambda x: np.interp(x, [0.0, 1.0, 2.0], [0.0, 1.0, 5.0]), np.float64(1.0))
    assert g == 4.0
    (g,) = gradient(lambda x: np.interp(x, [0.0, 1.0], [0.0, 1.0]), np.float64(9.0))
    assert g == 0.0


@pytest.mark.parametrize("a", [np.diag([2.0, 0.0, 3.0]), np.zeros((2, 2)), np.ones((2, 2))])
def test_the_slope_of_a_determinant_exists_where_the_inverse_does_not(a: Any) -> None:
    (g,) = gradient(np.linalg.det, a)
    wanted = np.zeros(a.shape)
    for i, j in np.ndindex(a.shape):
        minor = np.delete(np.delete(a, i, 0), j, 1)
        wanted[i, j] = (-1.0) ** (i + j) * np.linalg.det(minor)
    np.testing.assert_allclose(g, wanted, atol=1e-14)


@pytest.mark.parametrize("order", ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_a_norm_of_the_zero_matrix_is_flat(order: Any) -> None:
    (g,) = gradient(lambda a: np.linalg.norm(a, order), np.zeros((2, 3)))
    np.testing.assert_array_equal(g, np.zeros((2, 3)))


def functions_of_equal_values() -> dict[str, Callable[[Any], Any]]:
    """Functions that do not depend on how the vectors of equal values are chosen."""

    def by_eigenvalues(a: Any) -> Any:
        w, v = np.linalg.eigh(a @ a.T)
        return np.sum(((v * np.sqrt(w)) @ v.T) ** 3)

    def by_any_eigenvalues(a: Any) -> Any:
        w, v = np.linalg.eig(a @ a.T)
        return np.sum(np.real((v * w) @ np.linalg.inv(v)) ** 3)

    def by_singular_values(a: Any) -> Any:
        u, s, vh = np.linalg.svd(a)
        return np.sum(((u * s**2) @ vh) ** 3)

    return {f.__name__: f for f in (by_eigenvalues, by_any_eigenvalues, by_singular_values)}


@pytest.mark.parametrize("name", functions_of_equal_values())
def test_equal_eigenvalues_and_singular_values(name: str) -> None:
    function = functions_of_equal_values()[name]
    a = np.diag([2.0, 2.0, 1.0])
    (g,) = gradient(function, a)
    wanted = np.zeros((3, 3))
    for at in np.ndindex(3, 3):
        step = np.zeros((3, 3))
        step[at] = 1e-5
        wanted[at] = (function(a + step) - function(a - step)) / 2e-5
    assert np.all(np.isfinite(g))
    np.testing.assert_allclose(g, wanted, rtol=1e-6, atol=1e-6)


def test_abs_and_angle_of_a_complex_zero_are_flat() -> None:
    for function in (np.abs, np.angle):
        made = gradient(lambda x, y, f=function: f(x + 1j * y), np.float64(0.0), np.float64(0.0))
        assert made == [0.0, 0.0]


@pytest.mark.parametrize("function", [np.abs, np.fabs, lambda c: np.copysign(c, 1.0)])
def test_the_size_of_a_truth_is_flat(function: Callable[[Any], Any]) -> None:
    (g,) = gradient(lambda x: np.sum(function(x > 0.5)) * np.sum(x), np.array([0.2, 0.7, 0.9]))
    assert g.tolist() == [2.0, 2.0, 2.0]

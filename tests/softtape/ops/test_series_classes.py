"""numpy's series run their own code under tracing: values and slopes are right."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from numpy_calls.series_classes import ARGUMENTS, ROOTS, SERIES

from softtape.engines import Program
from softtape.patches import following
from softtape.tape import Tape
from softtape.transforms import value_and_gradient

X = np.array([0.3, 0.5, 0.7])
C = np.array([1.0, 2.0, 3.0, 0.5])


@pytest.mark.parametrize("name", SERIES)
def test_series(name: str) -> None:
    module, _, function_name = name.rpartition(".")
    function = getattr(importlib.import_module(f"numpy.{module}"), function_name)
    arguments = ARGUMENTS[SERIES[name]]
    c = ROOTS if SERIES[name] == "roots" else C

    def total(x: Any, c: Any) -> Any:
        made = getattr(importlib.import_module(f"numpy.{module}"), function_name)(*arguments(x, c))
        parts = [np.ravel(part) for part in (made if isinstance(made, tuple) else (made,))]
        joined = np.real(np.concatenate(parts))
        return np.sum(joined * np.cos(np.arange(len(joined))))

    assert callable(function)
    with following(), Tape() as tape, np.errstate(all="ignore"):
        inputs = {"x": tape.input("x", X), "c": tape.input("c", c)}
        graph = tape.graph([total(inputs["x"], inputs["c"])])
    got = Program(value_and_gradient(graph)).run({"x": X, "c": c})
    assert got is not None
    np.testing.assert_allclose(got[0], total(X, c), rtol=1e-10)
    h, way = 1e-5, np.array([0.3, -0.7, 0.5])
    coefficients = np.array([0.2, 0.4, -0.6, 0.1])
    after, before = (total(X + s * h * way, c + s * h * coefficients) for s in (1, -1))
    slope = (after - before) / (2 * h)
    np.testing.assert_allclose(got[1] @ way + got[2] @ coefficients, slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "program",
    [
        lambda c, x: np.poly1d(c)(x) + np.poly1d(c).deriv()(x) + (np.poly1d(c) ** 2)(x),
        lambda c, x: np.polynomial.Polynomial(c)(x) + np.polynomial.Polynomial(c).integ()(x),
        lambda c, x: (np.polynomial.Chebyshev(c) * np.polynomial.Chebyshev(c)).deriv()(x),
    ],
)
def test_classes_hold_traced_coefficients(program: Any) -> None:
    with following(), Tape() as tape:
        graph = tape.graph([np.sum(program(tape.input("c", C), tape.input("x", X)))])
    got = Program(value_and_gradient(graph)).run({"c": C, "x": X})
    assert got is not None
    np.testing.assert_allclose(got[0], np.sum(program(C, X)))
    h = 1e-5
    slope = (np.sum(program(C + h, X + h)) - np.sum(program(C - h, X - h))) / (2 * h)
    np.testing.assert_allclose(np.sum(got[1]) + np.sum(got[2]), slope, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_division_of_polynomials_leaves_what_it_leaves_plainly(dtype: str) -> None:
    rng = np.random.default_rng(0)
    lengths = set()
    for n in [*range(1, 5)] * 5:  # rounding decides how much of the remainder is dropped
        u, v = rng.normal(size=4).astype(dtype), rng.normal(size=n).astype(dtype)
        with following(), Tape() as tape:
            made = np.polydiv(tape.input("u", u), tape.input("v", v))
        for part, wanted in zip(made, np.polydiv(u, v), strict=True):
            np.testing.assert_array_equal(part._value, wanted, strict=True)
        lengths.add(len(made[1]) - n)
    assert dtype == "f8" or len(lengths) > 2

"""reduce, accumulate, outer and reduceat of ufuncs: values and slopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from softtape.engines import Program
from softtape.patches import following
from softtape.tape import Tape
from softtape.transforms import value_and_gradient

X = np.array([[0.7, 1.9, 1.3], [1.1, 0.4, 2.3]])
MASK = np.array([[True, False, True], [False, True, True]])

CALLS: dict[str, Callable[[Any], Any]] = {
    "add": lambda x: np.add.reduce(x, axis=1, where=MASK, initial=2.0),
    "add all": lambda x: np.add.reduce(x, axis=None, keepdims=True),
    "add dtype": lambda x: np.add.reduce(x, dtype=float),
    "multiply": lambda x: np.multiply.reduce(x, axis=(0, 1)),
    "maximum": lambda x: np.maximum.reduce(x, axis=1, where=MASK, initial=0.0),
    "fmin": lambda x: np.fmin.reduce(np.where(MASK, x, np.nan), axis=1),
    "subtract": lambda x: np.subtract.reduce(x, axis=1),
    "divide": lambda x: np.divide.reduce(x, axis=1, keepdims=True),
    "hypot": lambda x: np.hypot.reduce(x),
    "power": lambda x: np.power.reduce(x, axis=1),
    "logaddexp": lambda x: np.logaddexp.reduce(x, axis=1),
    "logaddexp2": lambda x: np.logaddexp2.reduce(x, axis=0, keepdims=True),
    "logaddexp where": lambda x: np.logaddexp.reduce(x, axis=1, where=MASK, initial=0.5),
    "logaddexp2 where": lambda x: np.logaddexp2.reduce(x, axis=0, where=MASK, initial=0.5),
    "hypot where": lambda x: np.hypot.reduce(x, axis=1, where=MASK, initial=0.5),
    "hypot where one": lambda x: np.hypot.reduce(x, axis=1, where=[False, True, True]),
    "add of plain, where": lambda x: x[0, 0] * np.array(X).sum(axis=1, where=x > 1.0),
    "maximum of plain, where": lambda x: x * np.max(1.0 * X, where=x > 1.0, initial=0.5),
    "vecdot": lambda x: (
        np.vecdot(x, x**2, axis=0) @ np.vecdot(x, x[:, :1], axis=0, keepdims=True).T
    ),
    "add.accumulate": lambda x: np.add.accumulate(x, axis=1),
    "multiply.accumulate": lambda x: np.multiply.accumulate(x, axis=1),
    "maximum.accumulate": lambda x: np.maximum.accumulate(x, axis=1),
    "minimum.accumulate": lambda x: np.minimum.accumulate(x.ravel()),
    "subtract.accumulate": lambda x: np.subtract.accumulate(x, axis=0),
    "multiply.outer": lambda x: np.multiply.outer(x[0], x),
    "arctan2.outer": lambda x: np.arctan2.outer(x, [1.0, 2.0]),
    "add.reduceat": lambda x: np.add.reduceat(x, [0, 2, 1], axis=1),
    "maximum.reduceat": lambda x: np.maximum.reduceat(x.ravel(), [0, 3]),
}


@pytest.mark.parametrize("name", CALLS)
def test_methods_of_ufuncs(name: str) -> None:
    def total(x: Any) -> Any:
        made = CALLS[name](x)
        return np.sum(made * np.cos(np.reshape(np.arange(np.size(made)), np.shape(made))))

    with following(), Tape() as tape, np.errstate(all="ignore"):
        graph = tape.graph([total(tape.input("x", X))])
    got = Program(value_and_gradient(graph)).run({"x": X})
    assert got is not None
    np.testing.assert_allclose(got[0], total(X), rtol=1e-12)
    h = 1e-5
    for place in np.ndindex(X.shape):
        step = np.zeros(X.shape)
        step[place] = h
        slope = (total(X + step) - total(X - step)) / (2 * h)
        np.testing.assert_allclose(got[1][place], slope, rtol=1e-7, atol=1e-8)


def test_logaddexp_reduce_of_large_values_has_finite_slopes() -> None:
    x = np.array([1000.0, 1001.0, -np.inf])
    with Tape() as tape, np.errstate(all="ignore"):
        graph = tape.graph([np.logaddexp.reduce(tape.input("x", x))])
    got = Program(value_and_gradient(graph)).run({"x": x})
    assert got is not None
    share = np.exp([0.0, 1.0]) / np.sum(np.exp([0.0, 1.0]))
    np.testing.assert_allclose(got[1], [*share, 0.0])

"""Checked by mypy --strict in CI: what a user writes must type-check against our annotations."""

from typing import Any, assert_type

import numpy as np
import pytest

import pytest_soft
import softtape
from pytest_soft import Param, cross_entropy, soft_test, squared_error
from softtape import stop_gradient

omega = Param(1.0)
weights = Param(np.zeros((3, 4)), name="weights", bounds=(-1, 1), frozen=False)
blank = Param(..., shape=(2,), bounds=(None, 5.0))

assert_type(omega, softtape.Param)
assert_type(omega.shape, tuple[int, ...])
assert_type(float(omega), float)
assert_type(omega * 2.0, Any)
assert_type(stop_gradient(omega), Any)


def f(x: float) -> float:
    return float(np.sin(omega * x) + np.sum(weights @ np.ones(4)) - blank[0])


@soft_test
def test_plain() -> float:
    return (f(1.0) - 2.0) ** 2


@soft_test(weight=2.0, threshold=0.1)
@pytest.mark.parametrize("x", [1.0, 2.0])
def test_with_options(x: float) -> Any:
    return squared_error(f(x), 1.0) + cross_entropy(np.zeros(3), np.asarray(1))


assert_type(test_plain(), float)
assert_type(test_with_options(1.0), Any)
soft_test(weigth=1.0)  # type: ignore[call-overload]  # a misspelt option is a type error
Param("1.0", shape="wide")  # type: ignore[arg-type]
assert pytest_soft.__all__

"""Checked by mypy --strict in CI: what a user writes must type-check against our annotations."""

from typing import Any, assert_type

import numpy as np
import pytest

import pytest_soft
import softtape
from pytest_soft import Param, cross_entropy, soft_test, squared_error
from softtape import (
    check_grads,
    checkpoint,
    custom_fixed_point,
    custom_jvp,
    custom_root,
    custom_vjp,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    primitive,
    stop_gradient,
    value_and_grad,
    vjp,
)
from softtape.interop.jax import from_jax
from softtape.interop.torch import from_torch

omega = Param(1.0)
weights = Param(np.zeros((3, 4)), name="weights", bounds=(-1, 1), frozen=False)
blank = Param(..., shape=(2,), bounds=(None, 5.0))
mix = Param([0.5, 0.5], constraint="simplex")
decay = Param(1.0, scale="log", constraint="positive")
Param(1.0, constraint="postive")  # type: ignore[arg-type]  # misspelt

assert_type(omega, softtape.Param)
assert_type(omega.shape, tuple[int, ...])
assert_type(float(omega), float)
assert_type(omega * 2.0, Any)
assert_type(stop_gradient(omega), Any)


assert_type(grad(np.sin)(1.0), Any)
assert_type(value_and_grad(np.sin, argnums=(0,))(1.0), tuple[Any, Any])
assert_type(jvp(np.sin, (1.0,), [1.0]), tuple[Any, Any])
assert_type(vjp(np.sin, 1.0)[1](1.0), tuple[Any, ...])
assert_type(hvp(np.sin, (1.0,), (1.0,)), tuple[Any, ...])
assert_type(jacobian(np.sin)(1.0), Any)
assert_type(hessian(np.sin, 0)(1.0), Any)
assert_type(checkpoint(np.sin)(1.0), Any)
check_grads(np.sin, (1.0,), order=1, modes=["fwd"], rtol=1e-5)
grad(np.sin, argnums="x")  # type: ignore[arg-type]  # a position, not a name


@custom_vjp
def cube(x: float) -> float:
    return x**3


@cube.defvjp
def cube_vjp(g: Any, y: Any, x: Any) -> Any:
    return g * 3 * x**2


custom_jvp(np.sin).defjvp(lambda tangents, y, x: tangents[0] * np.cos(x))
assert_type(cube(2.0), Any)
assert_type(primitive(np.sin, vjp=lambda g, y, x: g * np.cos(x), vectorized=True)(1.0), Any)


@primitive(vjp=lambda g, y, x: g)
def same(x: float) -> float:
    return x


@custom_root(lambda x, a: x * x - a)
def square_root(start: float, a: float) -> float:
    return float(np.sqrt(a))


assert_type(square_root(1.0, 4.0), Any)
assert_type(custom_fixed_point(np.cos)(lambda start: start)(1.0), Any)
assert_type(from_torch(abs)(1.0), Any)
assert_type(from_jax(abs)(1.0), Any)


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

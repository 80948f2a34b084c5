"""Names that mean another function while a program is traced, and functions that change an array.

Under tracing they record other primitives: a row here is a call of each, in plain numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_calls.draw import MASK, Array, Calls, any_of, binary, fixed, unary


def changed(change: Callable[..., Any]) -> Callable[..., Array]:
    """Return a function of an array that is changed by ``change(array, values)``, and values."""

    def function(x: Array, y: Array) -> Array:
        array = x * 1.0
        change(array, y)
        return array * 1.0

    return function


def _numbers_and_places(x: Array) -> Array:
    return np.stack([value * (1 + i + 2 * j) for (i, j), value in np.ndenumerate(x)])


FOLLOWED: dict[str, Calls | tuple[Calls, ...]] = {
    "array": any_of(
        unary(lambda x: np.array(x)),
        binary(lambda a, b: np.array([np.sum(a), 2.0, np.prod(b)])),
        fixed(lambda a, b: np.array([[a[0], b[1]], [1.0, a[1] * b[0]]], ndmin=3), (2,), (2,)),
    ),
    **{
        name: unary(lambda x, name=name: getattr(np, name)(x) * x)
        for name in ("asarray", "asanyarray")
    },
    **{
        name: any_of(
            fixed(lambda x, name=name: getattr(np, name)([x[0], x[1] * x[0]]), (2,)),
            fixed(lambda x, name=name: getattr(np, name)(x) * x, (2, 3)),
        )
        for name in ("ascontiguousarray", "asfortranarray", "asarray_chkfinite")
    },
    "require": fixed(lambda x: np.require([x[0], x[1] * x[0]], requirements="C"), (2,)),
    "full": any_of(
        unary(lambda x: np.full((2, 2), np.sum(x))),
        fixed(lambda x: np.full((2, 3), x), (3,)),
    ),
    "arange": any_of(
        fixed(lambda a: np.arange(a, a + 3.5, 1.0), (), analytic=False),
        fixed(lambda a, d: np.arange(a, a + 3.5 * d, d), (), (), low=0.5, analytic=False),
    ),
    "fromiter": fixed(lambda x: np.fromiter((v * v for v in x), x.dtype), (3,), analytic=False),
    "ndenumerate": fixed(_numbers_and_places, (2, 2)),
    "r_": fixed(lambda a, b: np.r_[a, 2.0, b, np.sum(a)], (2,), (3,)),
    "c_": fixed(lambda a, b: np.c_[a, b * a], (3,), (3,)),
    "vectorize": binary(
        lambda a, b: np.vectorize(lambda x, y: x * y + x, otypes=[np.result_type(a, b)])(a, b)
    ),
    "poly1d": fixed(
        lambda c, x: np.poly1d(c)(x) + np.poly1d(c).deriv()(x), (3,), (2,), analytic=False
    ),
    "copyto": any_of(
        fixed(changed(lambda x, y: np.copyto(x, y)), (2, 3), (3,), analytic=False),
        fixed(changed(lambda x, y: np.copyto(x, y, where=MASK)), (2, 3), (2, 3), analytic=False),
    ),
    "put": fixed(changed(lambda x, y: np.put(x, [0, 4, -1], y)), (2, 3), (2,), analytic=False),
    "putmask": fixed(changed(lambda x, y: np.putmask(x, MASK, y)), (2, 3), (2, 3), analytic=False),
    "place": fixed(changed(lambda x, y: np.place(x, MASK, y)), (2, 3), (3,), analytic=False),
    "fill_diagonal": fixed(
        changed(lambda x, y: np.fill_diagonal(x, y)), (3, 3), (3,), analytic=False
    ),
    "put_along_axis": fixed(
        changed(lambda x, y: np.put_along_axis(x, np.array([[1], [2]]), y, axis=1)),
        (2, 3),
        (2, 1),
        analytic=False,
    ),
}
"""Name, without ``numpy.`` -> the calls that try it."""

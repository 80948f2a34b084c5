"""Functions without a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from numpy_calls.draw import Call, plain

points = np.array([[1.5, -0.5, 0.0], [2.5, 1.5, -2.0]])
others = np.array([1.5, 0.5, -2.0])
truth = points > 0

FLAT: dict[Callable[..., Any], st.SearchStrategy[Call]] = {
    **{f: plain(f, points) for f in (np.sign, np.floor, np.ceil, np.trunc, np.rint, np.signbit)},
    **{f: plain(f, points / 0.5) for f in (np.isfinite, np.isinf, np.isnan, np.logical_not)},
    **{
        f: plain(f, points, others)
        for f in (
            np.floor_divide,
            np.heaviside,
            np.greater,
            np.greater_equal,
            np.less,
            np.less_equal,
            np.equal,
            np.not_equal,
            np.logical_and,
            np.logical_or,
            np.logical_xor,
        )
    },
    **{
        f: plain(lambda a, b, f=f: f(a > 0, b > 0), points, others)
        for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor)
    },
    np.invert: plain(lambda a: np.invert(a > 0), points),
    **{
        f: st.one_of(
            plain(f, points),
            plain(lambda a, f=f: f(a, axis=1), points),
            plain(lambda a, f=f: f(a, axis=0, keepdims=True), points),
        )
        for f in (np.argmax, np.argmin, np.all, np.any, np.count_nonzero)
    },
    np.argsort: st.one_of(
        plain(np.argsort, points),
        plain(lambda a: np.argsort(a, axis=None), points),
        plain(lambda a: np.argsort(a, 0, stable=True), points),
        plain(lambda a: np.argsort(a, kind="mergesort"), points * 0),
    ),
    np.shape: plain(np.shape, points),
    np.ndim: plain(np.ndim, points),
    np.size: st.one_of(plain(np.size, points), plain(lambda a: np.size(a, 1), points)),
    np.zeros_like: plain(np.zeros_like, points),
    np.ones_like: st.one_of(
        plain(np.ones_like, points), plain(lambda a: np.ones_like(a, dtype=int), points)
    ),
    np.result_type: plain(lambda a: np.result_type(a, np.float32), points),
    **{f: plain(f, points) for f in (np.iscomplexobj, np.isrealobj, np.iscomplex, np.isreal)},
    np.linalg.matrix_rank: st.one_of(
        plain(np.linalg.matrix_rank, points),
        plain(lambda a: np.linalg.matrix_rank(a.T @ a, hermitian=True), points),
        plain(lambda a: np.linalg.matrix_rank(a[0], 0.1), points),
        plain(lambda a: np.linalg.matrix_rank(a, tol=100.0), points),
    ),
}

# What depends on the values so that no tape can hold it: refused.
REFUSED = (np.nonzero, np.flatnonzero, np.argwhere)

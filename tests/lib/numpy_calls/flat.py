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
    **{
        f: plain(f, points)
        for f in (np.sign, np.floor, np.ceil, np.trunc, np.rint, np.signbit, np.fix)
    },
    **{f: plain(f, points) for f in (np.isposinf, np.isneginf, np.spacing)},
    **{f: plain(lambda a, f=f: f((a > 0) * 3, 2), points) for f in (np.gcd, np.lcm)},
    **{
        f: plain(lambda a, f=f: f(np.rint(a) > 0, 2), points)
        for f in (np.left_shift, np.right_shift)
    },
    np.bitwise_count: plain(lambda a: np.bitwise_count((a > 0) * 3), points),
    np.isclose: st.one_of(
        plain(np.isclose, points, others),
        plain(lambda a: np.isclose(a, a + 1e-9), points),
        plain(lambda a: np.isclose(a / np.nan, a / np.nan, equal_nan=True), points),
    ),
    np.allclose: plain(lambda a, b: np.allclose(a, b) | np.allclose(a, a), points, others),
    np.array_equal: plain(lambda a, b: np.array_equal(a, b), points, others),
    np.array_equiv: plain(lambda a, b: np.array_equiv(a, b), points, others),
    np.isin: st.one_of(
        plain(np.isin, points, others), plain(lambda a: np.isin(a, [0.0], invert=True), points)
    ),
    np.searchsorted: st.one_of(
        plain(lambda a, b: np.searchsorted(np.sort(b), a), points, others),
        plain(lambda a: np.searchsorted([0.0, 1.0], a, side="right"), points),
        plain(lambda a, b: np.searchsorted(b, a, sorter=np.argsort(b)), points, others),
    ),
    np.digitize: st.one_of(
        plain(lambda a: np.digitize(a, [0.0, 1.0]), points),
        plain(lambda a: np.digitize(a, [1.0, 0.0], right=True), points),
        plain(lambda a: np.digitize(a, [1.0, 0.0]), points),
    ),
    np.argpartition: st.one_of(
        plain(lambda a: np.argpartition(a, 1), points),
        plain(lambda a: np.argpartition(a, 4, axis=None), points),
    ),
    np.lexsort: st.one_of(
        plain(lambda a: np.lexsort((a[0], a[1])), points),
        plain(lambda a: np.lexsort((a > 0, a), axis=0), points),
    ),
    **{
        f: st.one_of(plain(lambda a, f=f: f(np.log(a + 3.0), axis=1), points), plain(f, points))
        for f in (np.nanargmax, np.nanargmin)
    },
    **{f: plain(f, points) for f in (np.nonzero, np.flatnonzero, np.argwhere)},
    np.unravel_index: plain(lambda a: np.stack(np.unravel_index(np.argmax(a), (2, 3))), points),
    np.ravel_multi_index: plain(
        lambda a: np.ravel_multi_index((np.argmax(a, axis=1), [0, 1]), (3, 2)), points
    ),
    np.ix_: plain(lambda a: np.ix_(np.argmax(a, axis=1), [True, False])[0], points),
    **{
        f: plain(f, np.eye(3))
        for f in (np.diag_indices_from, np.tril_indices_from, np.triu_indices_from)
    },
    np.einsum_path: plain(lambda a: np.einsum_path("ij,kj", a, a)[1], points),
    np.can_cast: plain(lambda a: np.can_cast(a, np.float32), points),
    np.common_type: plain(lambda a: np.common_type(a, np.ones(1, "f4")), points),
    np.min_scalar_type: plain(np.min_scalar_type, points),
    np.empty_like: plain(lambda a: np.empty_like(a, dtype=int, shape=3).shape, points),
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
    **{f: plain(lambda a, f=f: f(a, a), points) for f in (np.may_share_memory, np.shares_memory)},
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
if hasattr(np, "in1d"):  # numpy before 2.4
    FLAT[np.in1d] = plain(lambda a: getattr(np, "in1d")(a, [0.0, 1.5]), points)  # noqa: B009

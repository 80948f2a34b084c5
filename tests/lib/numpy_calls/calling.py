"""Choosing, positions, and functions that call others: the calls that try their rules."""

from __future__ import annotations

import numpy as np

from numpy_calls.draw import MASK, Table, any_of, fixed

SMOOTH: Table = {
    np.select: any_of(
        fixed(
            lambda a, b: np.select([MASK, ~MASK[:1]], [a, 2.0 * b], default=a * b),
            (2, 3),
            (3,),
            analytic=False,
        ),
        fixed(
            lambda a: np.select([a > 0.31, a < -0.29], [a * a, -a]),
            (2, 3),
            apart=True,
            analytic=False,
        ),
    ),
    np.choose: any_of(
        fixed(lambda a, b: np.choose([[0, 1, 1], [2, 0, 1]], [a, b, 3.0]), (2, 3), (3,)),
        fixed(lambda a, b: np.choose([4, -1, 1], (a, b), mode="wrap"), (3,), (3,)),
        fixed(lambda a, b: np.choose([4, -1, 1], (a, b), mode="clip"), (3,), (3,)),
    ),
    np.compress: any_of(
        fixed(lambda a: np.compress([True, False, True], a, axis=1), (2, 3)),
        fixed(lambda a: np.compress([0, 1, 1], a), (2, 3)),
    ),
    np.extract: any_of(
        fixed(lambda a: np.extract(MASK, a), (2, 3)),
        fixed(lambda a: np.extract(a > 0.1, a), (2, 3), apart=True, analytic=False),
    ),
    np.piecewise: any_of(
        fixed(
            lambda a: np.piecewise(
                a, [a < -0.1, a > 0.1], [lambda x: x * x, lambda x: np.sqrt(x), 0.5]
            ),
            (2, 4),
            apart=True,
            analytic=False,
        ),
        fixed(
            lambda a: np.piecewise(a, a < 0.1, [lambda x: 3 * x]), (4,), apart=True, analytic=False
        ),
    ),
    np.apply_along_axis: any_of(
        fixed(lambda a: np.apply_along_axis(np.cumsum, 0, a), (3, 2)),
        fixed(lambda a: np.apply_along_axis(lambda x, k: k * x[0] * x[1], 1, a, 3.0), (2, 3, 2)),
        fixed(lambda a: np.apply_along_axis(lambda x: np.outer(x, x), 1, a), (2, 2, 3)),
    ),
    np.apply_over_axes: fixed(lambda a: np.apply_over_axes(np.sum, a, [0, 2]), (2, 3, 2)),
    np.bincount: any_of(
        fixed(lambda w: np.bincount([0, 2, 2, 1], w), (4,), analytic=False),
        fixed(lambda w: np.bincount([0, 2, 2], weights=w, minlength=5), (3,), analytic=False),
    ),
    np.delete: any_of(
        fixed(lambda a: np.delete(a, 1, axis=1), (2, 3)),
        fixed(lambda a: np.delete(a, [0, -1]), (2, 3)),
        fixed(lambda a: np.delete(a, slice(0, 2), axis=0), (3, 2)),
    ),
    np.insert: any_of(
        fixed(lambda a, b: np.insert(a, 1, b), (3,), (), analytic=False),
        fixed(lambda a, b: np.insert(a, [0, 2], b, axis=1), (2, 3), (2, 2), analytic=False),
        fixed(lambda a, b: np.insert(a, 1, b, axis=0), (2, 3), (2, 3), analytic=False),
        fixed(lambda a, b: np.insert(a, 1, b, axis=1), (2, 3), (2,), analytic=False),
        fixed(lambda a: np.insert(a, [1, 1, 3], [5.0, 6.0, 7.0]), (3,), analytic=False),
    ),
    np.lib.stride_tricks.sliding_window_view: any_of(
        fixed(lambda a: np.lib.stride_tricks.sliding_window_view(a, 2), (4,)),
        fixed(lambda a: np.lib.stride_tricks.sliding_window_view(a, (2, 2)), (3, 4)),
        fixed(lambda a: np.lib.stride_tricks.sliding_window_view(a, 2, axis=0), (3, 2)),
    ),
}

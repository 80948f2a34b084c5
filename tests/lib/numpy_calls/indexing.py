"""Reading elements: the calls that try their rules."""

from __future__ import annotations

import numpy as np

from numpy_calls.draw import ROWS, Table, any_of, fixed, reduction

SMOOTH: Table = {
    np.take: any_of(
        fixed(lambda a: np.take(a, ROWS), (5,)),
        fixed(lambda a: np.take(a, [2, 0], axis=-1), (2, 3)),
        fixed(lambda a: np.take(a, 1, axis=0), (2, 3)),
    ),
    np.take_along_axis: any_of(
        fixed(lambda a: np.take_along_axis(a, ROWS, axis=1), (2, 3)),
        fixed(lambda a: np.take_along_axis(a, ROWS[:1], axis=1), (2, 3)),
        fixed(lambda a: np.take_along_axis(a, ROWS[0], axis=None), (2, 3)),
    ),
    np.sort: reduction(np.sort, tuples=False, keepdims=False, ties=False, analytic=False),
    np.median: any_of(
        reduction(np.median, tuples=False, ties=False, analytic=False),
        fixed(lambda a: np.median(a, axis=(0, 2)), (2, 3, 2), apart=True, analytic=False),
        fixed(
            lambda a: np.median(a, axis=(0, 2), keepdims=True),
            (2, 2, 1),
            apart=True,
            analytic=False,
        ),
    ),
    np.diagonal: any_of(
        fixed(np.diagonal, (2, 3)),
        fixed(lambda a: np.diagonal(a, -1, 0, 2), (3, 2, 3)),
        fixed(lambda a: np.diagonal(a, 2), (2, 4)),
    ),
    np.trace: fixed(lambda a: np.trace(a, 1), (3, 3)),
    np.diag: any_of(fixed(lambda a: np.diag(a, -1), (3,)), fixed(lambda a: np.diag(a, 1), (3, 3))),
    np.tril: fixed(lambda a: np.tril(a, 1), (3, 3), analytic=False),
    np.triu: fixed(np.triu, (2, 3, 3), analytic=False),
    np.interp: any_of(
        fixed(
            # inside the intervals: at knots the slope jumps
            lambda x, xp, fp: np.interp(
                [-9.0, 0.5, 1.5, 9.0] + 0.1 * x, xp * 0.1 + np.arange(3), fp
            ),
            (4,),
            (3,),
            (3,),
            analytic=False,
        ),
        fixed(
            lambda x: np.interp(x + 0.1, [-1.0, 0.0, 1.0], [1.0, 3.0, 2.0], left=-5.0, right=7.0),
            (6,),
            apart=True,
            analytic=False,
        ),
    ),
}

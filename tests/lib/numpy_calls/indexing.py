"""Reading elements: the calls that try their rules."""

from __future__ import annotations

import numpy as np

from numpy_calls.draw import ROWS, Table, any_of, fixed

SMOOTH: Table = {
    np.take: any_of(
        fixed(lambda a: np.take(a, ROWS), (5,)),
        fixed(lambda a: np.take(a, [2, 0], axis=-1), (2, 3)),
        fixed(lambda a: np.take(a, 1, axis=0), (2, 3)),
        fixed(lambda a: np.take(a, [5, -9], mode="wrap"), (2, 2)),
        fixed(lambda a: np.take(a, [5, -9], axis=1, mode="clip"), (2, 2)),
    ),
    np.take_along_axis: any_of(
        fixed(lambda a: np.take_along_axis(a, ROWS, axis=1), (2, 3)),
        fixed(lambda a: np.take_along_axis(a, ROWS[:1], axis=1), (2, 3)),
        fixed(lambda a: np.take_along_axis(a, ROWS[0], axis=None), (2, 3)),
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
    np.diagflat: any_of(fixed(lambda a: np.diagflat(a, 1), (2, 2)), fixed(np.diagflat, (3,))),
}

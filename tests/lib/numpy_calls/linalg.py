"""Linear algebra: the calls that try their rules."""

from __future__ import annotations

import numpy as np

from numpy_calls.draw import Table, any_of, fixed, regular, spd

SMOOTH: Table = {
    np.linalg.inv: regular(np.linalg.inv, (2, 3, 3)),
    np.linalg.det: regular(np.linalg.det, (2, 3, 3)),
    np.linalg.slogdet: any_of(
        spd(lambda a: np.linalg.slogdet(a)[1], 2, 2), spd(lambda a: np.linalg.slogdet(a)[1], 3)
    ),
    np.linalg.solve: any_of(
        regular(np.linalg.solve, (3, 3), (3,)),
        regular(np.linalg.solve, (2, 2, 2), (2, 1)),
        regular(np.linalg.solve, (2, 2), (3, 2, 2)),
        regular(np.linalg.solve, (2, 2, 2), (2,)),
    ),
    np.linalg.cholesky: any_of(
        spd(np.linalg.cholesky, 3),
        spd(np.linalg.cholesky, 2, 2),
        spd(lambda a: np.linalg.cholesky(a, upper=True), 2),
    ),
    np.linalg.norm: any_of(
        fixed(np.linalg.norm, (4,), analytic=False),
        fixed(np.linalg.norm, (2, 3), analytic=False),
        fixed(lambda a: np.linalg.norm(a, "fro"), (2, 3), analytic=False),
        fixed(lambda a: np.linalg.norm(a, axis=1, keepdims=True), (2, 3), analytic=False),
        *(
            fixed(lambda a, p=p: np.linalg.norm(a, p, axis=0), (3, 2), apart=True, analytic=False)
            for p in (1, 2, 3, 1.5, np.inf, -np.inf)
        ),
    ),
    np.linalg.matrix_power: any_of(
        *(regular(lambda a, n=n: np.linalg.matrix_power(a, n), (3, 3)) for n in (1, 2, 3, 5, -2))
    ),
}

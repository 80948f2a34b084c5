"""Covariances and sums over bins: the calls that try their rules."""

from __future__ import annotations

import numpy as np

from numpy_calls.draw import Table, any_of, fixed

_WEIGHTS = np.array([1.0, 2.0, 0.5, 1.0])

SMOOTH: Table = {
    np.cov: any_of(
        fixed(np.cov, (3, 4), analytic=False),
        fixed(np.cov, (4,), (4,), analytic=False),
        fixed(np.cov, (4,), analytic=False),
        fixed(lambda m: np.cov(m, rowvar=False, bias=True), (4, 2), analytic=False),
        fixed(lambda m: np.cov(m, aweights=_WEIGHTS, ddof=1), (2, 4), analytic=False),
        fixed(
            lambda m: np.cov(m, fweights=[1, 2, 1, 3], aweights=_WEIGHTS), (2, 4), analytic=False
        ),
    ),
    np.corrcoef: any_of(
        fixed(lambda m: np.corrcoef(m)[0, 1:], (3, 5), apart=True, analytic=False),
        fixed(lambda a, b: np.corrcoef(a, b)[0], (4,), (4,), apart=True, analytic=False),
    ),
    np.histogram: any_of(
        fixed(
            lambda w: np.histogram([0.5, 1.5, 1.7, 3.0, 9.0], [0, 1, 2, 3], weights=w)[0],
            (5,),
            analytic=False,
        ),
        fixed(
            lambda w: np.histogram([0.5, 1.5, 1.7], 2, weights=w, density=True)[0],
            (3,),
            low=0.5,
            analytic=False,
        ),
    ),
}

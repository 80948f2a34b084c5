"""Reductions and cumulative functions: the calls that try their rules."""

from __future__ import annotations

import numpy as np

from numpy_calls.draw import MASK, Table, any_of, fixed, joined, reduction

SMOOTH: Table = {
    np.sum: any_of(
        reduction(np.sum),
        fixed(lambda x: np.sum(x, where=MASK, initial=2.0), (2, 3)),
        fixed(
            lambda x: np.sum(x, axis=1, dtype=float, keepdims=True, where=MASK),
            (2, 3),
            analytic=False,
        ),
    ),
    np.prod: any_of(
        reduction(np.prod),
        fixed(lambda x: np.prod(x, axis=0, where=MASK, initial=2.0), (2, 3)),
        fixed(np.prod, (40,), low=0.8, high=1.2),
    ),
    np.max: any_of(
        reduction(np.max, ties=False, analytic=False),
        fixed(
            lambda x: np.max(x, axis=1, where=MASK, initial=-9.0),
            (2, 3),
            apart=True,
            analytic=False,
        ),
    ),
    np.amax: reduction(np.amax, ties=False, analytic=False),
    np.min: any_of(
        reduction(np.min, ties=False, analytic=False),
        fixed(
            lambda x: np.min(x, axis=1, where=MASK, initial=9.0),
            (2, 3),
            apart=True,
            analytic=False,
        ),
    ),
    np.amin: reduction(np.amin, ties=False, analytic=False),
    np.ptp: reduction(np.ptp, ties=False, analytic=False),
    np.mean: any_of(reduction(np.mean), fixed(lambda x: np.mean(x, axis=1, where=MASK), (2, 3))),
    np.var: any_of(
        reduction(np.var, analytic=False),
        fixed(lambda x: np.var(x, axis=0, ddof=1), (3, 2), analytic=False),
        fixed(lambda x: np.var(x, axis=1, correction=1), (3, 2), analytic=False),
        fixed(lambda x: np.var(x, axis=1, mean=np.zeros((3, 1))), (3, 2), analytic=False),
    ),
    np.std: fixed(lambda x: np.std(x, axis=0, ddof=1), (4, 2), apart=True, analytic=False),
    np.cumsum: reduction(np.cumsum, tuples=False, keepdims=False),
    np.average: any_of(
        reduction(np.average),
        fixed(lambda x, w: np.average(x, axis=1, weights=w), (2, 3), (3,), low=0.4),
        fixed(lambda x, w: np.average(x, weights=w, keepdims=True), (2, 3), (2, 3), low=0.4),
        fixed(
            lambda x, w: joined(np.average(x, axis=0, weights=w, returned=True)),
            (2, 3),
            (2,),
            low=0.4,
        ),
    ),
    np.cumprod: any_of(
        reduction(np.cumprod, tuples=False, keepdims=False),
        fixed(lambda x: np.cumprod(x, axis=1, dtype=float), (2, 3), analytic=False),
    ),
    np.cumulative_sum: any_of(
        fixed(np.cumulative_sum, (4,)),
        fixed(lambda x: np.cumulative_sum(x, axis=1, include_initial=True), (2, 3)),
    ),
    np.cumulative_prod: fixed(
        lambda x: np.cumulative_prod(x, axis=0, include_initial=True), (3, 2)
    ),
}

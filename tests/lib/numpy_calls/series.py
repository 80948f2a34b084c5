"""Series and samples of functions: the calls that try their rules."""

from __future__ import annotations

import numpy as np

from numpy_calls.draw import Table, any_of, fixed, joined, unary

_UNEVEN = np.array([0.0, 0.5, 2.0, 2.5])

SMOOTH: Table = {
    np.diff: any_of(
        fixed(lambda a: np.diff(a, n=2), (2, 4)),
        fixed(lambda a: np.diff(a, axis=0), (2, 4)),
        fixed(lambda a: np.diff(a, prepend=0.0, append=a[:1]), (3,)),
    ),
    np.ediff1d: any_of(
        fixed(np.ediff1d, (2, 3)),
        fixed(lambda a: np.ediff1d(a, to_end=[1.0, 2.0], to_begin=a[0]), (3,)),
    ),
    np.gradient: any_of(
        fixed(np.gradient, (4,)),
        fixed(lambda f: np.gradient(f, 0.5, edge_order=2), (4,)),
        fixed(lambda f: np.gradient(f, _UNEVEN, edge_order=2), (4,), analytic=False),
        fixed(lambda f: joined(np.gradient(f, 2.0, _UNEVEN)), (3, 4), analytic=False),
        fixed(lambda f: np.gradient(f, axis=0), (3, 2)),
        fixed(lambda f: joined(np.gradient(f, 0.5, axis=(0, 1))), (3, 2)),
        fixed(lambda f, x: np.gradient(f, 0.1 * x + _UNEVEN), (4,), (4,), analytic=False),
    ),
    np.trapezoid: any_of(
        fixed(lambda y: np.trapezoid(y, dx=0.5, axis=0), (3, 2), analytic=False),
        fixed(np.trapezoid, (2, 3), (3,), analytic=False),
        fixed(np.trapezoid, (2, 3), (2, 3), analytic=False),
    ),
    np.convolve: any_of(
        *(
            fixed(lambda a, v, mode=mode: np.convolve(a, v, mode), (n,), (m,), analytic=False)
            for mode in ("full", "same", "valid")
            for n, m in [(4, 3), (3, 4), (2, 2)]
        ),
        fixed(lambda v: np.convolve([1.0, 2.0, 3.0], v), (2,), analytic=False),
    ),
    np.correlate: any_of(
        *(
            fixed(lambda a, v, mode=mode: np.correlate(a, v, mode), (n,), (m,), analytic=False)
            for mode in ("full", "same", "valid")
            for n, m in [(4, 3), (3, 5)]
        ),
    ),
    np.unwrap: any_of(
        fixed(lambda p: np.unwrap(3.0 * p), (5,), apart=True, analytic=False),
        fixed(lambda p: np.unwrap(p, axis=0, period=1.1), (4, 2), apart=True, analytic=False),
    ),
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
        fixed(
            lambda x, fp: np.interp(x + 0.1, [2.0, 0.3, 1.0], fp, period=3.0),
            (6,),
            (3,),
            apart=True,
            analytic=False,
        ),
        fixed(lambda x, fp: np.interp(x, [0.0], fp), (2,), (1,), analytic=False),
    ),
    np.i0: any_of(unary(np.i0, -4.0, 4.0, analytic=False), unary(np.i0, 9.0, 40.0, analytic=False)),
}

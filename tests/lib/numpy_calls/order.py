"""What goes by the order of values: the calls that try their rules."""

from __future__ import annotations

import numpy as np

from numpy_calls.draw import Table, any_of, fixed, joined, reduction


def apart(function, *shapes):  # type: ignore[no-untyped-def]
    return fixed(function, *shapes, apart=True, analytic=False)


_METHODS = ("linear", "hazen", "weibull", "median_unbiased", "lower", "nearest", "midpoint")
_GAPS = np.array([[0.0, np.nan, 1.0], [1.0, 0.0, 2.0]])

SMOOTH: Table = {
    np.sort: reduction(np.sort, tuples=False, keepdims=False, ties=False, analytic=False),
    np.partition: any_of(
        apart(lambda a: np.sort(np.partition(a, 2)[:, :2]), (2, 4)),
        apart(lambda a: np.partition(a, 3, axis=None)[3], (2, 3)),
    ),
    np.median: any_of(
        reduction(np.median, tuples=False, ties=False, analytic=False),
        apart(lambda a: np.median(a, axis=(0, 2)), (2, 3, 2)),
        apart(lambda a: np.median(a, axis=(0, 2), keepdims=True), (2, 2, 1)),
    ),
    np.quantile: any_of(
        apart(lambda a: np.quantile(a, 0.3), (2, 3)),
        apart(lambda a: np.quantile(a, [0.1, 0.55, 1.0], axis=1), (2, 4)),
        apart(lambda a: np.quantile(a, 0.3, axis=(0, 2), keepdims=True), (2, 2, 3)),
        *(apart(lambda a, m=m: np.quantile(a, 0.37, axis=0, method=m), (5,)) for m in _METHODS),
        apart(lambda a, q: np.quantile(a, 0.55 + 0.02 * q), (4,), ()),
        apart(lambda a, q: np.quantile(a, 0.3 + 0.01 * q, axis=0, method="hazen"), (4, 2), (2,)),
    ),
    np.percentile: apart(lambda a: np.percentile(a, [10, 90], axis=0, keepdims=True), (4, 2)),
    np.nanquantile: any_of(
        apart(lambda a: np.nanquantile(a + _GAPS, [0.3, 0.8], axis=1), (2, 3)),
        apart(lambda a: np.nanquantile(a + _GAPS, 0.4, axis=0, keepdims=True), (2, 3)),
        apart(lambda a: np.nanquantile(a + _GAPS, 0.6, method="weibull"), (2, 3)),
    ),
    np.nanpercentile: apart(lambda a: np.nanpercentile(a + _GAPS, 30, axis=0), (2, 3)),
    np.nanmedian: any_of(
        apart(lambda a: np.nanmedian(a + _GAPS, axis=1), (2, 3)),
        apart(lambda a: np.nanmedian(a + _GAPS), (2, 3)),
    ),
    np.trim_zeros: apart(lambda a: np.trim_zeros(np.where([0, 1, 1, 0], a, 0.0)), (4,)),
    np.unique: any_of(
        apart(np.unique, (2, 3)),
        apart(lambda a: np.unique(np.round(a) + 0.0 * a, return_counts=True)[1] * np.sum(a), (1,)),
        apart(lambda a: joined(np.unique(a, return_index=True, return_inverse=True)), (4,)),
    ),
    np.unique_values: apart(lambda a: np.sort(np.unique_values(a)), (4,)),
    np.unique_all: apart(lambda a: np.unique_all(a).values, (4,)),
    np.unique_counts: apart(lambda a: np.unique_counts(a).values, (4,)),
    np.unique_inverse: apart(lambda a: np.unique_inverse(a).values, (4,)),
    np.union1d: apart(lambda a: np.union1d(a, [0.5, 9.0]), (3,)),
    np.intersect1d: apart(lambda a: np.intersect1d(a, a[1:]), (3,)),
    np.setdiff1d: apart(lambda a: np.setdiff1d(a, a[:1]), (3,)),
    np.setxor1d: apart(lambda a: np.setxor1d(a, a[:1]), (3,)),
}

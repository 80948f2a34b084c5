"""Covariances, and sums over bins."""

from __future__ import annotations

from typing import Any

import numpy as np

from softtape.ops.registry import implements, refuses

__all__: list[str] = []


@implements(np.cov)
def _np_cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    x = _variables(m, rowvar)
    if y is not None:
        x = np.concatenate([x, _variables(y, rowvar)], axis=0)
    x = np.astype(x, np.result_type(x, np.float64) if dtype is None else np.dtype(dtype))
    ddof = (0 if bias else 1) if ddof is None else ddof
    w = fweights if aweights is None else aweights if fweights is None else fweights * aweights
    count = float(np.shape(x)[1]) if w is None else np.sum(w)
    if aweights is None or not ddof:
        factor = count - ddof
    else:
        factor = count - ddof * np.sum(w * aweights) / count
    x = x - np.average(x, axis=1, weights=w, keepdims=True)
    c = np.matmul(x if w is None else x * w, np.conjugate(np.transpose(x))) / factor
    return np.squeeze(c)


def _variables(m: Any, rowvar: bool) -> Any:
    x = np.atleast_2d(m)
    return np.transpose(x) if not rowvar and np.ndim(m) != 1 else x


@implements(np.corrcoef)
def _np_corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    c = np.cov(x, y, rowvar, dtype=dtype)
    if np.ndim(c) == 0:
        return c / c
    deviation = np.sqrt(np.real(np.diagonal(c)))
    c = c / np.expand_dims(deviation, 1) / np.expand_dims(deviation, 0)
    return np.clip(c, -1.0, 1.0)


_FLAT_COUNTS = (
    "counts are flat wherever they do not jump, so a loss made of them has no slope. Use a smooth "
    "count, such as np.sum(1 / (1 + np.exp((edge - x) / width))) above each edge"
)


@implements(np.histogram)
def _np_histogram(
    a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    if any(hasattr(x, "_softtape_record") for x in (a, bins)):
        raise NotImplementedError(_FLAT_COUNTS)
    # with plain values the bins are what they are, and the sums are linear in the weights
    a = np.ravel(a)
    edges = np.histogram_bin_edges(a, bins, range)
    last = len(edges) - 1
    place = np.searchsorted(edges, a, side="right") - 1
    place = np.where(a == edges[last], last - 1, place)
    inside = np.flatnonzero((place >= 0) & (place < last))
    counts = np.bincount(place[inside], np.take(np.ravel(weights), inside), last)
    if density:
        return counts / np.diff(edges) / np.sum(counts), edges
    return np.astype(counts, weights.dtype), edges


refuses(np.histogram2d, np.histogramdd, np.histogram_bin_edges, because=_FLAT_COUNTS)

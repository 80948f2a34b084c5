"""Reductions that pass over NaN: the calls that try their rules."""

from __future__ import annotations

import numpy as np

from numpy_calls.draw import MASK, Table, any_of, fixed


def gaps(function, **keywords):  # type: ignore[no-untyped-def]
    return fixed(
        lambda x: function(np.where(MASK, x, np.nan), **keywords),
        (2, 3),
        apart=True,
        analytic=False,
    )


SMOOTH: Table = {
    np.nansum: any_of(gaps(np.nansum, axis=0), gaps(np.nansum, initial=2.0, where=MASK[:, ::-1])),
    np.nanprod: any_of(gaps(np.nanprod, axis=0), gaps(np.nanprod, keepdims=True)),
    np.nancumsum: any_of(gaps(np.nancumsum, axis=1), gaps(np.nancumsum)),
    np.nancumprod: gaps(np.nancumprod, axis=1),
    np.nanmax: any_of(gaps(np.nanmax, axis=1), gaps(np.nanmax, initial=-9.0, keepdims=True)),
    np.nanmin: any_of(gaps(np.nanmin, axis=0), gaps(np.nanmin)),
    np.nanmean: any_of(
        gaps(np.nanmean, axis=1), gaps(np.nanmean, where=np.array([True, False, True]))
    ),
    np.nanvar: any_of(gaps(np.nanvar, axis=1), gaps(np.nanvar, ddof=1, keepdims=True)),
    np.nanstd: any_of(gaps(np.nanstd, axis=1), gaps(np.nanstd)),
}

"""Grids, ramps, borders, tables of powers: the calls that try their rules."""

from __future__ import annotations

import numpy as np

from numpy_calls.draw import Table, any_of, fixed, joined

_SHAPED = ("reflect", "symmetric", "wrap", "edge")
_MADE = ("mean", "linear_ramp", "constant")

SMOOTH: Table = {
    np.linspace: any_of(
        fixed(lambda a, b: np.linspace(a, b, 4), (), ()),
        fixed(lambda a, b: np.linspace(a, b, 3, endpoint=False, axis=-1), (2,), (2, 1)),
        fixed(lambda a: joined(np.linspace(a, 3.0, 4, retstep=True)), ()),
    ),
    np.logspace: any_of(
        fixed(lambda a, b: np.logspace(a, b, 4), (), (2,)),
        fixed(lambda a, b: np.logspace(1.0, a, 3, base=b), (), (), low=0.5),
    ),
    np.geomspace: any_of(
        fixed(lambda a, b: np.geomspace(a, b, 4), (), (2,), low=0.5),
        fixed(lambda a: np.geomspace(-a, -5.0, 3, endpoint=False), (), low=0.5),
    ),
    np.meshgrid: any_of(
        fixed(lambda a, b: joined(np.meshgrid(a, b)), (3,), (2,)),
        fixed(lambda a, b: joined(np.meshgrid(a, b, [1.0, 2.0], indexing="ij")), (3,), (2,)),
        fixed(lambda a, b: joined(np.meshgrid(a, b, sparse=True)), (3,), (2,)),
    ),
    np.vander: any_of(
        fixed(np.vander, (3,)), fixed(lambda x: np.vander(x, 4, increasing=True), (2,))
    ),
    np.pad: any_of(
        *(
            fixed(lambda a, m=m: np.pad(a, ((1, 2), (0, 1)), mode=m), (3, 2), analytic=False)
            for m in (*_SHAPED, *_MADE)
        ),
        *(
            fixed(
                lambda a, m=m: np.pad(a, 2, mode=m, stat_length=2), (4,), apart=True, analytic=False
            )
            for m in ("maximum", "minimum", "median")
        ),
        *(
            fixed(
                lambda a, m=m: np.pad(a, ((2, 1), (0, 2)), mode=m, reflect_type="odd"),
                (3, 3),
                analytic=False,
            )
            for m in ("reflect", "symmetric")
        ),
        fixed(lambda a, c: np.pad(a, (2, 0), constant_values=c), (3,), (), analytic=False),
        fixed(
            lambda a, c: np.pad(a, 2, mode="linear_ramp", end_values=(1.0, c)),
            (3,),
            (),
            analytic=False,
        ),
    ),
}

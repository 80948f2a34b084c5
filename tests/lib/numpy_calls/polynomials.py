"""Polynomials: the calls that try their rules."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpy_calls.draw import Table, any_of, fixed, joined


def divided(u: Any, v: Any) -> Any:
    """Without what rounding may leave before the remainder, more or less of it by dtype."""
    quotient, rest = np.polydiv(u, v)
    return joined((quotient, rest[-max(1, len(v) - 1) :]))


SMOOTH: Table = {
    np.polyval: any_of(
        fixed(np.polyval, (3,), (2,)), fixed(lambda p: np.polyval(p, [1.0, 2.0]), (3,))
    ),
    np.polyadd: fixed(np.polyadd, (3,), (2,)),
    np.polysub: fixed(np.polysub, (2,), (3,)),
    np.polymul: fixed(np.polymul, (2,), (3,), analytic=False),
    np.polydiv: any_of(
        fixed(lambda u, v: divided(u, v + 3.0), (4,), (2,), analytic=False),
        fixed(lambda u, v: divided(u, v + 3.0), (3,), (1,), analytic=False),
        fixed(lambda u: joined(np.polydiv(u, [1.0, 2.0, 3.0])), (2,), analytic=False),
    ),
    np.polyder: any_of(fixed(np.polyder, (4,)), fixed(lambda p: np.polyder(p, 2), (4,))),
    np.polyint: any_of(
        fixed(np.polyint, (3,)), fixed(lambda p, k: np.polyint(p, 2, k=k), (3,), (2,))
    ),
    np.polyfit: any_of(
        fixed(lambda y: np.polyfit(np.arange(4.0), y, 2), (4,), analytic=False),
        fixed(
            lambda x, y: np.polyfit(np.arange(5.0) + 0.1 * x, y, 1, w=[1, 2, 1, 1, 3]),
            (5,),
            (5, 2),
            analytic=False,
        ),
    ),
    np.poly: fixed(np.poly, (3,), analytic=False),
}

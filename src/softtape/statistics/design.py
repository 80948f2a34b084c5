"""Which measurement would help most: the c-optimal choice among the tests that exist.

To repeat a test is to add its rows to the Jacobian once more. By the formula of Sherman, Morrison
and Woodbury that narrows the variance of a Param by vᵀ (I + A)⁻¹ v, with v the covariances of the
Param with what the test measures, and A the variance of that (Atkinson, Donev and Tobias, Optimum
Experimental Designs, with SAS, 2007, chapters 10 and 17).
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.statistics.uncertainty import Uncertainty

__all__ = ["Advice", "most_helpful"]

Floats: TypeAlias = NDArray[np.float64]

_MOST_WORK = 1e9  # multiplications


class Advice(NamedTuple):
    """What to measure once more.

    Attributes
    ----------
    test
        Number of the test.
    param
        Place of the Param in θ that is known worst.
    before, after
        Its standard error now, and with one more measurement, in its unit.
    """

    test: int
    param: int
    before: float
    after: float


def most_helpful(
    jacobian: Floats, tests: NDArray[np.intp], known: Uncertainty, theta: Floats
) -> Advice | None:
    """Return the test which, repeated, narrows the largest relative standard error most.

    Parameters
    ----------
    jacobian
        ∂r/∂θ at the minimum, shape (m, n).
    tests
        The number of the test that each residual belongs to, shape (m,).
    known
        What :func:`softtape.statistics.uncertainty.estimate` made of it.
    theta
        The minimum, shape (n,).
    """
    relative = known.errors / np.where(theta == 0, np.nan, np.abs(theta))
    told = np.flatnonzero(np.isfinite(known.errors))
    if not told.size or jacobian.shape[0] * told.size**2 > _MOST_WORK or not known.variance > 0:
        return None
    usable = np.isfinite(relative)
    worst = (
        int(np.nanargmax(relative)) if usable.any() else int(told[np.argmax(known.errors[told])])
    )
    covariance = known.covariance[np.ix_(told, told)] / known.variance
    rows = jacobian[:, told]
    spread = rows @ covariance
    towards = spread[:, int(np.flatnonzero(told == worst)[0])]
    numbers, gains = _gains(rows, spread, towards, tests)
    best = int(np.argmax(gains))
    before = float(known.errors[worst])
    left = before**2 - known.variance * float(gains[best])
    return Advice(int(numbers[best]), worst, before, float(np.sqrt(max(left, 0.0))))


def _gains(
    rows: Floats, spread: Floats, towards: Floats, tests: NDArray[np.intp]
) -> tuple[NDArray[np.intp], Floats]:
    """Return the numbers of the tests, and by how much each narrows the variance."""
    order = np.argsort(tests, kind="stable")
    numbers, starts = np.unique(tests[order], return_index=True)
    if len(numbers) == len(tests):
        return numbers, (towards**2 / (1.0 + np.sum(spread * rows, axis=1)))[order]
    gains = np.empty(len(numbers))
    for place, own in enumerate(np.split(order, starts[1:])):
        inner = np.eye(own.size) + spread[own] @ rows[own].T
        gains[place] = towards[own] @ np.linalg.solve(inner, towards[own])
    return numbers, gains

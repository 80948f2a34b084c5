"""Which tests stand out at a minimum: outliers, and pairs that pull in opposite directions.

A test whose residual is large against the scatter of the others, once it is left out, is an
outlier (externally studentized residuals: Cook and Weisberg, Residuals and Influence in
Regression, 1982, chapter 2). Two such tests that push the same Params in opposite directions, and
both as far out as each other, are a conflict: the data do not tell which of
them is wrong. All of it is linear algebra on the hat matrix; nothing is fitted again.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.statistics.uncertainty import Uncertainty, estimate, student_quantile

__all__ = ["Conflict", "Outlier", "cook_distances", "influences", "standing_out", "studentized"]

Floats: TypeAlias = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)
_LEVEL = 0.05  # chance that a suite of well-behaved tests shows any outlier at all
_ALIKE = 3.0  # most by which two tests in conflict differ in what leaving them out would gain
_MOST = 50  # residuals that are compared in pairs


class Outlier(NamedTuple):
    """A test far from what the others say.

    Attributes
    ----------
    test
        Its number.
    studentized
        Its largest residual in standard deviations, with that residual left out of them; ±inf
        where the others agree up to rounding.
    """

    test: int
    studentized: float


class Conflict(NamedTuple):
    """Two tests that cannot both hold.

    Attributes
    ----------
    tests
        Their numbers.
    gains
        By how much the loss of each would fall if the other were left out, to first order.
    """

    tests: tuple[int, int]
    gains: tuple[float, float]


def studentized(residuals: Floats, known: Uncertainty, rounding: float = 0.0) -> Floats:
    """Return externally studentized residuals, shape (m,); NaN where nothing can be told.

    ±inf where all the others, without this one, have a norm of no more than ``rounding``.
    """
    rest = 1.0 - _leverage(known)
    decided = rest > math.sqrt(_EPS)  # a residual that one Param alone explains tells nothing
    if known.dof < 2:
        return np.full(residuals.shape, np.nan)
    safe = np.where(decided, rest, 1.0)
    total = float(residuals @ residuals)
    others = total - residuals**2 / safe  # below the rounding of the total, there is none
    variance = np.where(others > max(_EPS * total, rounding**2), others, 0.0) / (known.dof - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(decided, residuals / np.sqrt(variance * safe), np.nan)


def cook_distances(residuals: Floats, known: Uncertainty) -> Floats:
    """Return Cook's distances, shape (m,): how far all fitted values move without a residual.

    The unit is the number of determined directions times the variance of a residual. NaN where
    nothing can be told.
    """
    leverage = _leverage(known)
    rest = np.where(1.0 - leverage > math.sqrt(_EPS), 1.0 - leverage, np.nan)
    rank = max(known.basis.shape[1], 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        distances: Floats = residuals**2 * leverage / (rank * known.variance * rest**2)
    return distances


def influences(residuals: Floats, tests: NDArray[np.intp], known: Uncertainty) -> dict[int, float]:
    """Return Cook's distance of each test, by its number: how far the fit moves without it.

    With several residuals in a test, all of them are left out together (Cook and Weisberg, 1982,
    section 3.6). A test is missing where nothing can be told, because it alone decides something.

    Parameters
    ----------
    residuals, tests, known
        See :func:`standing_out`.
    """
    order = np.argsort(tests, kind="stable")
    numbers, starts = np.unique(tests[order], return_index=True)
    if len(numbers) == len(tests):
        distances = cook_distances(residuals, known)[order]
        return {int(n): float(d) for n, d in zip(numbers, distances, strict=True) if d == d}
    found: dict[int, float] = {}
    scale = max(known.basis.shape[1], 1) * known.variance
    for number, rows in zip(numbers, np.split(order, starts[1:]), strict=True):
        basis = known.basis[rows]
        # I - H of these rows has the eigenvalues 1 - s², s being singular values of the basis
        left, singular, _ = np.linalg.svd(basis, full_matrices=False)
        rest = 1.0 - singular**2
        if np.all(rest > math.sqrt(_EPS)):
            parts = (left.T @ residuals[rows]) * singular / rest
            found[int(number)] = float(parts @ parts) / scale
    return found


def standing_out(
    residuals: Floats, tests: NDArray[np.intp], known: Uncertainty, rounding: float = 0.0
) -> tuple[list[Outlier], list[Conflict]]:
    """Return the outliers, worst first, and the conflicts; a test in a conflict is no outlier.

    Parameters
    ----------
    residuals
        r at a minimum, shape (m,).
    tests
        The number of the test that each residual belongs to, shape (m,).
    known
        What :func:`softtape.statistics.uncertainty.estimate` made of them.
    rounding
        The norm up to which residuals are rounding.
    """
    conflicts = _conflicts(residuals, tests, known)
    among = np.isin(tests, [test for conflict in conflicts for test in conflict.tests])
    if among.any():  # what two tests in conflict do to the others is not the others' fault
        rounded = 8 * residuals.size * _EPS * float(np.sqrt(residuals @ residuals))
        rounding = max(rounding, rounded)
        residuals, known = _without(residuals, known, among)
        tests = tests[~among]
    scores = studentized(residuals, known, rounding)
    alone = bool(np.all(tests == tests[:1]))  # no other test says anything
    if alone or known.dof < 2 or not np.any(np.isfinite(scores)):
        return [], conflicts
    limit = student_quantile(1 - _LEVEL / (2 * residuals.size), known.dof - 1)
    outliers: dict[int, Outlier] = {}
    for i in np.argsort(-np.abs(np.nan_to_num(scores)), kind="stable"):
        if not abs(scores[i]) > limit:
            break
        test = int(tests[i])
        outliers.setdefault(test, Outlier(test, float(scores[i])))
    return list(outliers.values()), conflicts


def _without(
    residuals: Floats, known: Uncertainty, left_out: NDArray[np.bool_]
) -> tuple[Floats, Uncertainty]:
    """Return the residuals of the linear problem without some of them, and what they tell."""
    basis, rest = known.basis[~left_out], residuals[~left_out]
    move = np.linalg.lstsq(basis, rest, rcond=None)[0]
    rest = rest - basis @ move
    return rest, estimate(rest, basis)


def _leverage(known: Uncertainty) -> Floats:
    leverage: Floats = np.clip(np.sum(known.basis**2, axis=1), 0.0, 1.0)
    return leverage


def _conflicts(residuals: Floats, tests: NDArray[np.intp], known: Uncertainty) -> list[Conflict]:
    """Pair the tests that matter most, each with the strongest opponent that is left.

    Two that are far out hide each other when they are left out one at a time, so a pair is
    judged by what 𝓛 loses without both: an F statistic with two degrees of freedom, whose
    distribution function is elementary.
    """
    total = float(residuals @ residuals)
    if known.dof < 3 or not total:
        return []
    leverage = _leverage(known)
    dropped = residuals**2 / np.maximum(1.0 - leverage, _EPS)  # what 𝓛 would fall by without it
    far = [int(i) for i in np.argsort(-dropped, kind="stable")[:_MOST]]
    count = residuals.size * (residuals.size - 1) / 2
    pairs: list[tuple[float, int, int]] = []
    for place, i in enumerate(far):
        for j in far[place + 1 :]:
            if dropped[i] > _ALIKE * dropped[j]:
                break
            shared = float(known.basis[i] @ known.basis[j])
            # both move the fitted values their own way: rᵢ hᵢⱼ rⱼ < 0 where they disagree
            if residuals[i] * shared * residuals[j] >= 0 or tests[i] == tests[j]:
                continue
            both = _drop(residuals[[i, j]], leverage[[i, j]], shared)
            left = max((total - both) / total, _EPS)
            if left ** ((known.dof - 2) / 2) * count < _LEVEL:
                pairs.append((-both, i, j))
    found: list[Conflict] = []
    taken: set[int] = set()
    for _, i, j in sorted(pairs):
        if taken.isdisjoint((int(tests[i]), int(tests[j]))):
            taken |= {int(tests[i]), int(tests[j])}
            gains = (_gain(residuals, known, i, j), _gain(residuals, known, j, i))
            found.append(Conflict((int(tests[i]), int(tests[j])), gains))
    return found


def _drop(residuals: Floats, leverage: Floats, shared: float) -> float:
    """Return what 𝓛 falls by where two residuals are left out: rᵀ (I - H)⁻¹ r."""
    a, b = np.maximum(1.0 - leverage, _EPS)
    determinant = max(a * b - shared * shared, _EPS)
    first, second = residuals
    quadratic = b * first**2 + 2 * shared * first * second + a * second**2
    return float(quadratic / determinant)


def _gain(residuals: Floats, known: Uncertainty, i: int, without: int) -> float:
    """Return the fall of rᵢ² if the residual ``without`` were left out, to first order."""
    shared = float(known.basis[i] @ known.basis[without])
    own = float(known.basis[without] @ known.basis[without])
    left = residuals[i] + shared * residuals[without] / max(1.0 - own, _EPS)
    return float(residuals[i] ** 2 - left**2)

"""What the numbers of a fit mean, in words and with error bars. Knows nothing of pytest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.objective import Objective
from softtape.optimize import Bounds
from softtape.statistics.combinations import describe
from softtape.statistics.design import Advice, most_helpful
from softtape.statistics.influence import Conflict, Outlier, influences, standing_out
from softtape.statistics.uncertainty import Uncertainty, estimate

__all__ = ["Meaning", "meaning_of"]

Floats: TypeAlias = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)
_LARGEST = 20_000_000  # elements of the Jacobian: its decomposition then takes some seconds
_MOST_PARAMS = 500
_LEFT = 1e-4  # of 𝓛 that one more step would gain: then the fit did not end in a minimum
_ROUNDING = 1e3  # roundings of the residuals below which 𝓛 tells no scatter
_CORRELATED = 0.995
_MOST = 3


class Meaning(NamedTuple):
    """What the tests tell about the Params where the fit ended.

    Attributes
    ----------
    errors
        Standard errors, shape (n,), in the Params' units; NaN where there are none.
    half_widths
        Halves of the 95 % confidence intervals by curvature, shape (n,).
    dof
        Degrees of freedom of the residuals.
    reason
        Why there are no errors at all; empty where there are.
    undetermined
        Sentences on what the tests do not determine.
    correlated
        Pairs of names whose estimates depend on each other most, and their correlations.
    outliers
        Terms far from what the others say, by number.
    conflicts
        Pairs of terms that cannot both hold, by number.
    reasons
        Why a Param has no error where others may, by its place in θ.
    correlation
        Of all pairs, shape (n, n); NaN where there are no errors.
    influences
        Cook's distance of each term, by number.
    advice
        Which term, measured once more, would narrow the worst error most; None if that cannot
        be told.
    loss
        𝓛.
    """

    errors: Floats
    half_widths: Floats
    dof: int
    reason: str
    undetermined: Sequence[str]
    correlated: Sequence[tuple[str, str, float]]
    outliers: Sequence[Outlier]
    conflicts: Sequence[Conflict]
    reasons: Mapping[int, str]
    correlation: Floats
    influences: Mapping[int, float]
    advice: Advice | None
    loss: float


def meaning_of(
    problem: Objective,
    theta: Floats,
    bounds: Bounds,
    names: Sequence[str],
    *,
    absolute: bool = False,
) -> Meaning | str:
    """Return what the tests tell about the Params at ``theta``, or why they cannot.

    Parameters
    ----------
    problem
        𝓛, a sum of squares.
    theta
        Where the fit ended, shape (n,).
    bounds
        The box.
    names
        What to call the elements of θ.
    absolute
        Whether the residuals are in units of their standard deviations.
    """
    if theta.size > _MOST_PARAMS:
        return f"there are more than {_MOST_PARAMS} numbers to fit"
    residuals, jacobian = problem.residuals_and_jacobian(theta)
    if jacobian.size > _LARGEST:
        return "there are too many residuals and Params"
    if not (np.all(np.isfinite(residuals)) and np.all(np.isfinite(jacobian))):
        return "the residuals or their derivatives are not finite"
    held = (theta <= bounds.lower) | (theta >= bounds.upper)
    known = estimate(residuals, jacobian, held, absolute=absolute)

    def at(point: Floats) -> Floats:
        return problem.residuals_and_jacobian(bounds.project(point))[0]

    undetermined = [describe(d, theta, names, at) for d in known.undetermined]
    rounding = float(_ROUNDING * _EPS * np.linalg.norm(np.abs(jacobian) @ np.abs(theta)))
    reason = _why_not(known, residuals, rounding)
    outliers: list[Outlier] = []
    conflicts: list[Conflict] = []
    advice: Advice | None = None
    told: dict[int, float] = {}
    if not reason:
        tests = problem.residual_terms(theta)
        outliers, conflicts = standing_out(residuals, tests, known, rounding)
        if known.dof > 0:
            told = influences(residuals, tests, known)
        advice = most_helpful(jacobian, tests, known, theta)
    nothing = np.full(theta.size, np.nan)
    return Meaning(
        errors=nothing if reason else known.errors,
        half_widths=nothing if reason else known.half_width(0.95),
        dof=known.dof,
        reason=reason,
        undetermined=undetermined,
        correlated=[] if reason else _correlated(known, names),
        outliers=outliers,
        conflicts=conflicts,
        reasons=known.reasons,
        correlation=np.full_like(known.covariance, np.nan) if reason else known.correlation,
        influences=told,
        advice=advice,
        loss=float(residuals @ residuals),
    )


def _why_not(known: Uncertainty, residuals: Floats, rounding: float) -> str:
    """Say why there are no standard errors at all, if so."""
    loss = float(residuals @ residuals)
    gained = float(np.sum((known.basis.T @ residuals) ** 2))
    if known.absolute:
        early = gained > _LEFT * max(loss, 1.0)
        return "the fit ended before a minimum, where they would mean something" if early else ""
    if known.dof < 1:
        return "there are no more residuals than Params, so nothing tells their scatter"
    if np.sqrt(loss) <= rounding:
        return "the fit is exact up to rounding, so nothing tells the scatter"
    if gained > _LEFT * loss:
        return "the fit ended before a minimum, where they would mean something"
    return ""


def _correlated(known: Uncertainty, names: Sequence[str]) -> list[tuple[str, str, float]]:
    """Return the strongest correlations, strongest first."""
    size = np.abs(np.nan_to_num(np.triu(known.correlation, 1)))
    strongest = np.argsort(-size, axis=None, kind="stable")[:_MOST]
    pairs = [np.unravel_index(int(place), size.shape) for place in strongest]
    return [
        (names[int(i)], names[int(j)], float(known.correlation[i, j]))
        for i, j in pairs
        if size[i, j] >= _CORRELATED
    ]

"""What the numbers of a fit mean, in words and with error bars. Knows nothing of pytest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.objective import Objective
from softtape.optimize import Bounds
from softtape.statistics.combinations import describe
from softtape.statistics.influence import Conflict, Outlier, standing_out
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


@dataclass(frozen=True, eq=False)
class Meaning:
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
    """

    errors: Floats
    half_widths: Floats
    dof: int
    reason: str
    undetermined: Sequence[str]
    correlated: Sequence[tuple[str, str, float]]
    outliers: Sequence[Outlier]
    conflicts: Sequence[Conflict]


def meaning_of(
    problem: Objective, theta: Floats, bounds: Bounds, names: Sequence[str]
) -> Meaning | None:
    """Return what the tests tell about the Params at ``theta``, or None for a huge problem.

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
    """
    if theta.size > _MOST_PARAMS:
        return None
    residuals, jacobian = problem.residuals_and_jacobian(theta)
    if jacobian.size > _LARGEST:
        return None
    if not (np.all(np.isfinite(residuals)) and np.all(np.isfinite(jacobian))):
        return None
    held = (theta <= bounds.lower) | (theta >= bounds.upper)
    known = estimate(residuals, jacobian, held)

    def at(point: Floats) -> Floats:
        return problem.residuals_and_jacobian(bounds.project(point))[0]

    undetermined = [describe(d, theta, names, at) for d in known.undetermined]
    reason = _why_not(known, residuals, jacobian, theta)
    outliers: list[Outlier] = []
    conflicts: list[Conflict] = []
    if not reason:
        outliers, conflicts = standing_out(residuals, problem.residual_terms(theta), known)
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
    )


def _why_not(known: Uncertainty, residuals: Floats, jacobian: Floats, theta: Floats) -> str:
    """Say why there are no standard errors at all, if so."""
    if known.dof < 1:
        return "there are no more residuals than Params, so nothing tells their scatter"
    loss = float(residuals @ residuals)
    gained = float(np.sum((known.basis.T @ residuals) ** 2))
    scale = np.sqrt(np.sum((np.abs(jacobian) @ np.abs(theta)) ** 2))
    if np.sqrt(loss) <= _ROUNDING * _EPS * scale:
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

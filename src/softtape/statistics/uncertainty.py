"""What the residuals at a minimum tell about the Params: how well each is known, and why not.

Near a least squares minimum 𝓛 = Σ r² the residuals are linear in θ, r ≈ r₀ + J (θ - θ₀), and
with residuals of equal variance σ² the covariance of θ is σ² (JᵀJ)⁻¹, where σ² is estimated by
𝓛 / (m - n) (Seber and Wild, Nonlinear Regression, 1989, chapter 2; Bates and Watts, Nonlinear
Regression Analysis and Its Applications, 1988). What the tests do not determine shows as a
singular value zero of J, its columns scaled to length one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Uncertainty", "estimate", "student_quantile"]

Floats = NDArray[np.float64]

# J is exact up to rounding, so a combination that the tests do not see has a singular value of
# rounding; one that they see badly stays well above it
_RANK_TOLERANCE = 1e-12
_PART = 1e-6  # share of a unit vector below which a Param does not take part in a direction


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """How well n Params are known from m residuals.

    Attributes
    ----------
    variance
        Variance of a residual: 1 where the residuals are in units of their standard deviations,
        else estimated as 𝓛 / dof, NaN where dof is not positive.
    dof
        Degrees of freedom: residuals minus determined directions.
    covariance
        Of the Params, shape (n, n), in their units. NaN in the rows and columns of those that
        have no standard error.
    undetermined
        Directions in which the Params can move and no residual changes, shape (k, n), in their
        units, each with the largest element 1; every direction is as sparse as elimination
        makes it.
    reasons
        Why a Param has no standard error, by its place in θ.
    basis
        Orthonormal basis of what the Params can do to the residuals, shape (m, rank); the hat
        matrix is ``basis @ basis.T``.
    absolute
        Whether the variance is known, not estimated.
    """

    variance: float
    dof: int
    covariance: Floats
    undetermined: Floats
    reasons: dict[int, str]
    basis: Floats
    absolute: bool = False

    @cached_property
    def errors(self) -> Floats:
        """Standard errors, shape (n,); NaN where :attr:`reasons` says why."""
        return np.sqrt(np.diag(self.covariance))

    @cached_property
    def correlation(self) -> Floats:
        """Correlations of the Params, shape (n, n); NaN for those without standard error."""
        with np.errstate(invalid="ignore", divide="ignore"):
            scaled = self.covariance / np.outer(self.errors, self.errors)
        return np.clip(scaled, -1.0, 1.0)

    def half_width(self, confidence: float = 0.95) -> Floats:
        """Half of each Param's confidence interval by curvature, shape (n,), in its unit."""
        if self.absolute:
            from statistics import NormalDist

            return NormalDist().inv_cdf(0.5 + confidence / 2) * self.errors
        if self.dof < 1:
            return np.full_like(self.errors, np.nan)
        return student_quantile(0.5 + confidence / 2, self.dof) * self.errors


def estimate(
    residuals: Floats,
    jacobian: Floats,
    held: NDArray[np.bool_] | None = None,
    *,
    absolute: bool = False,
) -> Uncertainty:
    """Return what residuals and their Jacobian at a minimum tell about the Params.

    Parameters
    ----------
    residuals
        r, shape (m,), with 𝓛 = Σ r².
    jacobian
        ∂r/∂θ, shape (m, n).
    held
        Which Params cannot move, shape (n,): those on a bound. The others are estimated as
        if these were constants.
    absolute
        Whether the residuals are in units of their standard deviations, so that nothing needs to
        tell their scatter (``absolute_sigma`` of scipy's ``curve_fit``).
    """
    m, n = jacobian.shape
    held = np.zeros(n, bool) if held is None else held
    reasons = {int(i): "on its bound" for i in np.flatnonzero(held)}
    free = np.flatnonzero(~held)
    norms = np.sqrt(np.sum(jacobian[:, free] ** 2, axis=0))
    scale = np.where(norms > 0, norms, 1.0)
    # rows of zeros show all directions where there are fewer residuals than Params
    scaled = np.vstack([jacobian[:, free] / scale, np.zeros((max(free.size - m, 0), free.size))])
    basis, singular, rotation = np.linalg.svd(scaled, full_matrices=False)
    largest = float(singular.max(initial=0.0))
    rank = int(np.sum(singular > max(_RANK_TOLERANCE, max(m, n) * _EPS) * largest))
    lost = _eliminated(rotation[rank:]) / scale
    dof = m - rank
    variance = float(residuals @ residuals) / dof if dof > 0 else np.nan
    variance = 1.0 if absolute else variance
    half = rotation[:rank].T / singular[:rank]
    covariance = np.full((n, n), np.nan)
    covariance[np.ix_(free, free)] = variance * (half @ half.T) / np.outer(scale, scale)
    blurred = np.flatnonzero(np.any(np.abs(lost * scale) > _PART, axis=0))
    reasons |= {int(free[i]): "not determined by the tests" for i in blurred}
    if dof <= 0 and not absolute:
        text = "there are no more residuals than Params, so nothing tells their scatter"
        reasons |= {int(i): reasons.get(int(i), text) for i in free}
    for i in reasons:
        covariance[i, :] = covariance[:, i] = np.nan
    undetermined = np.zeros((len(lost), n))
    undetermined[:, free] = lost
    return Uncertainty(
        variance=variance,
        dof=dof,
        covariance=covariance,
        undetermined=_largest_one(undetermined),
        reasons=reasons,
        basis=basis[:m, :rank],
        absolute=absolute,
    )


_EPS = float(np.finfo(np.float64).eps)


def _eliminated(rows: Floats) -> Floats:
    """Return rows that span the same space with as many zeros as elimination gives."""
    rows = rows.copy()
    pivots: list[int] = []
    for k in range(len(rows)):
        rest = np.abs(rows[k:])
        rest[:, pivots] = 0.0
        i, j = np.unravel_index(int(np.argmax(rest)), rest.shape)
        rows[[k, k + int(i)]] = rows[[k + int(i), k]]
        rows[k] /= rows[k, j]
        for other in range(len(rows)):
            if other != k:
                rows[other] -= rows[other, j] * rows[k]
        pivots.append(int(j))
    rows[np.abs(rows) < _PART] = 0.0
    return rows


def _largest_one(rows: Floats) -> Floats:
    largest = np.max(np.abs(rows), axis=1, keepdims=True, initial=0.0)
    return rows / np.where(largest > 0, largest, 1.0)


def student_quantile(probability: float, dof: int) -> float:
    """Return the quantile of Student's t distribution with a whole number of degrees of freedom.

    The distribution function is the finite sum of Abramowitz and Stegun, Handbook of
    Mathematical Functions, 26.7.3 and 26.7.4; it is inverted by bisection.

    Raises
    ------
    ValueError
        If ``probability`` is not between 0 and 1, or ``dof`` is less than 1.
    """
    if not (0.0 < probability < 1.0 and dof >= 1):
        raise ValueError(f"no quantile at {probability} with {dof} degrees of freedom")
    if probability < 0.5:
        return -student_quantile(1.0 - probability, dof)
    low, high = 0.0, 1.0
    while _student_between(high, dof) < 2 * probability - 1 and high < 1e300:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _student_between(middle, dof) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return (low + high) / 2


_NORMAL = 10_000  # degrees of freedom from which the sum is long and the correction tiny


def _student_between(t: float, dof: int) -> float:
    """Return the probability between -t and t."""
    if dof > _NORMAL:  # Cornish-Fisher, first term; exact to 1e-8 here
        z = t * (1 - 1 / (4 * dof)) / math.sqrt(1 + t * t / (2 * dof))
        return math.erf(z / math.sqrt(2))
    angle = math.atan2(t, math.sqrt(dof))
    cos = math.cos(angle) ** 2
    odd = dof % 2
    term = math.cos(angle) if odd else 1.0
    total = term if dof > 1 else 0.0
    for k in range(2 + odd, dof - 1, 2):
        term *= cos * (k - 1) / k
        total += term
    if odd:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total

"""Confidence intervals by profile: how far a Param can move while the others make up for it.

The interval by curvature takes 𝓛 for a parabola. The profile does not: the Param is held at a
value, all others are fitted again, and the interval ends where 𝓛 has risen by the factor
1 + t² / dof, t being Student's quantile (Bates and Watts, Nonlinear Regression Analysis and Its
Applications, 1988, chapter 6; MINUIT's MINOS, James and Roos 1975, is the same for known
variances).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.optimize.base import Bounds, Objective
from softtape.optimize.levenberg_marquardt import LevenbergMarquardt
from softtape.optimize.loop import minimize
from softtape.statistics.uncertainty import student_quantile

__all__ = ["Interval", "profile_interval"]

Floats: TypeAlias = NDArray[np.float64]

_MOST_REFITS = 60
_FARTHEST = 1e3  # half widths by curvature, beyond which the interval counts as open
_PRECISION = 1e-5  # of t, to which the ends are found


@dataclass(frozen=True)
class Interval:
    """Where a Param can be, the others fitted to it.

    Attributes
    ----------
    lower, upper
        The ends, in its unit; ±inf on a side where 𝓛 never rises enough, the bound where that
        comes first.
    better
        A value of the Param at which 𝓛 is lower than at the supposed minimum, or None.
    """

    lower: float
    upper: float
    better: float | None = None


def profile_interval(
    objective: Objective,
    theta: Floats,
    bounds: Bounds,
    index: int,
    *,
    error: float,
    dof: int,
    confidence: float = 0.95,
    absolute: bool = False,
) -> Interval:
    """Return the confidence interval of one Param by profile.

    Parameters
    ----------
    objective
        𝓛, a sum of squares.
    theta
        Its minimum, shape (n,).
    bounds
        The box, in which the profile stays.
    index
        Which Param.
    error
        Its standard error, the length of the first steps.
    dof
        Degrees of freedom.
    confidence
        Of the interval, by curvature exact where 𝓛 is a parabola.
    absolute
        Whether the residuals are in units of their standard deviations.
    """
    profile = _Profile(objective, theta, bounds, index, None if absolute else dof)
    probability = 0.5 + confidence / 2
    normal = NormalDist().inv_cdf(probability)
    goal = normal if absolute else student_quantile(probability, dof)
    ends = [_end(profile, sign, goal, error) for sign in (-1.0, 1.0)]
    return Interval(ends[0], ends[1], profile.better)


class _Profile:
    """The signed root τ of the rise of 𝓛, as a function of one Param; linear for a parabola."""

    def __init__(
        self, objective: Objective, theta: Floats, bounds: Bounds, index: int, dof: int | None
    ) -> None:
        self.theta, self.bounds, self.index = theta, bounds, index
        self.better: float | None = None
        self._objective = objective
        self._least = objective.value(theta)
        self._variance = 1.0 if dof is None else self._least / dof
        self._nearest = theta

    def tau(self, value: float) -> float:
        """Return √(ΔL / s²) where the Param is ``value``, inf where 𝓛 cannot be evaluated."""
        rest = np.arange(self.theta.size) != self.index
        start = self._nearest.copy()
        start[self.index] = value
        if not np.isfinite(self._objective.value(start)):
            start = self.theta.copy()
            start[self.index] = value
        if rest.any() and np.isfinite(self._objective.value(start)):
            held = _Held(self._objective, start, rest)
            box = Bounds(self.bounds.lower[rest], self.bounds.upper[rest])
            result = minimize(held, start[rest], optimizer=LevenbergMarquardt(), bounds=box)
            start[rest] = result.theta
        loss = self._objective.value(start)
        if not np.isfinite(loss):
            return math.inf
        self._nearest = start
        rise = loss - self._least
        if rise < -1e-6 * self._least:
            self.better = value
        return math.sqrt(max(rise, 0.0) / self._variance) if self._variance else math.inf


class _Held:
    """The objective with some of the Params held."""

    has_residuals = True

    def __init__(self, objective: Objective, theta: Floats, rest: NDArray[np.bool_]) -> None:
        self._objective, self._theta, self._rest = objective, theta.copy(), rest

    def _whole(self, part: Floats) -> Floats:
        self._theta[self._rest] = part
        return self._theta.copy()

    def value(self, theta: Floats, /) -> float:
        return self._objective.value(self._whole(theta))

    def value_and_gradient(self, theta: Floats, /) -> tuple[float, Floats]:
        value, gradient = self._objective.value_and_gradient(self._whole(theta))
        return value, gradient[self._rest]

    def residuals_and_jacobian(self, theta: Floats, /) -> tuple[Floats, Floats]:
        residuals, jacobian = self._objective.residuals_and_jacobian(self._whole(theta))
        return residuals, jacobian[:, self._rest]


def _end(profile: _Profile, sign: float, goal: float, error: float) -> float:
    """Return where τ reaches ``goal`` on one side."""
    best = float(profile.theta[profile.index])
    limits = (profile.bounds.lower, profile.bounds.upper)
    bound = float(limits[sign > 0][profile.index])
    inside, outside = (0.0, 0.0), None  # (distance, τ)
    distance = goal * error
    for _ in range(_MOST_REFITS):
        value = best + sign * distance
        if sign * (value - bound) >= 0:
            distance = abs(bound - best)
            value = bound
        tau = profile.tau(value)
        if abs(tau - goal) <= _PRECISION * goal:
            return value
        if tau < goal:
            inside = (distance, tau)
            if value == bound:
                return bound
        else:
            outside = (distance, tau)
        if outside is None:
            if distance > _FARTHEST * goal * error:
                return sign * math.inf
            # τ grows with the distance about linearly
            factor = goal / tau if tau > 0 else math.inf
            distance *= min(max(factor, 1.1), 3.0)
        else:
            distance = _between(inside, outside, goal)
            if distance in (inside[0], outside[0]):
                break
    return best + sign * inside[0]


def _between(inside: tuple[float, float], outside: tuple[float, float], goal: float) -> float:
    """Return a distance between two: by the chord, kept off the ends, or the middle."""
    (a, low), (b, high) = inside, outside
    if not math.isfinite(high):
        return (a + b) / 2
    chord = a + (b - a) * (goal - low) / (high - low)
    return min(max(chord, a + 0.02 * (b - a)), b - 0.02 * (b - a))

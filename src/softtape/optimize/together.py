"""A few Levenberg-Marquardt steps from many starts at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.optimize.base import Bounds, Floats

__all__ = ["Ends", "Models", "Together", "descend_together"]

Models: TypeAlias = tuple[Floats, Floats, Floats]
"""For each of k points L = Σ r², Jᵀr and JᵀJ, of shapes (k,), (k, n) and (k, n, n)."""

_STEPS = 30
_FIRST_DAMPING = 0.1
_LARGEST_DAMPING = 1e8
_FLAT = 1e-12  # damping of the whole step: a variable that nothing depends on does not fly off
_ARRIVED = 1e-6  # in sizes of the variables: a whole step shorter than this is the last one


class Together(Protocol):
    """The total loss L at many points at once, shape (k, n)."""

    def values(self, points: Floats, /) -> Floats:
        """Return L at each point, shape (k,)."""

    def models(self, points: Floats, /) -> Models | None:
        """Return L, Jᵀr and JᵀJ at each point; None where that cannot be had.

        L is nan at a point that has to be asked for alone.
        """


@dataclass(frozen=True, eq=False)
class Ends:
    """Where the starts came to.

    Attributes
    ----------
    thetas
        The best point of each, shape (k, n).
    values
        L there; not finite where it is not known.
    arrived
        Which of them are at a minimum, but for the last digits.
    """

    thetas: Floats
    values: Floats
    arrived: NDArray[np.bool_]


@np.errstate(all="ignore")
def descend_together(
    problem: Together, starts: Floats, bounds: Bounds, scale: Floats, steps: int = _STEPS
) -> Ends | None:
    """Take damped Gauss-Newton steps from all starts; return None if that cannot be done.

    A start of which a trial point has to be asked for alone stays at the best point it has.

    Parameters
    ----------
    problem
        L = Σ r² at many points.
    starts
        One in each row, shape (k, n).
    bounds
        Every point lies within these.
    scale
        Size of each variable, shape (n,).
    steps
        How many trials each start has.
    """
    models = problem.models(starts)
    if models is None:
        return None
    theta = starts.copy()
    value, slope, normal = models
    weight = np.zeros_like(theta)  # as in Levenberg-Marquardt, the largest column norms so far
    damping, growth = np.full(len(theta), _FIRST_DAMPING), np.full(len(theta), 2.0)
    arrived = np.zeros(len(theta), bool)
    active = _finite(value, slope, normal)
    for _ in range(steps):
        weight = np.maximum(weight, np.diagonal(normal, axis1=1, axis2=2))
        at = np.flatnonzero(active)
        near = _ARRIVED * np.maximum(scale, np.abs(theta[at]))
        here = theta[at], slope[at], normal[at], weight[at]
        whole = _moves(*here, np.full(len(at), _FLAT), bounds)
        arrived[at] = np.all(np.abs(whole) <= near, axis=1)
        active[at] = ~arrived[at] & (damping[at] <= _LARGEST_DAMPING)
        at = np.flatnonzero(active)
        if not len(at):
            break
        move = _moves(theta[at], slope[at], normal[at], weight[at], damping[at], bounds)
        models = problem.models(theta[at] + move)
        if models is None:
            break
        promised = -np.sum(move * (2 * slope[at] + (normal[at] @ move[:, :, None])[..., 0]), axis=1)
        active[at[np.isnan(models[0])]] = False
        better = _finite(*models) & (models[0] < value[at])
        gain = ((value[at] - models[0]) / promised)[better]
        won, lost = at[better], at[~better]
        damping[won] *= np.maximum(0.1, 1 - (2 * np.minimum(gain, 2.0) - 1) ** 3)
        growth[won] = 2.0
        theta[won] += move[better]
        value[won], slope[won], normal[won] = (part[better] for part in models)
        damping[lost] *= growth[lost]
        growth[lost] *= 2
    return Ends(theta, value, arrived)


def _finite(value: Floats, slope: Floats, normal: Floats) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = np.isfinite(value) & np.isfinite(slope).all(axis=1)
    return known & np.isfinite(normal).all(axis=(1, 2))


def _moves(
    theta: Floats, slope: Floats, normal: Floats, weight: Floats, damping: Floats, bounds: Bounds
) -> Floats:
    """Return the damped steps, shape (k, n), cut off at the bounds."""
    low, high = theta <= bounds.lower, theta >= bounds.upper
    held = (low & (slope > 0)) | (high & (slope < 0)) | (bounds.lower == bounds.upper)
    root = np.where(weight > 0, np.sqrt(weight), 1.0)
    matrix = normal / (root[:, :, None] * root[:, None, :])
    matrix[held[:, :, None] | held[:, None, :]] = 0.0
    number = np.arange(theta.shape[1])
    matrix[:, number, number] = np.where(held, 1.0, matrix[:, number, number] + damping[:, None])
    target = np.where(held, 0.0, -slope / root)
    try:
        move: Floats = np.linalg.solve(matrix, target[:, :, None])[..., 0] / root
    except np.linalg.LinAlgError:  # exactly singular, damping and all
        move = target / (matrix[:, number, number] + damping[:, None]) / root
    moved = np.minimum(np.maximum(theta + move, bounds.lower), bounds.upper)
    return moved - theta

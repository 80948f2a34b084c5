"""What one step from where the Params are would gain, without taking it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softtape.optimize import Bounds
from softtape.statistics.uncertainty import estimate

__all__ = ["Outlook", "gauss_newton", "newton"]

_CURVED = 1e-10  # relative to the largest curvature: less is none

Floats = NDArray[np.float64]


class Outlook(NamedTuple):
    """A step that is not taken.

    Attributes
    ----------
    gain
        By how much 𝓛 would fall, were the residuals linear.
    step
        By how much each element of θ would move, shape (n,).
    errors
        Standard error of each, shape (n,); NaN where there is none to give.
    """

    gain: float
    step: Floats
    errors: Floats


def gauss_newton(residuals: Floats, jacobian: Floats, theta: Floats, bounds: Bounds) -> Outlook:
    """Return the step to the minimum of ‖r + Jδ‖² inside the bounds.

    Parameters
    ----------
    residuals
        r, shape (m,), with 𝓛 = Σ r².
    jacobian
        ∂r/∂θ, shape (m, n).
    theta
        Where the Params are, shape (n,).
    bounds
        On θ.

    Notes
    -----
    Elements that the step would push out of their bounds are held there, and the step of the
    others is found anew, until none is; that is not always the least point, but one inside.
    """
    lower, upper = bounds.lower, bounds.upper
    free = np.ones(theta.size, bool)
    step = np.zeros(theta.size)
    for _ in range(theta.size + 1):
        rest = residuals + jacobian @ np.where(free, 0.0, step)
        scale = np.linalg.norm(jacobian[:, free], axis=0)
        scale[scale == 0] = 1.0
        step[free] = np.linalg.lstsq(jacobian[:, free] / scale, -rest, rcond=None)[0] / scale
        out = free & ((theta + step < lower) | (theta + step > upper))
        if not out.any():
            break
        step[out] = np.clip(theta + step, lower, upper)[out] - theta[out]
        free &= ~out
    after = residuals + jacobian @ step
    gain = float(residuals @ residuals - after @ after)
    held = ((theta <= lower) | (theta >= upper)) & ~free
    return Outlook(gain, step, estimate(after, jacobian, held).errors)


def newton(gradient: Floats, hessian: Floats, theta: Floats, bounds: Bounds) -> Outlook:
    """Return the step to the minimum of a quadratic, along what it curves up in, inside the bounds.

    Parameters
    ----------
    gradient, hessian
        Of 𝓛, shapes (n,) and (n, n).
    theta, bounds
        As for `gauss_newton`.
    """
    curvature, axes = np.linalg.eigh(hessian)
    up = curvature > _CURVED * np.max(np.abs(curvature), initial=0.0)
    step = -axes[:, up] @ ((axes[:, up].T @ gradient) / curvature[up])
    step = np.clip(theta + step, bounds.lower, bounds.upper) - theta
    gain = -float(gradient @ step + 0.5 * step @ hessian @ step)
    return Outlook(max(gain, 0.0), step, np.full(theta.size, np.nan))

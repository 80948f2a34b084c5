"""What is known of a Param beforehand, as ``Param(..., prior=normal(2.0, 0.1))``.

A prior is one more measurement of the Param: it adds the square of a residual per element to what
a fit minimises, and so to what standard errors are made of. Where the losses are squares of
residuals in units of their standard deviations, 𝓛 plus the priors is minus twice the log of the
posterior density, up to a constant. 𝓛 itself, which thresholds are about, is that of the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Prior", "lognormal", "normal"]


@dataclass(frozen=True, eq=False)
class Prior:
    """A prior; made by :func:`normal` and :func:`lognormal`.

    Attributes
    ----------
    name
        Of the distribution.
    center, spread
        Its parameters, numbers or arrays.
    """

    name: str
    center: Any
    spread: Any

    def __str__(self) -> str:
        """Show it as it is written."""
        shown = (f"{x:.6g}" if np.ndim(x) == 0 else "[...]" for x in (self.center, self.spread))
        return f"{self.name}({', '.join(shown)})"

    def loss(self, value: Any) -> Any:
        """Return its term, a sum of squares, for a value of the Param, plain or traced."""
        where = np.log(value) if self.name == "lognormal" else value
        return np.sum(((where - self.center) / self.spread) ** 2)


def normal(mean: Any, std: Any) -> Prior:
    """Return the prior ``((value - mean) / std)**2``.

    Parameters
    ----------
    mean
        What the Param is expected to be: a number, or an array that broadcasts to it.
    std
        How far from it the Param is expected, positive, in the same unit and shape.
    """
    return _checked("normal", mean, std)


def lognormal(mean: Any, std: Any) -> Prior:
    """Return the prior ``((log(value) - mean) / std)**2``, for a positive Param.

    Parameters
    ----------
    mean
        What the logarithm of the Param is expected to be.
    std
        How far from it the logarithm is expected, positive: 0.1 is about 10 %.
    """
    return _checked("lognormal", mean, std)


def _checked(name: str, mean: Any, std: Any) -> Prior:
    center, spread = (np.asarray(x, float) for x in (mean, std))
    if not (np.all(np.isfinite(center)) and np.all(np.isfinite(spread)) and np.all(spread > 0)):
        raise ValueError(f"{name}({mean!r}, {std!r}): the mean is finite, and std positive")
    return Prior(name, center[()], spread[()])

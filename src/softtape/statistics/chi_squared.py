"""How likely chance alone gives as large a sum of squares, where the residual scales are known."""

from __future__ import annotations

import math

__all__ = ["chance_of_more"]

_PRECISION = 1e-15
_MOST = 10_000


def chance_of_more(chi_squared: float, dof: int) -> float:
    """Return the probability that χ² with so many degrees of freedom is larger.

    It is the regularised incomplete gamma function Q(dof/2, χ²/2), by its series below the mean
    and by its continued fraction above (Press et al., Numerical Recipes, 3rd ed., section 6.2).

    Raises
    ------
    ValueError
        If ``chi_squared`` is negative or nan, or ``dof`` less than 1.
    """
    if not (chi_squared >= 0.0 and dof >= 1):
        raise ValueError(f"no chance of chi squared {chi_squared} with {dof} degrees of freedom")
    a, x = dof / 2, chi_squared / 2
    if x == 0.0 or math.isinf(x):
        return 1.0 if x == 0.0 else 0.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        return max(1.0 - front * _series(a, x), 0.0)
    return front * _fraction(a, x)


def _series(a: float, x: float) -> float:
    term = total = 1 / a
    for n in range(1, _MOST):
        term *= x / (a + n)
        total += term
        if term < total * _PRECISION:
            break
    return total


def _fraction(a: float, x: float) -> float:
    """Return the continued fraction by Lentz's method."""
    tiny = 1e-300
    b = x + 1 - a
    c, d = 1 / tiny, 1 / b
    total = d
    for n in range(1, _MOST):
        factor = -n * (n - a)
        b += 2
        d = 1 / (factor * d + b or tiny)
        c = b + factor / c or tiny
        total *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return total

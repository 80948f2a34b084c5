"""Say in words which combination of Params the tests determine where they do not determine each.

A direction in which no residual changes is a fact about one point. Whether it is the tangent of
``gain * offset = constant`` or of ``gain + offset = constant`` shows only at a distance, so a
reading is claimed only after a move by a finite step has left the residuals as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["describe"]

Floats: TypeAlias = NDArray[np.float64]

_LARGEST_EXPONENT = 4
_STEP = 0.25  # of a Param's size, or a factor of 1.25
_UNCHANGED = 1e-6  # of the residuals, relative to what moving one of the Params alone does


def describe(
    direction: Floats,
    theta: Floats,
    names: Sequence[str],
    residuals: Callable[[Floats], Floats] | None = None,
) -> str:
    """Return what the tests determine of the Params that move along ``direction``.

    Parameters
    ----------
    direction
        A direction in which no residual changes, shape (n,), in the units of the Params.
    theta
        Where that is so, shape (n,).
    names
        Names of the elements of θ.
    residuals
        Gives the residuals at a point. Without it, only what holds near ``theta`` is said.
    """
    parts = [int(i) for i in np.flatnonzero(direction)]
    called = [names[i] for i in parts]
    if len(parts) == 1:
        return f"{called[0]} has no effect on any test here"
    for reading in (_products, _sums):
        found = reading(direction[parts], theta[parts], called)
        if found is None:
            continue
        text, moved = found
        if residuals is not None and _unchanged(residuals, theta, parts, moved):
            return f"only {text} is determined" if len(parts) == 2 else text
    moves = ", ".join(
        f"{name} by {direction[i]:+.3g}" for name, i in zip(called, parts, strict=True)
    )
    return f"{_listed(called)} are not determined apart: moving {moves} changes no test"


def _products(step: Floats, theta: Floats, names: Sequence[str]) -> tuple[str, Floats] | None:
    """Read the direction as scaling each Param by a power of one factor."""
    if not np.all(theta):
        return None
    powers = _whole(step / theta)
    if powers is None:
        return None
    moved = theta * (1 + _STEP) ** powers
    if len(names) == 2:
        return _pair(names, (int(powers[1]), -int(powers[0])), " * ", " / ", _power), moved
    scaled = ", ".join(_scaled(n, int(p)) for n, p in zip(names, powers, strict=True))
    return f"{_listed(names)} are determined only up to a common factor s: {scaled}", moved


def _sums(step: Floats, theta: Floats, names: Sequence[str]) -> tuple[str, Floats] | None:
    """Read the direction as adding a multiple of one amount to each Param."""
    weights = _whole(step)
    if weights is None:
        return None
    moved = theta + _STEP * float(np.max(np.abs(theta)) or 1.0) * weights
    if len(names) == 2:
        return _pair(names, (int(weights[1]), -int(weights[0])), " + ", " - ", _multiple), moved
    added = ", ".join(f"{n} {w:+.0f} * s" for n, w in zip(names, weights, strict=True))
    return f"{_listed(names)} are determined only up to a common shift s: {added}", moved


def _whole(values: Floats) -> Floats | None:
    """Return values as small whole numbers, if a common factor makes them such."""
    scaled = values / np.min(np.abs(values))
    whole = np.rint(scaled)
    near = np.allclose(scaled, whole, rtol=1e-4) and np.max(np.abs(whole)) <= _LARGEST_EXPONENT
    return whole if near else None


def _pair(
    names: Sequence[str],
    factors: tuple[int, int],
    plus: str,
    minus: str,
    shown: Callable[[str, int], str],
) -> str:
    """Write the invariant of two Params; the first one positive."""
    first, second = factors if factors[0] > 0 else (-factors[0], -factors[1])
    sign = plus if second > 0 else minus
    return shown(names[0], first) + sign + shown(names[1], abs(second))


def _power(name: str, exponent: int) -> str:
    return name if exponent == 1 else f"{name}**{exponent}"


def _multiple(name: str, factor: int) -> str:
    return name if factor == 1 else f"{factor} * {name}"


def _scaled(name: str, power: int) -> str:
    factor = "s" if abs(power) == 1 else f"s**{abs(power)}"
    return f"{name} {'*' if power > 0 else '/'} {factor}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}"


def _unchanged(
    residuals: Callable[[Floats], Floats], theta: Floats, parts: Sequence[int], moved: Floats
) -> bool:
    """Whether moving all parts leaves the residuals, which moving one alone does not."""
    together, alone = theta.copy(), theta.copy()
    together[list(parts)] = moved
    alone[parts[0]] = moved[0]
    with np.errstate(all="ignore"):
        here = residuals(theta)
        change = float(np.max(np.abs(residuals(together) - here), initial=0.0))
        effect = float(np.max(np.abs(residuals(alone) - here), initial=0.0))
    return bool(change <= _UNCHANGED * effect)

"""Many starts against local minima: drawn anew over the box, or hops from the best point so far.

The first half of the starts covers the box, by Latin hypercubes (McKay, Beckman and Conover,
1979). The other half are hops, as in basin hopping (Wales and Doye, 1997): the best minimum with
one variable drawn again, which is how a minimum among exponentially many is found where the
variables hardly interact. Of a few dozen candidates the one with the lowest loss is descended from.
"""

from __future__ import annotations  # np.random, which annotations name, is imported where used

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from softtape.optimize.base import Bounds, Floats, parameter_scale

__all__ = ["Basin", "lower_elsewhere", "multistart"]

_CANDIDATES = 64  # evaluations that choose a start; a descent, with its derivatives, costs as much
_SPREAD = 3.0  # how far starts of unbounded variables lie, in sizes of the variable
_SAME = 1e-4  # in sizes of the variables: minima nearer than this are one


@dataclass(frozen=True, eq=False)
class Basin:
    """A local minimum, and what led to it.

    Attributes
    ----------
    theta
        The minimum, shape (n,).
    value
        L there.
    starts
        How many of the starts ended in it.
    first
        The first of these starts, shape (n,).
    """

    theta: Floats
    value: float
    starts: int
    first: Floats


def multistart(
    value: Callable[[Floats], float],
    descend: Callable[[Floats], tuple[Floats, float]],
    theta: Floats,
    bounds: Bounds,
    *,
    restarts: int,
    seed: int = 0,
    threshold: float | None = None,
) -> list[Basin]:
    """Descend from ``theta`` and from further starts; return the basins found, lowest first.

    Parameters
    ----------
    value
        Gives L at a point; inf or nan where it cannot be evaluated.
    descend
        Returns the minimum reached from a start, shape (n,), and L there.
    theta
        The declared start, shape (n,).
    bounds
        The box that starts are drawn from. Where a variable has no bounds, they lie around
        its declared value, mostly within a few times its size.
    restarts
        How many starts are tried after the first.
    seed
        Of the drawing: the same seed gives the same starts.
    threshold
        With a minimum at or below it, no further start is tried. None: all of them are.
    """
    draw = np.random.default_rng(seed)
    scale = parameter_scale(theta, bounds)
    found: list[Basin] = []
    covering = _covering(draw, theta, bounds, scale, (restarts + 1) // 2)
    for number in range(restarts + 1):
        if number == 0:
            start = theta
        elif number % 2:
            start = _lowest(value, next(covering))
        else:
            best = min(found, key=lambda basin: basin.value).theta
            start = _lowest(value, _hops(draw, best, theta, bounds, scale))
        minimum, reached = descend(start)
        _settle(found, minimum, reached, start, scale)
        if threshold is not None and reached <= threshold:
            break
    return sorted(found, key=lambda basin: basin.value)


def lower_elsewhere(
    value: Callable[[Floats], float],
    theta: Floats,
    reached: float,
    bounds: Bounds,
    *,
    probes: int = 32,
    seed: int = 0,
) -> Floats | None:
    """Return a point with a lower L than ``reached``, if one of a few probes is such.

    Parameters
    ----------
    value
        Gives L at a point.
    theta
        Where the fit started, shape (n,); the probes are drawn as starts are.
    reached
        L at the minimum that was found.
    bounds
        The box.
    probes
        How many points are tried.
    seed
        Of the drawing.
    """
    draw = np.random.default_rng(seed)
    (points,) = _covering(draw, theta, bounds, parameter_scale(theta, bounds), 1, probes)
    lowest = _lowest(value, points)
    return lowest if value(lowest) < reached else None


def _lowest(value: Callable[[Floats], float], candidates: Floats) -> Floats:
    """Return the candidate, a row, with the lowest loss."""
    with np.errstate(all="ignore"):
        losses = [value(candidate) for candidate in candidates]
    lowest: Floats = candidates[int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))]
    return lowest


def _covering(
    draw: np.random.Generator,
    theta: Floats,
    bounds: Bounds,
    scale: Floats,
    groups: int,
    size: int = _CANDIDATES,
) -> Iterator[Floats]:
    """Yield groups of candidates, one per row; all of them together are a Latin hypercube."""
    count = max(groups, 1) * size
    cells = np.stack([draw.permutation(count) for _ in range(theta.size)], axis=1)
    quantiles = (cells + draw.random(cells.shape)) / count
    points = _placed(quantiles, theta, bounds, scale)
    for start in range(0, count, size):
        yield points[start : start + size]


def _hops(
    draw: np.random.Generator, best: Floats, theta: Floats, bounds: Bounds, scale: Floats
) -> Floats:
    """Return candidates, one per row, that differ from the best point in one variable each."""
    points = np.tile(best, (_CANDIDATES, 1))
    columns = draw.integers(theta.size, size=_CANDIDATES)
    anew = _placed(draw.random((_CANDIDATES, theta.size)), theta, bounds, scale)
    rows = np.arange(_CANDIDATES)
    points[rows, columns] = anew[rows, columns]
    return points


def _placed(quantiles: Floats, theta: Floats, bounds: Bounds, scale: Floats) -> Floats:
    """Return points at these quantiles, shape (k, n): even in a box, else logistic."""
    boxed = np.isfinite(bounds.lower) & np.isfinite(bounds.upper)
    lower, upper = np.where(boxed, bounds.lower, 0.0), np.where(boxed, bounds.upper, 0.0)
    inside = lower + quantiles * (upper - lower)
    inner = np.clip(quantiles, 1e-6, 1 - 1e-6)
    around = theta + _SPREAD * scale * np.log(inner / (1 - inner))
    return np.clip(np.where(boxed, inside, around), bounds.lower, bounds.upper)


def _settle(
    found: list[Basin], minimum: Floats, value: float, start: Floats, scale: Floats
) -> None:
    """Count a minimum for its basin, or as a new one."""
    for place, basin in enumerate(found):
        if np.all(np.abs(basin.theta - minimum) <= _SAME * np.maximum(scale, np.abs(minimum))):
            lower = minimum if value < basin.value else basin.theta
            value = min(value, basin.value)
            found[place] = Basin(lower, value, basin.starts + 1, basin.first)
            return
    found.append(Basin(minimum, value, 1, start))

"""Many starts against local minima: drawn anew over the box, or hops from the best point so far.

The first half of the starts covers the box, by Latin hypercubes (McKay, Beckman and Conover,
1979). The other half are hops, as in basin hopping (Wales and Doye, 1997): the best minimum with
one variable drawn again, which is how a minimum among exponentially many is found where the
variables hardly interact. Of a few dozen candidates the one with the lowest loss is descended from.

Where L can be had at many points at once, the starts that cover the box go their first steps
together. Those that meet are one from then on, and those that arrive at a minimum above the lowest
one are done; the others are descended from one after the other.
"""

from __future__ import annotations  # np.random, which annotations name, is imported where used

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from softtape.optimize.base import Bounds, Floats, parameter_scale
from softtape.optimize.together import Ends, Together, descend_together

__all__ = ["Basin", "lower_elsewhere", "multistart"]

_CANDIDATES = 64  # evaluations that choose a start; a descent, with its derivatives, costs as much
_SPREAD = 3.0  # how far starts of unbounded variables lie, in sizes of the variable
_TOGETHER = 16  # starts that go their first steps together
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
    together: Callable[[Floats], Together | None] = lambda _: None,
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
    together
        Gives L at many points at once, as it is around the best point so far; None where that
        cannot be had.
    """
    search = _Search(value, descend, theta, bounds, seed, together)
    for reached in search.descents(restarts):
        if threshold is not None and reached <= threshold:
            break
    return sorted(search.found, key=lambda basin: basin.value)


class _Search:
    """The basins found so far, and where to look next."""

    def __init__(
        self,
        value: Callable[[Floats], float],
        descend: Callable[[Floats], tuple[Floats, float]],
        theta: Floats,
        bounds: Bounds,
        seed: int,
        together: Callable[[Floats], Together | None],
    ) -> None:
        self.found: list[Basin] = []
        self._value, self._descend, self._together = value, descend, together
        self._theta, self._bounds = theta, bounds
        self._scale = parameter_scale(theta, bounds)
        self._draw = np.random.default_rng(seed)

    def descents(self, restarts: int) -> Iterator[float]:
        """Descend from one start after the other, and yield L where each led to."""
        draw, theta, bounds, scale = self._draw, self._theta, self._bounds, self._scale
        yield self._descended(Basin(theta, np.inf, 1, theta))
        covering = _covering(draw, theta, bounds, scale, (restarts + 1) // 2)
        while restarts > 0:
            problem = self._together(self._best.theta)
            count = min((restarts + 1) // 2, 1 if problem is None else _TOGETHER)
            starts = self._lowest([next(covering) for _ in range(count)], problem)
            ends = None
            if problem is not None and count > 1:
                ends = descend_together(problem, starts, bounds, scale)
            if ends is None:
                ends = Ends(starts, np.zeros(count), np.zeros(count, bool))
            for point in self._survivors(ends, starts):
                yield self._descended(point)
            restarts -= count
            for _ in range(min(count, restarts)):
                best = self._best.theta
                points = _hops(draw, best, theta, bounds, scale)
                (start,) = self._lowest([points], self._together(best))
                yield self._descended(Basin(start, np.inf, 1, start))
                restarts -= 1

    @property
    def _best(self) -> Basin:
        return min(self.found, key=lambda basin: basin.value)

    def _descended(self, point: Basin) -> float:
        minimum, reached = self._descend(point.theta)
        _settle(self.found, replace(point, theta=minimum, value=reached), self._scale)
        return reached

    def _lowest(self, groups: Sequence[Floats], problem: Together | None) -> Floats:
        """Return of each group of candidates the one with the lowest loss."""
        if problem is None:
            return np.stack([_lowest(self._value, candidates) for candidates in groups])
        losses = problem.values(np.concatenate(groups)).reshape(len(groups), -1)
        best = np.argmin(np.where(np.isfinite(losses), losses, np.inf), axis=1)
        return np.stack([group[k] for group, k in zip(groups, best, strict=True)])

    def _survivors(self, ends: Ends, starts: Floats) -> list[Basin]:
        """Return the points to go on from, the lowest first.

        An arrived one is a basin as it is, if it is not the lowest, or is known.
        """
        arrived: list[Basin] = []
        under_way: list[Basin] = []
        for place in np.argsort(ends.values, kind="stable"):
            end = Basin(ends.thetas[place], float(ends.values[place]), 1, starts[place])
            _settle(arrived if ends.arrived[place] else under_way, end, self._scale)
        lowest = min(basin.value for basin in [*self.found, *arrived])
        for basin in arrived:
            known = _place_of(self.found, basin.theta, self._scale) is not None
            if known or basin.value > lowest:
                _settle(self.found, basin, self._scale)
            else:
                under_way.append(basin)
        return sorted(under_way, key=lambda basin: np.nan_to_num(basin.value, nan=np.inf))


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


def _settle(found: list[Basin], new: Basin, scale: Floats) -> None:
    """Count a minimum for its basin, or as a new one."""
    place = _place_of(found, new.theta, scale)
    if place is None:
        found.append(new)
        return
    known = found[place]
    lower = new if new.value < known.value else known
    found[place] = replace(lower, starts=known.starts + new.starts, first=known.first)


def _place_of(found: Sequence[Basin], minimum: Floats, scale: Floats) -> int | None:
    """Return which of the basins a minimum belongs to."""
    near = _SAME * np.maximum(scale, np.abs(minimum))
    places = (k for k, b in enumerate(found) if np.all(np.abs(b.theta - minimum) <= near))
    return next(places, None)

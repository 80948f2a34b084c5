"""One fit from many starts, as one result: limits, Ctrl-C and the best point hold for all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.objective import Objective
from softtape.optimize import (
    Bounds,
    Optimizer,
    Progress,
    Result,
    Status,
    minimize,
)

if TYPE_CHECKING:
    from softtape.optimize.multistart import Basin
    from softtape.optimize.together import Models

__all__ = ["Minimize", "minimize_from_many"]

Minimize: TypeAlias = Callable[..., Result]
"""`softtape.optimize.minimize`, or what remembers what it did."""

_ENDS_ALL = (
    Status.TIMEOUT,
    Status.INTERRUPTED,
    Status.CRASHED,
    Status.MAX_STEPS,
    Status.BOTTOMLESS,
)


class _EndedError(Exception):
    """A descent met a limit of the whole fit."""


def minimize_from_many(
    problem: Objective,
    theta: NDArray[np.float64],
    *,
    restarts: int,
    seed: int,
    optimizer: Optimizer[Any],
    bounds: Bounds,
    threshold: float | None,
    max_steps: int | None,
    timeout: float | None,
    callback: Callable[[Progress], None] | None,
    minimize: Minimize = minimize,
) -> tuple[Result, Sequence[Basin]]:
    """Minimise 𝓛 from ``theta`` and from ``restarts`` further starts.

    The limits are on all of it together. Returns the best result, its counts those of all
    descents, and the basins found, lowest first; none where there was but one start.
    """
    if not restarts:
        return minimize(
            problem,
            theta,
            optimizer=optimizer,
            bounds=bounds,
            threshold=threshold,
            max_steps=max_steps,
            timeout=timeout,
            callback=callback,
        ), ()
    from softtape.optimize.multistart import multistart

    run = _Run(problem, optimizer, bounds, threshold, max_steps, timeout, callback, minimize)
    basins: Sequence[Basin] = ()
    try:
        basins = multistart(
            run.value,
            run.descend,
            theta,
            bounds,
            restarts=restarts,
            seed=seed,
            threshold=threshold,
            together=run.together,
        )
    except _EndedError:
        run.keep_lowest()
    except KeyboardInterrupt:  # between two descents
        run.keep_lowest()
        assert run.best is not None
        run.last = replace(run.best, status=Status.INTERRUPTED)
    best, last = run.best, run.last
    assert best is not None
    assert last is not None
    ended = last.status in _ENDS_ALL
    result = replace(
        best,
        status=last.status if ended else best.status,
        error=last.error if ended else best.error,
        steps=run.steps,
        evaluations=run.evaluations,
        seconds=run.seconds,
    )
    return result, basins


class _Run:
    """Descents that share their limits."""

    def __init__(
        self,
        problem: Objective,
        optimizer: Optimizer[Any],
        bounds: Bounds,
        threshold: float | None,
        max_steps: int | None,
        timeout: float | None,
        callback: Callable[[Progress], None] | None,
        minimize: Minimize,
    ) -> None:
        self.best: Result | None = None
        self.last: Result | None = None
        self.steps = self.evaluations = 0
        self.seconds = 0.0
        self._problem, self._optimizer, self._bounds = problem, optimizer, bounds
        self._threshold, self._max_steps, self._timeout = threshold, max_steps, timeout
        self._callback, self._minimize = callback, minimize
        from softtape.points import Points  # of several starts

        self._points = Points(problem)
        self._around = np.zeros(0)
        self._lowest: tuple[float, NDArray[np.float64]] | None = None

    def value(self, theta: NDArray[np.float64]) -> float:
        """Return 𝓛 at a point that may become a start."""
        with self._counted(1):
            return self._problem.value(theta)

    def together(self, theta: NDArray[np.float64]) -> _Run | None:
        """Return what gives 𝓛 at many points, as it is around ``theta``."""
        self._around = theta
        with self._counted(1):
            return self if self._points.settle(theta) else None

    def values(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return 𝓛 at each of many points that may become starts."""
        with self._counted(len(points)):
            values = self._points.values(points)
        alone = np.flatnonzero(np.isnan(values))
        for place in alone:
            values[place] = self.value(points[place])
        if alone.size:
            self.together(self._around)  # the tests took other paths
        return values

    def models(self, points: NDArray[np.float64]) -> Models | None:
        """Return 𝓛, Jᵀr and JᵀJ at each point; None where the steps are not to be made of these."""
        from softtape.optimize.levenberg_marquardt import LevenbergMarquardt

        if not isinstance(self._optimizer, LevenbergMarquardt):
            return None
        with self._counted(len(points)):
            models = self._points.models(points)
        if models is not None and np.any(np.isfinite(models[0])):
            place = int(np.nanargmin(models[0]))
            if self._lowest is None or models[0][place] < self._lowest[0]:
                self._lowest = float(models[0][place]), points[place]
        return models

    @contextmanager
    def _counted(self, evaluations: int) -> Iterator[None]:
        """Count evaluations and the time they take, if there is any left.

        Raises
        ------
        _EndedError
            There is none.
        """
        if self.best is not None and self._timeout is not None and self.seconds >= self._timeout:
            self.last = replace(self.best, status=Status.TIMEOUT)
            raise _EndedError
        self.evaluations += evaluations
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - began

    def keep_lowest(self) -> None:
        """Take the best point that starts came to together, if no descent came lower."""
        if self.best is None or self._lowest is None or self._lowest[0] >= self.best.value:
            return
        value = self._problem.value(self._lowest[1])
        if value < self.best.value:
            theta = self._lowest[1].copy()
            self.best = replace(self.best, theta=theta, value=value, gradient_norm=np.nan)

    def descend(self, start: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        if self.best is not None and not np.isfinite(self.value(start)):
            return start, np.inf  # nothing to descend from: no candidate could be evaluated
        result = self.last = self._minimize(
            self._problem,
            start,
            optimizer=self._optimizer,
            bounds=self._bounds,
            threshold=self._threshold,
            max_steps=None if self._max_steps is None else self._max_steps - self.steps,
            timeout=None if self._timeout is None else max(self._timeout - self.seconds, 0.0),
            callback=self._report if self._callback else None,
        )
        self.steps += result.steps
        self.evaluations += result.evaluations
        self.seconds += result.seconds
        if self.best is None or result.value < self.best.value:
            self.best = result
        if result.status in _ENDS_ALL:
            raise _EndedError
        return result.theta, result.value

    def _report(self, progress: Progress) -> None:
        """Tell of the best of all descents."""
        assert self._callback is not None
        best = progress.best_value if self.best is None else self.best.value
        best = min(best, progress.best_value)
        self._callback(
            replace(progress, step=self.steps + progress.step, value=best, best_value=best)
        )

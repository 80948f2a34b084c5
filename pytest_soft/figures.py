"""What a page draws of a fit, as plain data: knows nothing of pytest, and draws nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pytest_soft.collect import function_of
from softtape.objective import Objective
from softtape.optimize import Bounds
from softtape.statistics.uncertainty import estimate

__all__ = ["Curve", "by_function", "figures_of"]

Floats: TypeAlias = NDArray[np.float64]

_MOST_POINTS = 400
_MOST_PARAMS = 40  # in a heat map that can still be read
_MOST_SLICES = 12
_SAMPLES = 81


class Curve:
    """𝓛 after each step, thinned out as a fit goes on.

    Attributes
    ----------
    points
        Steps, counted over all components, and the best 𝓛 so far.
    """

    def __init__(self) -> None:
        """No step yet."""
        self.points: list[tuple[int, float]] = []
        self._every = 1
        self._count = 0

    def add(self, loss: float) -> None:
        """Take note of a step."""
        if self._count % self._every == 0:
            self.points.append((self._count, float(loss)))
            if len(self.points) > _MOST_POINTS:
                self.points, self._every = self.points[::2], self._every * 2
        self._count += 1

    def end(self, loss: float) -> None:
        """Take note of where the fit ended."""
        if self.points and self.points[-1][1] != loss:
            self.points.append((self._count, float(loss)))


def figures_of(
    problem: Objective, theta: Floats, start: Floats, bounds: Bounds, names: Sequence[str]
) -> dict[str, Any]:
    """Return correlations, sensitivities and slices of 𝓛 at the end of the fit of a component.

    Parameters
    ----------
    problem
        Its part of 𝓛.
    theta, start
        Where the fit ended and where it began, shape (n,).
    bounds
        The box.
    names
        What to call the elements of θ.

    Returns
    -------
    dict
        ``params``: names; ``correlation``: n rows of n, or None; ``sensitivity``: for each term
        the change of its loss with each Param moved by its standard error, or None;
        ``slices``: of each Param ``x`` and ``loss``, all others held.
    """
    shown = min(theta.size, _MOST_PARAMS)
    found: dict[str, Any] = {
        "params": list(names[:shown]),
        "correlation": None,
        "sensitivity": None,
        "slices": [],
    }
    errors = np.full(theta.size, np.nan)
    if problem.has_residuals and theta.size <= _MOST_PARAMS:
        residuals, jacobian = problem.residuals_and_jacobian(theta)
        known = estimate(residuals, jacobian, (theta <= bounds.lower) | (theta >= bounds.upper))
        errors = known.errors
        if known.dof > 0:
            found["correlation"] = known.correlation.tolist()
            found["sensitivity"] = _by_term(problem, theta, (jacobian * errors) ** 2)
    for i in range(min(theta.size, _MOST_SLICES)):
        found["slices"].append(_slice(problem, theta, start, bounds, i, float(errors[i])))
    return found


def by_function(
    tests: Sequence[str], sensitivity: Sequence[Sequence[float]] | None
) -> dict[str, Any]:
    """Return ``functions`` and their ``sensitivity``: the sums over the cases of each test.

    Parameters
    ----------
    tests
        Ids of the tests.
    sensitivity
        A row for each test, or None.
    """
    if sensitivity is None:
        return {"functions": [], "sensitivity": None}
    sums: dict[str, list[float]] = {}
    for name, row in zip(tests, sensitivity, strict=False):  # the last may have no residual
        function = function_of(name)
        before = sums.get(function, [0.0] * len(row))
        sums[function] = [a + b for a, b in zip(before, row, strict=True)]
    return {"functions": list(sums), "sensitivity": list(sums.values())}


def _by_term(problem: Objective, theta: Floats, squares: Floats) -> list[list[float]]:
    terms = problem.residual_terms(theta)
    sums = np.zeros((int(terms.max(initial=-1)) + 1, squares.shape[1]))
    np.add.at(sums, terms, squares)
    made: list[list[float]] = sums.tolist()
    return made


def _slice(
    problem: Objective, theta: Floats, start: Floats, bounds: Bounds, place: int, error: float
) -> dict[str, Any]:
    """Return 𝓛 along one axis: as far as the start lay, and wide enough to see a minimum."""
    at = float(theta[place])
    reach = max(1.5 * abs(at - float(start[place])), 0.5 * abs(at))
    reach = max(reach, 10.0 * error) if np.isfinite(error) else reach
    low = max(at - (reach or 1.0), float(bounds.lower[place]))
    high = min(at + (reach or 1.0), float(bounds.upper[place]))
    xs = np.unique(np.append(np.linspace(low, high, _SAMPLES), at))
    losses = []
    for x in xs:
        point = theta.copy()
        point[place] = x
        losses.append(float(problem.value(point)))
    return {"at": at, "x": xs.tolist(), "loss": losses}

"""What stands in the way of a limit: one step for what is above it alone, and whom it would hurt.

The step is that of Gauss and Newton where the losses are sums of squares, the shortest in units of
the sizes of the Params; else down the slope, as far as would take the loss to 0 were it straight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pytest_soft.coverage import Blame
from pytest_soft.limits import Above
from pytest_soft.reach import LARGEST, MOST_ELEMENTS, Part, parts_of
from softtape.objective import Objective, ShapeOfProblemChanged, Term
from softtape.optimize.base import parameter_scale

__all__ = ["blame"]

Floats: TypeAlias = NDArray[np.float64]

_MOST = 3  # of each kind
_HALVINGS = 12
_WORTH = 1e-6  # part of a loss: what changes it by less, does not change it


class _Change(NamedTuple):
    size: float
    name: str
    old: float | None
    new: float


def blame(
    terms: Sequence[Term], values: Mapping[str, Any], above: Sequence[Above]
) -> Iterator[Blame]:
    """Yield what each limit would take.

    Parameters
    ----------
    terms
        The traced tests.
    values
        Values of the Params that they reach, by key.
    above
        What is above its limit.
    """
    parts = list(parts_of(terms, values)) if above else []
    for each in above:
        names = set(each.tests)
        moves: list[_Change] = []
        worse: list[_Change] = []
        gained = 0.0
        for part in parts:
            failing = [term for term in part.terms if term.name in names]
            if failing:
                with np.errstate(all="ignore"):
                    gained += _one(part, failing, moves, worse)
        moves.sort(key=lambda change: (-change.size, change.name))
        worse.sort(key=lambda change: (-change.size, change.name))
        yield Blame(
            each.what,
            each.loss,
            each.limit,
            each.loss - gained,
            [(name, old, new) for _, name, old, new in moves[:_MOST]],
            max(len(moves) - _MOST, 0),
            [(w.name, w.old or 0.0, w.new) for w in worse[:_MOST]],
            max(len(worse) - _MOST, 0),
        )


def _one(
    part: Part,
    failing: Sequence[Term],
    moves: list[_Change],
    worse: list[_Change],
) -> float:
    """Note what a step for some tests of a part moves and hurts; return what they gain."""
    # what fails weighs the same in a total of it alone, be its weight in 𝓛 what it may
    found = _step(part, failing)
    if found is None:
        return 0.0
    theta, gained = found
    size = parameter_scale(part.theta, part.bounds)
    before, after = (part.layout.unpack(point) for point in (part.theta, theta))
    for key, place in part.layout.slices.items():
        change = float(np.sqrt(np.mean(((theta - part.theta) / size)[place] ** 2)))
        if change > _WORTH:
            name, shape = part.groups[key][0].name, part.layout.shapes[key]
            old = None if shape else float(before[key])
            new = float(np.sqrt(np.mean((theta - part.theta)[place] ** 2)))
            moves.append(_Change(change, name, old, new if shape else float(after[key])))
    # of a sum, single tests may get worse too
    others = [term for term in part.terms if [term] != list(failing)]
    problem = Objective(others, part.layout, "numpy")
    with problem.known_paths_only():
        old_losses, new_losses = problem.losses(part.theta), problem.losses(theta)
    for term, old, new in zip(others, old_losses.tolist(), new_losses.tolist(), strict=True):
        if term.weight * (new - old) > _WORTH * max(gained, abs(old)):
            worse.append(_Change(term.weight * (new - old), term.name, old, new))
    return gained


def _step(part: Part, failing: Sequence[Term]) -> tuple[Floats, float] | None:
    """Return θ after a step for these tests alone, and by how much their loss is lower there."""
    problem = Objective(failing, part.layout, "numpy")
    with problem.known_paths_only():
        loss = problem.value(part.theta)
        try:
            step = _direction(problem, part, loss)
        except ShapeOfProblemChanged:
            return None
        for _ in range(_HALVINGS):
            theta = part.bounds.project(part.theta + step)
            lower = problem.value(theta)
            if lower < loss - _WORTH * abs(loss):
                return theta, loss - lower
            step = step / 2
    return None


def _direction(problem: Objective, part: Part, loss: float) -> Floats:
    size = parameter_scale(part.theta, part.bounds)
    n = part.theta.size
    if problem.has_residuals and n <= MOST_ELEMENTS:
        residuals, jacobian = problem.residuals_and_jacobian(part.theta)
        if jacobian.size <= LARGEST and np.all(np.isfinite(jacobian)):
            free = part.bounds.free(part.theta, jacobian.T @ residuals)
            scaled = jacobian * np.where(free, size, 0.0)
            return np.asarray(np.linalg.lstsq(scaled, -residuals, rcond=1e-8)[0] * size)
    slope = problem.value_and_gradient(part.theta)[1]
    slope = np.where(part.bounds.free(part.theta, slope), slope, 0.0) * size
    steep = float(slope @ slope)
    if not (np.isfinite(steep) and steep > 0):
        return np.zeros(n)
    return -slope * size * abs(loss) / steep

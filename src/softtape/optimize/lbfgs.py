"""L-BFGS: quasi-Newton steps from the last few changes of the gradient."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from softtape.optimize.base import (
    Bounds,
    Floats,
    Objective,
    State,
    Status,
    grown_scale,
    relative_gradient,
    rounding,
    scale_by_slope,
)
from softtape.optimize.line_search import Point, search

__all__ = ["LBFGS", "LBFGSState"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LBFGSState(State):
    """The state of L-BFGS: the kept changes of θ and of the gradient, each (k, n), oldest first.

    ``scale``, shape (n,), is the largest size each variable has had, in its own unit.
    """

    moves: Floats
    changes: Floats
    scale: Floats
    length: float = 0.0

    @property
    def description(self) -> str:
        """The length of the last step along its direction, 1 being the quasi-Newton step."""
        return f"line search {self.length:.2g}, {len(self.moves)} pairs kept"


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS, algorithms 7.4 and 7.5 of Nocedal and Wright (2006).

    The initial inverse Hessian is c·diag(scale²), c from the newest pair, so that units do not
    matter. Variables held at a bound leave the subspace of the step; the ray is projected onto the
    bounds. Pairs without positive curvature are not used.
    """

    memory: int = 10
    first_change: float = 0.1

    @property
    def name(self) -> str:
        """The name a user selects it by."""
        return "lbfgs"

    def start(self, objective: Objective, theta: Floats, bounds: Bounds) -> LBFGSState:
        """Evaluate ``theta``, shape (n,); the history starts empty."""
        value, gradient = objective.value_and_gradient(theta)
        empty = np.empty((0, theta.size))
        return LBFGSState(
            theta=theta,
            value=value,
            gradient=gradient,
            noise=rounding(theta, value, gradient),
            remaining=relative_gradient(theta, gradient, bounds),
            moves=empty,
            changes=empty,
            scale=scale_by_slope(theta, value, gradient, bounds),
        )

    def step(self, objective: Objective, bounds: Bounds, state: LBFGSState) -> LBFGSState:
        """Return the state after one line search, or ``state`` with its status."""
        state, direction = _direction(state, bounds)
        slope = float(state.gradient @ direction)
        if not slope < 0:
            return replace(state, status=Status.STEP)

        def evaluate(step: float) -> Point:
            aim = state.theta + step * direction
            theta = bounds.project(aim)
            value, gradient = objective.value_and_gradient(theta)
            with np.errstate(over="ignore", invalid="ignore"):
                # A variable the projection stopped does not move along the ray any more.
                slope_there = float(np.sum(gradient * direction, where=theta == aim))
            return Point(step, theta, value, gradient, slope_there)

        start = Point(0.0, state.theta, state.value, state.gradient, slope)
        first = 1.0 if len(state.moves) else self._first(state, direction, slope)
        point, rise = search(evaluate, start, first, state.noise)
        if point is not None:
            new = self._accept(state, point, bounds)
            nearer = new.level_and_nearer(state.value, state.noise, state.remaining)
            if nearer or new.value < state.value - state.noise:
                return new
        return replace(state, status=Status.FAILED if rise.unexplained else Status.STEP)

    def _first(self, state: LBFGSState, direction: Floats, slope: float) -> float:
        """Return the first step length without a history: a modest change of every variable.

        Nor is it longer than what would bring a parabola of this slope to zero loss.
        """
        change = self.first_change / float(np.max(np.abs(direction) / state.scale))
        return min(change, 2 * abs(state.value) / -slope) if state.value else change

    def _accept(self, state: LBFGSState, point: Point, bounds: Bounds) -> LBFGSState:
        """Return the state at ``point`` with the newest pair appended."""
        move = point.theta - state.theta
        change = point.gradient - state.gradient
        return LBFGSState(
            theta=point.theta,
            value=point.value,
            gradient=point.gradient,
            noise=rounding(point.theta, point.value, point.gradient),
            remaining=relative_gradient(point.theta, point.gradient, bounds),
            moves=np.vstack([state.moves, move])[-self.memory :],
            changes=np.vstack([state.changes, change])[-self.memory :],
            scale=grown_scale(state.scale, point.theta, bounds),
            length=point.step,
        )


@np.errstate(over="ignore", invalid="ignore", under="ignore")
def _direction(state: LBFGSState, bounds: Bounds) -> tuple[LBFGSState, Floats]:
    """Return a descent direction, shape (n,), that leads out of no bound the point lies on.

    The state comes back without its history if that did not give a descent direction.
    """
    free = bounds.free(state.theta, state.gradient)
    for _ in range(state.theta.size):
        direction = _two_loops(state, free)
        outward = ((state.theta <= bounds.lower) & (direction < 0)) | (
            (state.theta >= bounds.upper) & (direction > 0)
        )
        if not outward.any():
            break
        free &= ~outward
    else:
        direction = np.zeros_like(state.theta)
    if float(state.gradient @ direction) < 0 or not len(state.moves):
        return state, direction
    empty = np.empty((0, state.theta.size))
    return _direction(replace(state, moves=empty, changes=empty), bounds)


def _two_loops(state: LBFGSState, free: NDArray[np.bool_]) -> Floats:
    """Return -H∇L within the free subspace, shape (n,), by the two-loop recursion (7.4)."""
    squares = state.scale**2
    result = np.where(free, -state.gradient, 0.0)
    pairs = _curved_pairs(state, free, squares)
    weights = []
    for move, change, curvature in reversed(pairs):
        weight = float(move @ result) / curvature
        result = result - weight * change
        weights.append(weight)
    result = result * squares
    if pairs:
        _, change, curvature = pairs[-1]
        result = result * (curvature / float(change @ (squares * change)))
    for (move, change, curvature), weight in zip(pairs, reversed(weights), strict=True):
        result = result + (weight - float(change @ result) / curvature) * move
    return result


def _curved_pairs(
    state: LBFGSState, free: NDArray[np.bool_], squares: Floats
) -> list[tuple[Floats, Floats, float]]:
    """Return the pairs seen from the free subspace whose curvature is safely positive."""
    pairs = []
    for move, change in zip(state.moves * free, state.changes * free, strict=True):
        curvature = float(move @ change)
        size = float(np.sqrt(np.sum(move**2 / squares) * np.sum(change**2 * squares)))
        if curvature > 1e-12 * size:
            pairs.append((move, change, curvature))
    return pairs

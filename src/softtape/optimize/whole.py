"""Minimisers that run to their own end, behind the interface of an optimizer: one step, one run.

The loop sees every point they try, so the best one is kept whatever happens, and a threshold or
a time limit ends them from within.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from softtape.errors import SoftError
from softtape.optimize.base import (
    Bounds,
    Floats,
    Objective,
    State,
    Status,
    relative_gradient,
    rounding,
)

__all__ = ["WholeRun", "after_run", "evaluated"]


def evaluated(
    objective: Objective, theta: Floats, bounds: Bounds, *, gradient: bool = True
) -> State:
    """Return the state of an optimizer at ``theta``, shape (n,): L there and its gradient.

    Parameters
    ----------
    objective
        L.
    theta
        Where.
    bounds
        The box, which holds ``theta``.
    gradient
        Whether the gradient is asked for; if not, it is empty, of shape (0,).
    """
    if not gradient:
        value = objective.value(theta)
        return State(
            theta=theta,
            value=value,
            gradient=np.empty(0),
            noise=rounding(theta, value, None),
            remaining=np.inf,
        )
    value, slope = objective.value_and_gradient(theta)
    return State(
        theta=theta,
        value=value,
        gradient=slope,
        noise=rounding(theta, value, slope),
        remaining=relative_gradient(theta, slope, bounds),
    )


def after_run(objective: Objective, theta: Floats, bounds: Bounds, state: State) -> State:
    """Return the state at the end of a whole run, final; where it is no better, as it was."""
    after = evaluated(objective, theta, bounds, gradient=bool(state.gradient.size))
    if not after.value < state.value - state.noise:
        after = state
    return replace(after, status=Status.OWN)


@dataclass(frozen=True)
class WholeRun:
    """An optimizer made of a function that minimises L by itself.

    Attributes
    ----------
    name
        The name a user selects it by.
    run
        Called with the objective, the start, shape (n,), and the `Bounds`; returns the
        minimum it found, shape (n,). What lies out of bounds is moved onto them.
    needs_gradient
        Whether it asks the objective for more than ``value``. If not, tests that cannot be
        traced are fitted as well.
    """

    name: str
    run: Callable[[Objective, Floats, Bounds], Floats]
    needs_gradient: bool = True

    def start(self, objective: Objective, theta: Floats, bounds: Bounds) -> State:
        """Evaluate ``theta``, shape (n,)."""
        return evaluated(objective, theta, bounds, gradient=self.needs_gradient)

    def step(self, objective: Objective, bounds: Bounds, state: State) -> State:
        """Run it to its end.

        Raises
        ------
        SoftError
            What it returned is no point.
        """
        inside = _Inside(objective, bounds)
        found = np.asarray(self.run(inside, state.theta.copy(), bounds))
        if found.shape != state.theta.shape or found.dtype.kind not in "fiu":
            msg = (
                f"optimizer {self.name!r} returned {found!r}; it must return the minimum it found, "
                f"an array of shape {state.theta.shape}"
            )
            raise SoftError(msg)
        theta = bounds.project(np.where(np.isfinite(found), found, state.theta).astype(float))
        return after_run(objective, theta, bounds, state)


@dataclass(frozen=True)
class _Inside:
    """The objective on the box: a point out of bounds is moved onto them first."""

    objective: Objective
    bounds: Bounds

    @property
    def has_residuals(self) -> bool:
        return self.objective.has_residuals

    def value(self, theta: Floats, /) -> float:
        return self.objective.value(self._inside(theta))

    def value_and_gradient(self, theta: Floats, /) -> tuple[float, Floats]:
        return self.objective.value_and_gradient(self._inside(theta))

    def residuals_and_jacobian(self, theta: Floats, /) -> tuple[Floats, Floats]:
        return self.objective.residuals_and_jacobian(self._inside(theta))

    def _inside(self, theta: Floats) -> Floats:
        return self.bounds.project(np.asarray(theta, dtype=np.float64))

"""Gradient descent with one step size that adapts itself."""

from dataclasses import dataclass, replace

import numpy as np

from softtape.optimize.base import (
    Bounds,
    Floats,
    Objective,
    State,
    Status,
    is_finite,
    relative_gradient,
    rounding,
    scale_by_slope,
)
from softtape.optimize.line_search import Rise

__all__ = ["GradientDescent", "GradientDescentState"]


@dataclass(frozen=True, kw_only=True, eq=False)
class GradientDescentState(State):
    """The state of gradient descent.

    ``step_size`` is η, per unit of L; ``scale``, shape (n,), each variable's size at the start.
    """

    step_size: float
    scale: Floats

    @property
    def description(self) -> str:
        """The step size of the next trial."""
        return f"step size {self.step_size:.2e}"


@dataclass(frozen=True)
class GradientDescent:
    """Gradient descent: θ ← P(θ - η s² ∇L), P the projection onto the bounds.

    This is descent along the gradient where each variable is measured by its size sᵢ at the start
    (`scale_by_slope`), so that its unit does not matter. After a step that lowers L,
    η ← η · ``growth``; where L would not fall (or not be finite), η ← η · ``shrink`` and the step
    is tried again from the same θ. The first η changes no variable by more than the fraction
    ``first_change`` of its size. The method is Cauchy's (1847); the two factors are the «bold
    driver» of Vogl et al., Biological Cybernetics 59 (1988).
    """

    growth: float = 1.5
    shrink: float = 0.5
    first_change: float = 0.1

    @property
    def name(self) -> str:
        """The name a user selects it by."""
        return "gradient-descent"

    def start(self, objective: Objective, theta: Floats, bounds: Bounds) -> GradientDescentState:
        """Evaluate ``theta``, shape (n,), and choose the first step size."""
        value, gradient = objective.value_and_gradient(theta)
        scale = scale_by_slope(theta, value, gradient, bounds)
        with np.errstate(over="ignore", invalid="ignore"):
            change = np.max(np.abs(gradient) * scale, initial=0.0)
        usable = np.isfinite(change) and change > 0
        size = self.first_change / float(change) if usable else 1.0
        return _state(bounds, theta, value, gradient, size, scale)

    def step(
        self, objective: Objective, bounds: Bounds, state: GradientDescentState
    ) -> GradientDescentState:
        """Return the state after one step that lowers L, or ``state`` with its status."""
        size = state.step_size
        free = bounds.free(state.theta, state.gradient)
        with np.errstate(over="ignore", under="ignore"):
            direction = state.scale**2 * state.gradient
            slope = float(np.sum(state.gradient * direction, where=free))
        rise = Rise(state.value, state.noise)
        while size * slope > state.noise:
            theta = bounds.project(state.theta - size * direction)
            if np.array_equal(theta, state.theta):
                break
            value, gradient = objective.value_and_gradient(theta)
            if is_finite(value, gradient) and value < state.value - state.noise:
                return _state(bounds, theta, value, gradient, size * self.growth, state.scale)
            rise.note(value, size * slope)
            size *= self.shrink
        return replace(state, status=Status.FAILED if rise.unexplained else Status.STEP)


def _state(
    bounds: Bounds,
    theta: Floats,
    value: float,
    gradient: Floats,
    step_size: float,
    scale: Floats,
) -> GradientDescentState:
    return GradientDescentState(
        theta=theta,
        value=value,
        gradient=gradient,
        noise=rounding(theta, value, gradient),
        remaining=relative_gradient(theta, gradient, bounds),
        step_size=step_size,
        scale=scale,
    )

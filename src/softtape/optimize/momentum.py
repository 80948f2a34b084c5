"""Gradient descent with momentum: Nesterov's, which restarts where it overshoots."""

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

__all__ = ["Momentum", "MomentumState"]


@dataclass(frozen=True, kw_only=True, eq=False)
class MomentumState(State):
    """The state of descent with momentum.

    ``velocity``, shape (n,), is the last move of θ; ``weight`` is Nesterov's t, 1 without any
    momentum; ``step_size`` is η, per unit of L; ``scale``, shape (n,), the size of each variable
    at the start.
    """

    velocity: Floats
    weight: float
    step_size: float
    scale: Floats

    @property
    def description(self) -> str:
        """The step size of the next trial, and how much of the last move it goes on with."""
        return f"step size {self.step_size:.2e}, momentum {_momentum(self.weight)[0]:.2f}"


@dataclass(frozen=True)
class Momentum:
    """Nesterov's accelerated gradient: y = θ + β (θ - θ₋₁), θ ← P(y - η s² ∇L(y)).

    β = (t - 1)/t₊ with t₊ = (1 + √(1 + 4t²))/2, t = 1 at first (Nesterov, Soviet Mathematics
    Doklady 27, 1983); s are the variables' sizes at the start (`scale_by_slope`), P the projection
    onto the bounds. η · ``shrink`` is tried again where L is not below what a parabola of curvature
    1/η allows (Beck and Teboulle, SIAM J. Imaging Sciences 2, 2009), and η grows by ``growth``
    after each step. A step that raises L is taken back and t starts at 1 again (O'Donoghue and
    Candès, Foundations of Computational Mathematics 15, 2015), so that L falls at every step.
    """

    growth: float = 1.1
    shrink: float = 0.5
    first_change: float = 0.1

    @property
    def name(self) -> str:
        """The name a user selects it by."""
        return "momentum"

    def start(self, objective: Objective, theta: Floats, bounds: Bounds) -> MomentumState:
        """Evaluate ``theta``, shape (n,), and choose the first step size."""
        value, gradient = objective.value_and_gradient(theta)
        scale = scale_by_slope(theta, value, gradient, bounds)
        with np.errstate(over="ignore", invalid="ignore"):
            change = np.max(np.abs(gradient) * scale, initial=0.0)
        usable = np.isfinite(change) and change > 0
        return MomentumState(
            theta=theta,
            value=value,
            gradient=gradient,
            noise=rounding(theta, value, gradient),
            remaining=relative_gradient(theta, gradient, bounds),
            velocity=np.zeros_like(theta),
            weight=1.0,
            step_size=self.first_change / float(change) if usable else 1.0,
            scale=scale,
        )

    def step(self, objective: Objective, bounds: Bounds, state: MomentumState) -> MomentumState:
        """Return the state after one step that lowers L, or ``state`` with its status."""
        if state.weight > 1.0:
            ahead = bounds.project(state.theta + _momentum(state.weight)[0] * state.velocity)
            value, gradient = objective.value_and_gradient(ahead)
            if is_finite(value, gradient):
                new, _ = self._descend(objective, bounds, state, ahead, value, gradient)
                if new is not None:
                    return new
            state = replace(state, weight=1.0)
        new, rise = self._descend(
            objective, bounds, state, state.theta, state.value, state.gradient
        )
        if new is not None:
            return new
        return replace(state, status=Status.FAILED if rise.unexplained else Status.STEP)

    def _descend(
        self,
        objective: Objective,
        bounds: Bounds,
        state: MomentumState,
        origin: Floats,
        value: float,
        gradient: Floats,
    ) -> tuple[MomentumState | None, Rise]:
        """Return the state after a step down from ``origin``, or None if it is not below θ."""
        size = state.step_size
        free = bounds.free(origin, gradient)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            direction = state.scale**2 * gradient
            slope = float(np.sum(gradient * direction, where=free))
        rise = Rise(value, state.noise)
        while size * slope > state.noise:
            theta = bounds.project(origin - size * direction)
            if np.array_equal(theta, origin):
                break
            reached, there = objective.value_and_gradient(theta)
            if is_finite(reached, there) and reached <= _allowed(
                value, gradient, theta - origin, size, state
            ):
                if not reached < state.value - state.noise:
                    break
                return self._accept(bounds, state, theta, reached, there, size), rise
            rise.note(reached, size * slope)
            size *= self.shrink
        return None, rise

    def _accept(
        self,
        bounds: Bounds,
        state: MomentumState,
        theta: Floats,
        value: float,
        gradient: Floats,
        size: float,
    ) -> MomentumState:
        return replace(
            state,
            theta=theta,
            value=value,
            gradient=gradient,
            noise=rounding(theta, value, gradient),
            remaining=relative_gradient(theta, gradient, bounds),
            velocity=theta - state.theta,
            weight=_momentum(state.weight)[1],
            step_size=size * self.growth,
        )


def _momentum(weight: float) -> tuple[float, float]:
    """Return β for Nesterov's t, and the next t."""
    after = (1 + float(np.sqrt(1 + 4 * weight**2))) / 2
    return (weight - 1) / after, after


def _allowed(
    value: float, gradient: Floats, move: Floats, size: float, state: MomentumState
) -> float:
    """Return what L may be after ``move``, by a parabola of curvature 1/η, up to rounding."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        bend = float(np.sum((move / state.scale) ** 2)) / (2 * size)
    return value + float(gradient @ move) + bend + state.noise

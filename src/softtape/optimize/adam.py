"""Adam: steps from running means of the gradient and of its square."""

from dataclasses import dataclass, replace

import numpy as np

from softtape.optimize.base import (
    Bounds,
    Floats,
    Objective,
    State,
    Status,
    grown_scale,
    is_finite,
    relative_gradient,
    rounding,
    scale_by_slope,
)

__all__ = ["Adam", "AdamState"]


@dataclass(frozen=True, kw_only=True, eq=False)
class AdamState(State):
    """The state of Adam: moments, rate, and the watch over progress."""

    first: Floats
    second: Floats
    scale: Floats
    count: int
    learning_rate: float
    lowest: float
    stale: int

    @property
    def description(self) -> str:
        """The learning rate of the next step."""
        return f"learning rate {self.learning_rate:.2e}"


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, ICLR 2015, algorithm 1) in relative units.

    Each variable is measured by its size sᵢ, that of now or that at the start, whichever is larger
    (see `scale_by_slope`), and moves by ``learning_rate`` · sᵢ at most, about. A rate of 0.02 is
    thus 2 % a step for lengths in metres and in micrometres alike. ε is relative as well: to the
    largest running gradient gᵢ sᵢ. A step may raise L. After ``patience`` steps without a new
    lowest L the rate is halved, and below the working precision the state is final: this is how
    Adam, which circles a minimum at a constant rate, comes to an end.
    """

    learning_rate: float = 0.02
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    patience: int = 50

    @property
    def name(self) -> str:
        """The name a user selects it by."""
        return "adam"

    def start(self, objective: Objective, theta: Floats, bounds: Bounds) -> AdamState:
        """Evaluate ``theta``, shape (n,); the moments start at zero."""
        value, gradient = objective.value_and_gradient(theta)
        return AdamState(
            theta=theta,
            value=value,
            gradient=gradient,
            noise=rounding(theta, value, gradient),
            remaining=relative_gradient(theta, gradient, bounds),
            first=np.zeros_like(theta),
            second=np.zeros_like(theta),
            scale=scale_by_slope(theta, value, gradient, bounds),
            count=0,
            learning_rate=self.learning_rate,
            lowest=value,
            stale=0,
        )

    def step(self, objective: Objective, bounds: Bounds, state: AdamState) -> AdamState:
        """Return the state after one step, shortened until L and its gradient are finite."""
        scale = grown_scale(state.scale, state.theta, bounds)
        moments = self._moments(state)
        direction = self._direction(moments, scale)
        rate = state.learning_rate
        while rate > np.finfo(np.float64).eps:
            theta = bounds.project(state.theta - rate * direction)
            if np.array_equal(theta, state.theta):
                return replace(state, status=Status.STEP)
            value, gradient = objective.value_and_gradient(theta)
            if is_finite(value, gradient):
                return self._accept(moments, bounds, theta, value, gradient, rate)
            rate /= 2
        last = Status.STEP if rate == state.learning_rate else Status.FAILED
        return replace(state, status=last)

    def _moments(self, state: AdamState) -> AdamState:
        """Return ``state`` with both running means brought up to date."""
        with np.errstate(over="ignore", invalid="ignore"):
            # A square that overflows would stop its variable for ever.
            square = np.minimum(state.gradient**2, np.finfo(np.float64).max)
        return replace(
            state,
            first=self.beta1 * state.first + (1 - self.beta1) * state.gradient,
            second=self.beta2 * state.second + (1 - self.beta2) * square,
            count=state.count + 1,
        )

    def _direction(self, state: AdamState, scale: Floats) -> Floats:
        """Return the step at rate 1, shape (n,), in the variables' units."""
        mean = state.first / (1 - self.beta1**state.count)
        root = np.sqrt(state.second / (1 - self.beta2**state.count))
        with np.errstate(over="ignore"):
            floor = self.epsilon * float(np.max(root * scale, initial=0.0)) / scale
        step = np.zeros_like(mean)
        np.divide(mean, root + floor, out=step, where=(root > 0) & np.isfinite(floor))
        return step * scale

    def _accept(
        self,
        state: AdamState,
        bounds: Bounds,
        theta: Floats,
        value: float,
        gradient: Floats,
        rate: float,
    ) -> AdamState:
        """Return ``state`` moved to ``theta``, the rate halved after a stretch without progress."""
        stale = 0 if value < state.lowest else state.stale + 1
        halve = stale >= self.patience
        return replace(
            state,
            theta=theta,
            value=value,
            gradient=gradient,
            noise=rounding(theta, value, gradient),
            remaining=relative_gradient(theta, gradient, bounds),
            learning_rate=rate / 2 if halve else rate,
            lowest=min(value, state.lowest),
            stale=0 if halve else stale,
        )

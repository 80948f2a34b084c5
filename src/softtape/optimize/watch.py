"""An objective under watch: counts, keeps the best point, ends the fit from within a step."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from softtape.errors import SoftError
from softtape.optimize.base import Floats, Objective, State, Status, rounding

__all__ = ["Best", "Stop", "Watch"]

# How many times the loss at the start (at least 1) a loss may lie below 0. That of a likelihood is
# a logarithm of its scale; -x, which has no minimum, is there within a step of a line search.
_BOTTOM = 1e30


class Stop(Exception):  # noqa: N818 - not an error: the goal or a limit, reached within a step
    """Leaves a step from within an evaluation; `minimize` catches it."""

    def __init__(self, status: Status) -> None:
        """Keep the status to end with."""
        super().__init__(status.sentence)
        self.status = status


@dataclass(frozen=True, eq=False)
class Best:
    """The best point seen; its gradient, shape (n,), is None where nobody asked for it.

    ``margin`` is the least drop of L for which another point replaces this one;
    ``remaining`` is that of `State`.
    """

    theta: Floats
    value: float
    gradient: Floats | None
    margin: float
    remaining: float = float("inf")


class Watch:
    """The objective as an optimizer sees it.

    Every finite value counts for the best point, whichever trial of a step it comes from, unless
    the drop is mere rounding: such a change would rewrite a fitted Param for nothing.
    """

    def __init__(
        self,
        objective: Objective,
        start: Floats,
        *,
        threshold: float | None,
        timeout: float | None,
    ) -> None:
        """Watch ``objective`` from the start, shape (n,); the clock runs from now."""
        self.best = Best(start, float("nan"), None, 0.0)
        self.lowest = float("inf")
        self.evaluations = 0
        self.bad_start: str | None = None
        self._objective = objective
        self._first = self.best
        self._threshold = threshold
        self._timeout = timeout
        self._begin = time.monotonic()

    @property
    def has_residuals(self) -> bool:
        """Whether L is known as a sum of squares."""
        return self._objective.has_residuals

    @property
    def seconds(self) -> float:
        """The time since the start, in seconds."""
        return time.monotonic() - self._begin

    def value(self, theta: Floats) -> float:
        """Return L(θ)."""
        self._before()
        value = float(self._objective.value(theta.copy()))
        self._see(theta, value, None)
        return value

    def value_and_gradient(self, theta: Floats) -> tuple[float, Floats]:
        """Return L(θ) and its gradient, shape (n,)."""
        self._before()
        value, gradient = self._objective.value_and_gradient(theta.copy())
        kept = np.array(gradient, dtype=np.float64)  # the objective may reuse its buffer
        self._see(theta, float(value), kept)
        return float(value), kept

    def residuals_and_jacobian(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return the residuals, shape (m,), and their Jacobian, shape (m, n)."""
        self._before()
        residuals, jacobian = self._objective.residuals_and_jacobian(theta.copy())
        with np.errstate(over="ignore", invalid="ignore"):
            value = float((residuals**2).sum())
        self._see(theta, value, None)
        return residuals, jacobian

    @property
    def has_curvature(self) -> bool:
        """Whether products of the Hessian are known."""
        return hasattr(self._objective, "hessian_product")

    def hessian_product(self, theta: Floats, direction: Floats) -> Floats:
        """Return the product of the Hessian of L with a direction, both of shape (n,)."""
        self._before()
        product: Any = getattr(self._objective, "hessian_product")  # noqa: B009 -- it is optional
        return np.array(product(theta.copy(), direction), dtype=np.float64)

    @property
    def kinds(self) -> Sequence[str]:
        """For each test, the name of the function it is a case of (see `InParts`)."""
        kinds: Sequence[str] = self._parts.kinds
        return kinds

    def part(self, tests: Sequence[int], theta: Floats) -> tuple[float, Floats]:
        """Return the loss of some tests, and its gradient, shape (n,); no point is judged by it."""
        self._before()
        value, gradient = self._parts.part(tests, theta.copy())
        return float(value), np.array(gradient, dtype=np.float64)

    @property
    def _parts(self) -> Any:
        if not hasattr(self._objective, "part"):
            raise SoftError("this objective is no sum over tests: it has no batches")
        return self._objective

    def settle(self, state: State) -> None:
        """Make the point of ``state`` the best one, with the gradient known there."""
        same = np.array_equal(state.theta, self.best.theta)
        theta = self.best.theta if same else state.theta.copy()
        self.best = Best(theta, state.value, state.gradient, state.noise, state.remaining)

    def resume(self, best: Best, lowest: float, evaluations: int) -> None:
        """Go on where another watch of the same objective was."""
        self.best, self.lowest, self.evaluations = best, lowest, evaluations
        self._first = best

    def _before(self) -> None:
        """Count an evaluation; refuse it when the time is up, unless it is the first."""
        if self._timeout is not None and self.evaluations and self.seconds >= self._timeout:
            raise Stop(Status.TIMEOUT)
        self.evaluations += 1

    def _see(self, theta: Floats, value: float, gradient: Floats | None) -> None:
        """Keep the point if it is the best; end the fit at the threshold, or far below 0."""
        first = math.isnan(self.best.value)
        if not math.isfinite(value):
            if first:
                self.bad_start = str(value)
                raise Stop(Status.FAILED)
            return
        reached = self._threshold is not None and value <= self._threshold
        self.lowest = min(self.lowest, value)
        if first or reached or value < self.best.value - self.best.margin:
            # The start keeps its own array: `run` tells by identity whether a leg changed it.
            kept = self.best.theta if first else theta.copy()
            self.best = Best(kept, value, gradient, rounding(theta, value, gradient))
        if first:
            self._first = self.best
        if reached:
            raise Stop(Status.THRESHOLD)
        if value < -_BOTTOM * max(1.0, abs(self._first.value)):
            self.best = self._first  # what was found on the way down means nothing
            raise Stop(Status.BOTTOMLESS)

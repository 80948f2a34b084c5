"""Minibatches: steps from a part of the tests at a time, judged by all of them once per epoch."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np

from softtape.errors import SoftError
from softtape.optimize.base import (
    Bounds,
    Floats,
    Objective,
    State,
    Status,
    grown_scale,
    is_finite,
    rounding,
    scale_by_slope,
)

__all__ = ["METHODS", "SCHEDULES", "InParts", "Minibatch", "MinibatchState"]

METHODS = ("adam", "momentum", "gradient-descent")
SCHEDULES = ("cosine", "linear", "constant")

_KEPT, _KEPT_SQUARES, _EPSILON = 0.9, 0.999, 1e-8  # β₁, β₂ and ε of Adam


class InParts(Objective, Protocol):
    """An objective which is a sum over tests, and can be evaluated for some of them."""

    @property
    def kinds(self) -> Sequence[str]:
        """For each test, the name of the function it is a case of."""

    def part(self, tests: Sequence[int], theta: Floats, /) -> tuple[float, Floats]:
        """Return the sum of the weighted losses of these tests, by number, and its gradient."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MinibatchState(State):
    """The state between two epochs.

    ``first`` and ``second``, shape (n,), are the running means of Adam, or the velocity and
    nothing; ``scale``, shape (n,), the sizes of the variables; ``count`` the steps and ``epoch``
    the epochs so far; ``rate`` the factor of the learning rate, halved where L was not finite;
    ``unit`` turns a gradient into a step of methods that depend on its length.
    """

    first: Floats
    second: Floats
    scale: Floats
    count: int = 0
    epoch: int = 0
    rate: float = 1.0
    unit: float = 1.0
    learning_rate: float = 0.0

    @property
    def description(self) -> str:
        """The epoch, and the learning rate at its end."""
        return f"epoch {self.epoch}, learning rate {self.learning_rate:.2e}"


@dataclass(frozen=True)
class Minibatch:
    """Stochastic steps; a step of this optimizer is an epoch, in which each test counts once.

    The tests are shuffled for each epoch by ``seed`` and its number, and taken ``batch_size`` at a
    time; ĝ, the gradient of a batch times the number of batches, estimates ∇L. A test that is the
    only case of its function, such as a penalty, is part of every batch instead, if these are fewer
    than ``batch_size``. With sᵢ the size of a variable (`scale_by_slope`) and η of the schedule,

    * ``adam``: θ ← θ - η s m̂ / (√v̂ + ε), see `softtape.optimize.Adam`;
    * ``momentum``: u ← 0.9 u + ĝ, θ ← θ - η c s² u (Polyak, 1964);
    * ``gradient-descent``: θ ← θ - η c s² ĝ,

    where 1/c is the largest |gᵢ sᵢ| of the whole gradient at the start. After k of K steps,
    η = ``learning_rate`` · (1 + cos(π k/K))/2 for ``cosine`` (Loshchilov and Hutter, ICLR 2017),
    ``learning_rate`` · (1 - k/K) for ``linear``, and ``learning_rate`` for ``constant``. L of all
    tests is evaluated after each epoch, and by it the best point is judged. A batch that is not
    finite is left out, the step before it is taken back and the rate halved.
    """

    method: str = "adam"
    batch_size: int = 32
    epochs: int = 20
    schedule: str = "cosine"
    learning_rate: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for what, name, known in (
            ("method", self.method, METHODS),
            ("schedule", self.schedule, SCHEDULES),
        ):
            if name not in known:
                msg = f"there is no {what} {name!r}; choose one of: {', '.join(known)}"
                raise SoftError(msg)
        for what, number in (("batch_size", self.batch_size), ("epochs", self.epochs)):
            if number < 1:
                raise SoftError(f"{what} is {number}; it must be 1 or more")

    @property
    def name(self) -> str:
        """What the fit says it was by."""
        return f"{self.method} in batches of {self.batch_size}"

    def start(self, objective: Objective, theta: Floats, bounds: Bounds) -> MinibatchState:
        """Evaluate ``theta``, shape (n,), on all tests."""
        value, gradient = objective.value_and_gradient(theta)
        scale = scale_by_slope(theta, value, gradient, bounds)
        with np.errstate(over="ignore", invalid="ignore"):
            longest = float(np.max(np.abs(gradient) * scale, initial=0.0))
        usable = np.isfinite(longest) and longest > 0
        finite = bool(np.all(np.isfinite(gradient)))  # else some batch would be left out for ever
        return MinibatchState(
            theta=theta,
            value=value,
            gradient=np.empty(0),
            status=None if finite else Status.NO_GRADIENT,
            noise=rounding(theta, value, gradient),
            remaining=np.inf,
            first=np.zeros_like(theta),
            second=np.zeros_like(theta),
            scale=scale,
            unit=1 / longest if usable else 1.0,
        )

    def step(self, objective: Objective, bounds: Bounds, state: MinibatchState) -> MinibatchState:
        """Return the state after one epoch, or ``state`` with its status if there is none left."""
        if state.epoch >= self.epochs:
            return replace(state, status=Status.EPOCHS)
        parts = cast(InParts, objective)
        kinds = parts.kinds
        batches, always = self._batches(kinds, state.epoch)
        if self.method == "adam":
            state = replace(state, scale=grown_scale(state.scale, state.theta, bounds))
        total = self.epochs * len(batches)
        before, failures = state, 0
        for tests in batches:
            gradient = _estimate(parts, tests, always, len(kinds), state.theta)
            if gradient is None:
                failures += 1
                state = replace(before, rate=state.rate / 2, count=state.count + 1)
                continue
            before = state
            rate = self.learning_rate * state.rate * _fraction(self.schedule, state.count / total)
            state = self._moved(state, gradient, bounds, rate)
        value = objective.value(state.theta)
        if not np.isfinite(value):
            state = replace(before, rate=state.rate / 2, count=state.count)
            value = objective.value(state.theta)
        if failures == len(batches) or not np.isfinite(value):
            return replace(state, value=np.inf, status=Status.FAILED)
        noise = rounding(state.theta, value, None)
        return replace(state, value=value, noise=noise, epoch=state.epoch + 1)

    def _batches(
        self, kinds: Sequence[str], epoch: int
    ) -> tuple[list[Sequence[int]], Sequence[int]]:
        """Return the batches of an epoch, and the tests that are part of each of them."""
        cases = Counter(kinds)
        alone = [number for number, kind in enumerate(kinds) if cases[kind] == 1]
        if not len(alone) < min(self.batch_size, len(kinds)):
            alone = []
        others = np.setdiff1d(np.arange(len(kinds)), alone)
        drawn = np.random.default_rng((self.seed, epoch)).permutation(others).tolist()
        size = self.batch_size
        return [sorted(drawn[i : i + size]) for i in range(0, len(drawn), size)], alone

    def _moved(
        self, state: MinibatchState, gradient: Floats, bounds: Bounds, rate: float
    ) -> MinibatchState:
        """Return the state after one step."""
        first, second, count = state.first, state.second, state.count + 1
        scale = state.scale
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
            if self.method == "adam":
                first = _KEPT * first + (1 - _KEPT) * gradient
                second = _KEPT_SQUARES * second + (1 - _KEPT_SQUARES) * gradient**2
                root = np.sqrt(second / (1 - _KEPT_SQUARES**count))
                floor = _EPSILON * float(np.max(root * scale, initial=0.0)) / scale
                move = scale * (first / (1 - _KEPT**count)) / (root + floor)
            else:
                first = _KEPT * first + gradient if self.method == "momentum" else gradient
                move = state.unit * state.scale**2 * first
            move = np.where(np.isfinite(move), move, 0.0)
        return replace(
            state,
            theta=bounds.project(state.theta - rate * move),
            first=first,
            second=second,
            count=count,
            learning_rate=rate,
        )


def _estimate(
    parts: InParts, tests: Sequence[int], always: Sequence[int], count: int, theta: Floats
) -> Floats | None:
    """Return the estimate of the whole gradient from some tests, None if it is not finite."""
    value, gradient = parts.part(tests, theta)
    gradient = gradient * ((count - len(always)) / len(tests))
    if always:
        more, slope = parts.part(always, theta)
        value, gradient = value + more, gradient + slope
    return gradient if is_finite(value, gradient) else None


def _fraction(schedule: str, done: float) -> float:
    """Return the part of the learning rate that is left when so much is done."""
    if schedule == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    return 1 - done if schedule == "linear" else 1.0

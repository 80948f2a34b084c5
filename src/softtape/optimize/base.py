"""What minimisers share: the objective they ask, the bounds they keep, the state they carry."""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from softtape.errors import SoftError

__all__ = [
    "Bounds",
    "Floats",
    "Objective",
    "Optimizer",
    "State",
    "Status",
    "grown_scale",
    "is_finite",
    "parameter_scale",
    "relative_gradient",
    "rounding",
    "scale_by_slope",
]

Floats = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)
_NOTHING = 1e-100  # a size that tells nothing
_LEAST_CHANGE = 1e-4  # of L, that a variable of unknown size is allowed
_MOST_SIZE = 1e9  # of a variable whose size is guessed, compared with 1 and the others
_ONE_UNIT = 100.0  # of an array: how far the quartile of its elements may lie below their mean


class Objective(Protocol):
    """The total loss L(θ) of a suite, θ of shape (n,) in the Params' own units.

    A value of inf or nan at a trial point means «shorten the step»; it is never an exception.
    ``value`` and ``value_and_gradient`` agree up to rounding, and so does the sum of the squared
    residuals where there are any.
    """

    @property
    def has_residuals(self) -> bool:
        """Whether L is known as a sum of squares, L = Σ r²."""

    def value(self, theta: Floats, /) -> float:
        """Return L(θ)."""

    def value_and_gradient(self, theta: Floats, /) -> tuple[float, Floats]:
        """Return L(θ) and its gradient, shape (n,)."""

    def residuals_and_jacobian(self, theta: Floats, /) -> tuple[Floats, Floats]:
        """Return r, shape (m,), and ∂r/∂θ, shape (m, n), with L = Σ r² (no factor 1/2)."""


class Status(enum.Enum):
    """Why a minimisation ended; the value is the sentence to show."""

    THRESHOLD = "the total loss is at or below the threshold"
    GRADIENT = "converged: the gradient is zero compared with the total loss"
    STEP = "converged: no step lowers the total loss any more at working precision"
    OWN = "converged: by the optimizer's own criterion"
    PLATEAU = "stopped: on a plateau, 500 steps lowered the total loss by less than a millionth"
    EPOCHS = "stopped: all epochs are done"
    MAX_STEPS = "stopped: the limit on the number of steps is reached"
    TIMEOUT = "stopped: the time limit is reached"
    INTERRUPTED = "stopped: interrupted from the keyboard"
    FAILED = "failed: no step along the gradient gives a finite, lower total loss"
    NO_GRADIENT = "failed: the gradient is not finite at the best point"
    BOTTOMLESS = "failed: the total loss falls as far as one looks: it has no minimum"
    CRASHED = "failed: an evaluation raised an exception"

    @property
    def sentence(self) -> str:
        """The outcome as a sentence for people."""
        return self.value

    @property
    def converged(self) -> bool:
        """Whether the minimisation reached a minimum, as opposed to the goal or a limit."""
        return self in (Status.GRADIENT, Status.STEP, Status.OWN)


@dataclass(frozen=True, eq=False)
class Bounds:
    """A box: ``lower <= theta <= upper``, each of shape (n,), in the Params' units, ±inf for none.

    Attributes
    ----------
    lower, upper
        The bounds.
    parts
        How many variables each Param has, in their order, if that is known. Those of one array
        are mostly of one size.

    Raises
    ------
    SoftError
        If the shapes differ, a bound is nan, or a lower bound lies above its upper bound.
    """

    lower: Floats
    upper: Floats
    parts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a box which is none; a swapped pair is a mistake to show, not to repair."""
        if self.lower.shape != self.upper.shape or self.lower.ndim != 1:
            msg = f"bounds of shapes {self.lower.shape} and {self.upper.shape}; both must be (n,)"
            raise SoftError(msg)
        if self.parts and sum(self.parts) != self.lower.size:
            msg = f"parts of {sum(self.parts)} variables in bounds of {self.lower.size}"
            raise SoftError(msg)
        for i in np.flatnonzero(~(self.lower <= self.upper)):
            msg = f"variable {i}: lower bound {self.lower[i]!s} is not below {self.upper[i]!s}"
            raise SoftError(msg)

    @classmethod
    def unbounded(cls, n: int) -> Self:
        """Return the box that holds all of ℝⁿ."""
        return cls(np.full(n, -np.inf), np.full(n, np.inf))

    @cached_property
    def arrays(self) -> Sequence[slice]:
        """Where the arrays among the Params lie in θ."""
        ends = np.cumsum(self.parts, dtype=int).tolist()
        return [slice(e - n, e) for e, n in zip(ends, self.parts, strict=True) if n > 1]

    @cached_property
    def none(self) -> bool:
        """Whether the box is all of ℝⁿ."""
        return bool(np.all(self.lower == -np.inf) and np.all(self.upper == np.inf))

    def contains(self, theta: Floats) -> bool:
        """Tell whether ``theta``, shape (n,), lies in the box."""
        return bool(np.all((self.lower <= theta) & (theta <= self.upper)))

    def project(self, theta: Floats) -> Floats:
        """Return the point of the box nearest to ``theta``, shape (n,)."""
        return theta if self.none else np.minimum(np.maximum(theta, self.lower), self.upper)

    def free(self, theta: Floats, gradient: Floats) -> NDArray[np.bool_]:
        """Return the mask, shape (n,), of the variables that a descent step may move.

        Held are those on a bound where the gradient pushes outward, and those whose bounds
        coincide.
        """
        if self.none:
            return np.ones(theta.shape, bool)
        held_low = (theta <= self.lower) & (gradient > 0)
        held_high = (theta >= self.upper) & (gradient < 0)
        free: NDArray[np.bool_] = ~(held_low | held_high | (self.lower == self.upper))
        return free


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """Where an optimizer is; each adds its own fields, plain arrays and numbers only.

    Hence a state can be stored and resumed bit for bit. ``noise`` is the size below which a change
    of L is rounding, in the unit of L; half of it is the rise that still counts as level, so that
    no sequence of steps runs in a circle. ``remaining`` measures how far the optimizer deems the
    minimum, in a unit of its own: among points level in L the one with less is nearer, for L
    itself is flat there to half the digits. ``gradient`` is empty, of shape (0,), for an optimizer
    that asks for none.
    """

    theta: Floats
    value: float
    gradient: Floats
    noise: float
    remaining: float
    status: Status | None = None

    @property
    def description(self) -> str:
        """What characterises the last step, in a few words."""
        return ""

    def level_and_nearer(self, value: float, noise: float, remaining: float) -> bool:
        """Tell whether this point is as good as one of these data, and nearer a minimum."""
        return self.value <= value + noise / 2 and self.remaining <= 0.9 * remaining


S = TypeVar("S", bound=State)


class Optimizer(Protocol[S]):
    """How to step; when to stop and which point to keep is the driver loop's part."""

    @property
    def name(self) -> str:
        """The name a user selects it by."""

    def start(self, objective: Objective, theta: Floats, bounds: Bounds, /) -> S:
        """Evaluate ``theta``, shape (n,), and return the state before the first step."""

    def step(self, objective: Objective, bounds: Bounds, state: S, /) -> S:
        """Return the state after one accepted step, or ``state`` with its status set if none is."""


def rounding(theta: Floats, value: float, gradient: Floats | None) -> float:
    """Return the size below which a change of L is rounding, in the unit of L.

    A last-place change of L itself counts, and one of each θᵢ: (|L| + Σ |gᵢ θᵢ|) · 8ε. The second
    term is what ends a fit with zero residuals, where L ~ 1e-30 has no digits left to gain.
    """
    if gradient is None:
        return 8 * _EPS * abs(value)
    with np.errstate(over="ignore", invalid="ignore"):
        moved = float(np.sum(np.abs(gradient * theta)))
    return 8 * _EPS * (abs(value) + (moved if math.isfinite(moved) else 0.0))


def relative_gradient(
    theta: Floats, gradient: Floats, bounds: Bounds, *, floor: float = 0.0
) -> float:
    """Return max |gᵢ| · max(|θᵢ|, floor) over the free variables, in the unit of L.

    This is the first-order change of L when one variable changes by its own size, whatever its
    unit.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        products = np.abs(gradient) * np.maximum(np.abs(theta), floor)
    if bounds.none:
        return float(products.max(initial=0.0))
    return float(np.max(products, where=bounds.free(theta, gradient), initial=0.0))


def parameter_scale(theta: Floats, bounds: Bounds) -> Floats:
    """Return the assumed size of each variable, shape (n,), in its own unit.

    It is |θᵢ|, or 1 where the value is 0 and tells nothing, and never more than the distance
    between the bounds unless that is nearly none. The elements of an array share their root mean
    square, unless they differ so much that they must be of different units.
    """
    size = _sizes(theta, bounds)
    return _within(np.where(size > _NOTHING, size, 1.0), bounds)


def scale_by_slope(theta: Floats, value: float, gradient: Floats, bounds: Bounds) -> Floats:
    """Return the size of each variable, shape (n,), as `parameter_scale` does, also from 0.

    Where the value is 0, the size is what changes L, to first order, as much as most variables
    of known size do when they change by theirs; without any of those, as much as L itself. So
    the unit of such a variable does not matter either.
    """
    size = _sizes(theta, bounds)
    unknown = ~(size > _NOTHING)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        slope = np.abs(gradient)
        for place in bounds.arrays:
            slope[place] = np.sqrt(np.mean(slope[place] ** 2))
        changes = (slope * size)[~unknown]
        changes = changes[np.isfinite(changes) & (changes > 0)]
        typical = float(np.median(changes)) if changes.size else abs(value)
        guess = max(typical, _LEAST_CHANGE * abs(value)) / slope
    # at a point of symmetry the slope is zero but for rounding, and tells nothing
    usable = (guess > 0) & (guess < _MOST_SIZE * max(1.0, float(np.max(size))))
    size[unknown] = np.where(usable, guess, 1.0)[unknown]
    return _within(size, bounds)


def _within(size: Floats, bounds: Bounds) -> Floats:
    width = bounds.upper - bounds.lower
    return np.where(width > 1e-8 * size, np.minimum(size, width), size)


def grown_scale(scale: Floats, theta: Floats, bounds: Bounds) -> Floats:
    """Return the largest size each variable has had, shape (n,), now that it is at ``theta``."""
    return np.maximum(scale, _sizes(theta, bounds))


def _sizes(theta: Floats, bounds: Bounds) -> Floats:
    """Return |θᵢ|, for the elements of an array of one unit their root mean square."""
    size = np.abs(theta)
    for place in bounds.arrays:
        part = size[place]
        known = np.sort(part[part > _NOTHING])
        if not known.size:
            continue
        with np.errstate(over="ignore"):
            common = float(np.sqrt(np.mean(part**2)))
        if known[known.size // 4] * _ONE_UNIT >= common:
            size[place] = common
    return size


def is_finite(value: float, *arrays: NDArray[Any]) -> bool:
    """Tell whether a value and all entries of the arrays are finite."""
    return math.isfinite(value) and all(bool(np.isfinite(a).all()) for a in arrays)

"""A line search for the strong Wolfe conditions, at ease with values of inf and nan."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from softtape.optimize.base import Floats, is_finite

__all__ = ["Point", "Rise", "search"]

_DECREASE = 1e-4  # c1 and c2 of Nocedal and Wright, section 3.1, for quasi-Newton directions
_CURVATURE = 0.9
_LIMIT = 60
_UNIT_ROUNDING = 8 * sys.float_info.epsilon  # of numbers about 1: losses in nats, for one


@dataclass(frozen=True, eq=False)
class Point:
    """One trial: the step length along the ray, θ there, L, its gradient and its slope."""

    step: float
    theta: Floats
    value: float
    gradient: Floats
    slope: float

    @property
    def finite(self) -> bool:
        """Whether L and its gradient are finite here."""
        return is_finite(self.value, self.gradient)


@dataclass
class Rise:
    """Judges a search that found nothing lower: is this a minimum, or is the slope wrong?

    Beyond a minimum that is flat to rounding, L rises with the square of the step, far more than
    the drop its slope promised. A rise merely in proportion tells of a kink, or of a gradient
    that is not the gradient of L. But where a drop of less than the rounding of 1 was promised and
    L does not change at all, it is a difference of larger numbers, as cross-entropies are: these
    come down to 0 or nearly so by rounding, while their slope goes on.
    """

    value: float
    noise: float
    unexplained: bool = field(default=False, init=False)

    def note(self, value: float, promised: float) -> None:
        """Take in a trial: the L found, and the drop that the slope promised for its step."""
        if promised >= 100 * self.noise:
            drowned = value == self.value and promised <= _UNIT_ROUNDING
            rises = 10 * promised < value - self.value < math.inf
            self.unexplained = not (drowned or rises)


def search(
    evaluate: Callable[[float], Point], start: Point, first: float, noise: float
) -> tuple[Point | None, Rise]:
    """Return a point of the ray with sufficient decrease and, where it exists, flatter slope.

    Algorithms 3.5 and 3.6 of Nocedal and Wright, Numerical Optimization, 2nd ed. (2006), with the
    strong Wolfe conditions. A trial that is not finite counts as too far. Where the decrease drowns
    in rounding, a level value and a flatter slope will do (the «approximate Wolfe» of Hager and
    Zhang, SIAM J. Optim. 16, 2005).

    Parameters
    ----------
    evaluate
        Gives the point at a step length > 0.
    start
        The point at step 0; its slope is negative.
    first
        The first step length to try.
    noise
        A change of L below this is rounding; the search ends where only such ones are left.
    """
    rise = Rise(start.value, noise)

    def trial(step: float) -> Point:
        point = evaluate(step)
        rise.note(point.value, -start.slope * step)
        return point

    low, step = start, first
    for _ in range(_LIMIT):
        point = trial(step)
        if _accepts(start, point, noise):
            return point, rise
        if not _sufficient(start, point) or point.value >= low.value:
            return _zoom(trial, start, low, point, noise), rise
        if point.slope >= 0:
            return _zoom(trial, start, point, low, noise), rise
        low, step = point, 4 * step
    return (low if low.step > 0 else None), rise


def _zoom(
    trial: Callable[[float], Point], start: Point, low: Point, high: Point, noise: float
) -> Point | None:
    """Narrow the interval between ``low``, the best so far, and ``high`` (algorithm 3.6)."""
    for _ in range(_LIMIT):
        if abs(high.step - low.step) * -start.slope <= noise:
            break
        step = _between(low, high)
        if step in (low.step, high.step):
            break
        point = trial(step)
        if _accepts(start, point, noise):
            return point
        if not _sufficient(start, point) or point.value >= low.value:
            high = point
            continue
        if point.slope * (high.step - low.step) >= 0:
            high = low
        low = point
    return low if low.step > 0 else None


def _sufficient(start: Point, point: Point) -> bool:
    """Tell whether L falls enough for the length of the step (Armijo)."""
    return point.finite and point.value <= start.value + _DECREASE * point.step * start.slope


def _accepts(start: Point, point: Point, noise: float) -> bool:
    """Tell whether a point meets the strong Wolfe conditions, up to rounding."""
    level = point.finite and point.value <= start.value + noise / 2
    flatter = abs(point.slope) <= -_CURVATURE * start.slope
    much_flatter = abs(point.slope) <= -0.5 * start.slope
    return (flatter and _sufficient(start, point)) or (level and much_flatter)


def _between(low: Point, high: Point) -> float:
    """Return a step inside the interval: the cubic's minimum, kept off both ends."""
    width = high.step - low.step
    if not high.finite:
        return low.step + 0.2 * width
    fraction = _cubic(low.value, high.value, low.slope * width, high.slope * width)
    return low.step + min(max(fraction, 0.1), 0.9) * width


def _cubic(left: float, right: float, slope_left: float, slope_right: float) -> float:
    """Return where in [0, 1] the cubic with these end values and slopes is least, else 1/2."""
    chord = slope_left + slope_right - 3 * (right - left)
    square = chord * chord - slope_left * slope_right
    if not 0 <= square < math.inf:
        return 0.5
    root = math.sqrt(square)
    below = slope_right - slope_left + 2 * root
    place = 1 - (slope_right + root - chord) / below if below else 0.5
    return place if math.isfinite(place) else 0.5

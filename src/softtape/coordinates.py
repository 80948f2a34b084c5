"""Where an optimizer moves other numbers than the values: log scales and simplices.

A log scale is ``value = v₀ exp(θ)``, v₀ the value at the last best point: there θ is 0, and the
value comes back bit for bit. A simplex is ``value = z / Σz`` with each z in [0, 1]. Unlike a
softmax it reaches the faces of the simplex, and has a slope there, so that a share which starts
at 0 can grow. One direction of z is idle; bounds and damping see to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Coordinates", "Simplex", "simplex_rounding"]

Floats: TypeAlias = NDArray[np.float64]


class Simplex(NamedTuple):
    """Numbers of θ whose rows each add up to 1.

    Attributes
    ----------
    place
        Where they are.
    width
        Length of a row.
    rounding
        By how much the sum of a row may miss 1 and pass for 1.
    """

    place: slice
    width: int
    rounding: float


def simplex_rounding(width: int, dtype: np.dtype[np.floating]) -> float:
    """Return by how much rounding lets the sum of so many shares miss 1."""
    return 4.0 * width * float(np.finfo(dtype).eps)


@dataclass(frozen=True, eq=False)
class Coordinates:
    """A map between θ, shape (n,), and values of the same shape.

    Attributes
    ----------
    logs
        Places on a log scale.
    origin
        Value of each of these where θ is 0; positive.
    lower, upper
        Bounds of the values of these; positive.
    simplices
        The simplices. All other numbers of θ are the values themselves.
    """

    logs: NDArray[np.intp]
    origin: Floats
    lower: Floats
    upper: Floats
    simplices: Sequence[Simplex] = ()

    def values(self, theta: Floats) -> Floats:
        """Return the values at ``theta``."""
        values = theta.copy()
        move = theta[self.logs]
        with np.errstate(over="ignore", under="ignore"):
            raised = np.clip(self.origin * np.exp(move), self.lower, self.upper)
        low, high = self._log_bounds()  # where rounding must not keep it off its bound
        raised = np.where(move >= high, self.upper, np.where(move <= low, self.lower, raised))
        values[self.logs] = raised
        for simplex in self.simplices:
            rows = theta[simplex.place].reshape(-1, simplex.width)
            sums = rows.sum(axis=1, keepdims=True)
            done = np.abs(sums - 1.0) <= simplex.rounding
            shares = np.where(done, rows, rows / np.where(sums > 0, sums, 1.0))
            values[simplex.place] = np.where(sums > 0, shares, 1.0 / simplex.width).ravel()
        return values

    def theta(self, values: Floats) -> Floats:
        """Return a point at which the values are these."""
        theta = values.copy()
        theta[self.logs] = np.log(values[self.logs]) - np.log(self.origin)
        return theta

    def bounds(self, lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
        """Return bounds on θ, from those on the values."""
        lower, upper = lower.copy(), upper.copy()
        lower[self.logs], upper[self.logs] = self._log_bounds()
        return lower, upper

    def pulled_back(self, theta: Floats, slopes: Floats) -> Floats:
        """Return derivatives by θ, from those by the values, shape (..., n)."""
        slopes, values = slopes.copy(), self.values(theta)
        slopes[..., self.logs] *= values[self.logs]
        for simplex in self.simplices:
            place, shape = simplex.place, (-1, simplex.width)
            rows, sums = values[place].reshape(shape), theta[place].reshape(shape).sum(axis=1)
            part = slopes[..., place].reshape(*slopes.shape[:-1], *shape)
            part = part - np.sum(part * rows, axis=-1, keepdims=True)
            part = part / np.where(sums > 0, sums, 1.0)[:, None]
            slopes[..., place] = part.reshape(*slopes.shape[:-1], -1)
        return slopes

    def pushed_forward(self, theta: Floats, direction: Floats) -> Floats:
        """Return how the values move when θ moves along a direction, shape (n,)."""
        moves, values = direction.copy(), self.values(theta)
        moves[self.logs] *= values[self.logs]
        for place, rows, sums, move in self._rows(theta, values, direction):
            moves[place] = ((move - rows * move.sum(axis=1, keepdims=True)) / sums).ravel()
        return moves

    def pull_changed(self, theta: Floats, direction: Floats, slopes: Floats) -> Floats:
        """Return how `pulled_back` of the same slopes, shape (n,), moves along a direction."""
        changes, values = np.zeros_like(theta), self.values(theta)
        changes[self.logs] = slopes[self.logs] * values[self.logs] * direction[self.logs]
        for place, rows, sums, move in self._rows(theta, values, direction):
            total, slope = move.sum(axis=1, keepdims=True), slopes[place].reshape(rows.shape)
            pulled = (slope - np.sum(slope * rows, axis=1, keepdims=True)) / sums
            turned = np.sum(slope * (move - rows * total), axis=1, keepdims=True) / sums
            changes[place] = (-(turned + pulled * total) / sums).ravel()
        return changes

    def _rows(
        self, theta: Floats, values: Floats, direction: Floats
    ) -> Iterator[tuple[slice, Floats, Floats, Floats]]:
        """Give for each simplex its place, and in rows its values, sums of θ and moves of θ."""
        for simplex in self.simplices:
            place, shape = simplex.place, (-1, simplex.width)
            sums = theta[place].reshape(shape).sum(axis=1, keepdims=True)
            rows = values[place].reshape(shape), direction[place].reshape(shape)
            yield place, rows[0], np.where(sums > 0, sums, 1.0), rows[1]

    def _log_bounds(self) -> tuple[Floats, Floats]:
        origin = np.log(self.origin)  # a quotient of extremes would overflow
        return np.log(self.lower) - origin, np.log(self.upper) - origin

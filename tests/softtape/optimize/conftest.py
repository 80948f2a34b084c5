"""The problems and the recording objective that the optimizer tests share."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Residuals = Callable[[NDArray], NDArray]


def hessian_product(objective, theta: Floats, direction: Floats) -> Floats:
    """By the central difference of the gradient; what is recorded is θ alone."""
    objective.asked.append(theta.copy())
    before, step = len(objective.asked), 1e-5 * direction
    ahead = objective.value_and_gradient(theta + step)[1]
    behind = objective.value_and_gradient(theta - step)[1]
    del objective.asked[before:]
    return (ahead - behind) / 2e-5


@dataclass
class SumOfSquares:
    """The sum of r(θ)² with derivatives by complex steps; records every θ it is asked for."""

    residuals: Residuals
    has_residuals: bool = True
    asked: list[Floats] = field(default_factory=list)

    def value(self, theta: Floats) -> float:
        self.asked.append(theta.copy())
        with np.errstate(all="ignore"):
            return float(np.sum(self.residuals(theta) ** 2))

    def residuals_and_jacobian(self, theta: Floats) -> tuple[Floats, Floats]:
        self.asked.append(theta.copy())
        with np.errstate(all="ignore"):
            columns = []
            for i in range(theta.size):
                step = 1e-30 * max(abs(theta[i]), 1e-10)
                moved = theta.astype(complex)
                moved[i] += 1j * step
                columns.append(np.imag(self.residuals(moved)) / step)
            return np.asarray(self.residuals(theta), dtype=float), np.column_stack(columns)

    def value_and_gradient(self, theta: Floats) -> tuple[float, Floats]:
        residuals, jacobian = self.residuals_and_jacobian(theta)
        with np.errstate(all="ignore"):
            return float(np.sum(residuals**2)), 2 * jacobian.T @ residuals

    hessian_product = hessian_product


@dataclass
class Smooth:
    """A loss given with its gradient; no residuals are known."""

    function: Callable[[Floats], float]
    gradient: Callable[[Floats], Floats]
    has_residuals: bool = False
    asked: list[Floats] = field(default_factory=list)

    def value(self, theta: Floats) -> float:
        self.asked.append(theta.copy())
        with np.errstate(all="ignore"):
            return float(self.function(theta))

    def value_and_gradient(self, theta: Floats) -> tuple[float, Floats]:
        with np.errstate(all="ignore"):
            return self.value(theta), np.asarray(self.gradient(theta), dtype=float)

    def residuals_and_jacobian(self, theta: Floats) -> tuple[Floats, Floats]:
        raise NotImplementedError

    hessian_product = hessian_product


def _rosenbrock(b: NDArray) -> NDArray:
    return np.stack([10 * (b[1] - b[0] ** 2), 1 - b[0]])


def _powell(b: NDArray) -> NDArray:
    return np.stack([1e4 * b[0] * b[1] - 1, np.exp(-b[0]) + np.exp(-b[1]) - 1.0001])


@pytest.fixture(scope="session")
def squares() -> type[SumOfSquares]:
    return SumOfSquares


@pytest.fixture(scope="session")
def smooth() -> type[Smooth]:
    return Smooth


@pytest.fixture
def rosenbrock() -> SumOfSquares:
    """Minimum 0 at (1, 1)."""
    return SumOfSquares(_rosenbrock)


@pytest.fixture
def powell() -> SumOfSquares:
    """Powell's badly scaled function: minimum 0 at about (1.098e-5, 9.106)."""
    return SumOfSquares(_powell)

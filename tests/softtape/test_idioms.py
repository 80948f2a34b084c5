"""Programs in the commonest idioms of numerical code run unchanged under tracing.

Each of them takes three parameters and the data of a case. The plain run is what it has to
compute; the gradient is compared with difference quotients, and a whole objective over cases,
where the parameters moved and guards are asked again, with both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from softtape import value_and_grad
from softtape.objective import Layout, Objective, Term
from softtape.patches import following
from softtape.tape import Tape

CASES = [np.array([0.23, 0.91, 0.42, 0.74]), np.array([0.5, 0.3, 0.8, 0.1]), np.full(4, 0.6)]
START = np.array([0.7, 0.4, 0.3])
MOVED = np.array([0.9, 0.25, -0.2])


def euler_loop(p: Any, x: Any) -> Any:
    path = np.empty((11, 2))
    path[0] = x[:2]
    for i in range(10):
        place, speed = path[i]
        path[i + 1, 0] = place + 0.1 * speed
        path[i + 1, 1] = speed - 0.1 * (p[0] * place + p[1] * speed)
    return np.sum(path[:, 0] ** 2) + path[-1, 1]


def runge_kutta(p: Any, x: Any) -> Any:
    def slope(t: float, y: Any) -> Any:
        return np.array([y[1], -p[0] * np.sin(y[0]) - p[1] * y[1] + p[2] * math.cos(t)])

    h, times = 0.1, np.linspace(0.0, 1.0, 11)
    y = np.zeros((len(times), 2))
    y[0] = x[:2]
    for i, t in enumerate(times[:-1]):
        k1 = slope(t, y[i])
        k2 = slope(t + h / 2, y[i] + h / 2 * k1)
        k3 = slope(t + h / 2, y[i] + h / 2 * k2)
        k4 = slope(t + h, y[i] + h * k3)
        y[i + 1] = y[i] + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return np.mean(y**2)


def heat_stencil(p: Any, x: Any) -> Any:
    u = np.zeros(8)
    u[2:6] = x
    u[0], u[-1] = p[1], p[2]
    for _ in range(4):
        u[1:-1] += 0.3 * p[0] * (u[2:] - 2 * u[1:-1] + u[:-2])
    return np.sum(u**2)


def tridiagonal_solver(p: Any, x: Any) -> Any:
    n = len(x)
    lower, diagonal, upper = np.full(n, -1.0), (2.5 + p[0]) * np.ones(n), np.full(n, -p[1])
    right = x * p[2]
    for i in range(1, n):
        w = lower[i] / diagonal[i - 1]
        diagonal[i] -= w * upper[i - 1]
        right[i] -= w * right[i - 1]
    solved = np.zeros(n)
    solved[-1] = right[-1] / diagonal[-1]
    for i in range(n - 2, -1, -1):
        solved[i] = (right[i] - upper[i] * solved[i + 1]) / diagonal[i]
    return np.sum((solved - x) ** 2)


def gauss_seidel(p: Any, x: Any) -> Any:
    u = np.zeros(6)
    u[0], u[-1] = p[0], p[1]
    for _ in range(50):
        old = u.copy()
        for i in range(1, 5):
            u[i] = 0.5 * (u[i - 1] + u[i + 1] - 0.1 * p[2] * x[i - 1])
        if np.max(np.abs(u - old)) < 1e-2:
            break
    return np.sum(u**2)


def red_black(p: Any, x: Any) -> Any:
    u = np.zeros((4, 4))
    u[0], u[:, -1] = p[0], p[1] * x
    i, j = np.indices(u.shape)
    inner = (i > 0) & (i < 3) & (j > 0) & (j < 3)
    for color in (0, 1, 0):
        mean = np.zeros_like(u)
        mean[1:-1, 1:-1] = (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]) / 4
        now = inner & ((i + j) % 2 == color)
        u[now] = mean[now] + p[2]
    return np.sum(u**2)


def elimination(p: Any, x: Any) -> Any:
    a = np.outer(x[:3], p) + 2 * np.eye(3)
    b = x[1:].copy() * p[0]
    for k in range(3):
        for i in range(k + 1, 3):
            factor = a[i, k] / a[k, k]
            a[i, k:] -= factor * a[k, k:]
            b[i] -= factor * b[k]
    solved = np.zeros(3)
    for i in reversed(range(3)):
        solved[i] = (b[i] - a[i, i + 1 :] @ solved[i + 1 :]) / a[i, i]
    return np.sum(solved**2)


def gram_schmidt(p: Any, x: Any) -> Any:
    q = np.stack([p, x[:3], np.array([1.0, 0.5, 2.0])], axis=1)
    for k in range(3):
        for j in range(k):
            q[:, k] -= (q[:, j] @ q[:, k]) * q[:, j]
        q[:, k] /= np.linalg.norm(q[:, k])
    return np.sum(q * np.arange(9.0).reshape(3, 3))


def matrix_solve(p: Any, x: Any) -> Any:
    a = np.diag(x) + p[0] * np.ones((4, 4)) + np.eye(4)
    a[0, 1] += p[1]
    return np.sum(np.linalg.solve(a, x * p[2]) ** 2)


def fft_filter(p: Any, x: Any) -> Any:
    spectrum = np.fft.rfft(np.concatenate([x, p[2] * x[::-1]]))
    spectrum[3:] *= p[0]
    spectrum[1] -= 1j * p[1]
    return np.sum(np.fft.irfft(spectrum) ** 2)


def interpolation_table(p: Any, x: Any) -> Any:
    knots = np.linspace(0.0, 1.0, 5)
    table = np.zeros(5)
    for k in range(1, 5):
        table[k] = table[k - 1] + p[k % 3] ** 2
    return np.sum(np.interp(x, knots, table) ** 2)


def masks(p: Any, x: Any) -> Any:
    y = x * p[0] - p[1]
    y[y < 0] *= 0.1
    y[x > 0.5] += p[2]
    return np.sum(np.where(y > 0.3, y**2, y))


def cumulative_sums(p: Any, x: Any) -> Any:
    prices = np.cumprod(1.0 + 0.1 * p[0] * x)
    total = np.cumsum(prices * p[1])
    total[1:] -= total[:-1] * p[2]
    return np.sum(total**2)


def running_statistics(p: Any, x: Any) -> Any:
    mean, spread = np.zeros(2), np.zeros(2)
    for n, value in enumerate(x, start=1):
        sample = np.array([value * p[0], value**2 + p[1]])
        step = sample - mean
        mean += step / n
        spread += step * (sample - mean)
    return np.sum(mean) + np.sum(np.sqrt(spread / len(x) + p[2] ** 2))


def smoothing(p: Any, x: Any) -> Any:
    smooth = np.empty_like(x)
    smooth[0] = x[0]
    share = 1 / (1 + np.exp(-p[0]))
    for i in range(1, len(x)):
        smooth[i] = share * x[i] + (1 - share) * smooth[i - 1]
    kernel = np.array([p[1], 1.0, p[2]])
    return np.sum(np.convolve(smooth, kernel / kernel.sum(), mode="same") ** 2)


def polynomial_fit(p: Any, x: Any) -> Any:
    design = np.vander(np.linspace(0.0, 1.0, 4), 3)
    y = x + p[0] * np.arange(4.0)
    y[1] *= p[1]
    coefficients = np.linalg.solve(design.T @ design, design.T @ y)
    return np.polyval(coefficients, p[2]) ** 2


def distances(p: Any, x: Any) -> Any:
    points = np.zeros((4, 2))
    points[:, 0] = x * p[0]
    points[1:, 1] = p
    d = np.sqrt(np.sum((points[:, None] - points[None, :]) ** 2, axis=-1) + 0.01)
    np.fill_diagonal(d, p[1])
    return np.sum(np.exp(-d))


def softmax(p: Any, x: Any) -> Any:
    z = np.outer(x, p)
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
    return -np.mean(np.log(z[:, 1]))


def kalman_filter(p: Any, x: Any) -> Any:
    state, covariance = np.zeros(2), np.eye(2)
    step, seen = np.array([[1.0, 0.1], [-p[0], 1.0]]), np.array([1.0, 0.0])
    loss = 0.0
    for value in x:
        state = step @ state
        covariance = step @ covariance @ step.T + p[1] ** 2 * np.eye(2)
        variance = seen @ covariance @ seen + p[2] ** 2
        gain = covariance @ seen / variance
        error = value - state[0]
        state += gain * error
        covariance -= np.outer(gain, gain) * variance
        loss += error**2 / variance + np.log(variance)
    return loss


def horner(p: Any, x: Any) -> Any:
    total = np.zeros_like(x)
    for c in (*p, 1.0):
        total *= x
        total += c
    return np.sum(total**2)


def accumulation_at(p: Any, x: Any) -> Any:
    bins = np.zeros(3)
    np.add.at(bins, [0, 2, 2, 1], x * p[0])
    np.maximum(bins, p[1], out=bins)
    return np.sum(bins**2) * p[2]


def views_and_names(p: Any, x: Any) -> Any:
    grid = np.zeros((2, 4))
    first, flat, turned = grid[0], grid.ravel(), grid.T
    first[:] = x * p[0]
    flat[5] = p[1]
    turned[2] += p[2]
    grid *= grid
    return np.sum(first) + flat[5] * turned[2, 1]


def collected_in_lists(p: Any, x: Any) -> Any:
    state = {"level": p[0], "trend": p[1]}
    seen: list[Any] = []
    for value in x:
        if value > state["level"]:
            state["trend"] = state["trend"] + p[2] * (value - state["level"])
        state["level"] = state["level"] + state["trend"] * 0.5
        seen.append(state["level"])
    array = np.array(seen)
    array[::2] -= x[::2]
    return array @ array + max(seen) - min(seen) + sorted(seen)[1]


def newton(p: Any, x: Any) -> Any:
    y = np.ones(2)
    for _ in range(30):
        residual = np.array([y[0] ** 2 + y[1] - 2 - x[0] * p[0], y[0] * y[1] - 1 + p[1]])
        if np.linalg.norm(residual) < 1e-12:
            break
        jacobian = np.empty((2, 2))
        jacobian[0], jacobian[1] = [2 * y[0], 1.0], [y[1], y[0]]
        y -= np.linalg.solve(jacobian, residual)
    return y @ y * p[2]


def dynamic_programming(p: Any, x: Any) -> Any:
    cost = np.full((3, 4), np.inf)
    cost[0, 0] = 0.0
    for i in range(3):
        for j in range(4):
            here = p[i] * x[j]
            if i or j:
                before = [cost[a, b] for a, b in ((i - 1, j), (i, j - 1)) if min(a, b) >= 0]
                cost[i, j] = here + min(before)
    return cost[-1, -1]


PROGRAMS: list[Callable[[Any, Any], Any]] = [
    euler_loop,
    runge_kutta,
    heat_stencil,
    tridiagonal_solver,
    gauss_seidel,
    red_black,
    elimination,
    gram_schmidt,
    matrix_solve,
    fft_filter,
    interpolation_table,
    masks,
    cumulative_sums,
    running_statistics,
    smoothing,
    polynomial_fit,
    distances,
    softmax,
    kalman_filter,
    horner,
    accumulation_at,
    views_and_names,
    collected_in_lists,
    newton,
    dynamic_programming,
]


def quotients(program: Callable[..., Any], x: Any) -> Any:
    h = 1e-6
    steps = h * np.eye(3)
    return np.array([(program(START + s, x) - program(START - s, x)) / (2 * h) for s in steps])


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_value_and_gradient(program: Callable[..., Any]) -> None:
    x = CASES[0]
    value, gradient = value_and_grad(lambda p: program(p, x))(START)
    assert value == pytest.approx(program(START, x), rel=1e-14)
    np.testing.assert_allclose(gradient, quotients(program, x), rtol=2e-7, atol=1e-8)


def term(program: Callable[..., Any], x: Any) -> Term:
    def trace(values: Any) -> Any:
        with following(), Tape() as tape:
            return tape.graph([program(tape.input("p", values["p"]), x)])

    return Term(program.__name__, trace({"p": START}), trace)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_objective_over_cases(program: Callable[..., Any]) -> None:
    problem = Objective([term(program, x) for x in CASES], Layout({"p": (3,)}))
    for theta in (START, MOVED, START):
        value, gradient = problem.value_and_gradient(theta)
        assert value == pytest.approx(sum(program(theta, x) for x in CASES), rel=1e-12)
        each = [value_and_grad(lambda p, x=x: program(p, x))(theta)[1] for x in CASES]
        np.testing.assert_allclose(gradient, np.sum(each, axis=0), rtol=1e-9, atol=1e-11)

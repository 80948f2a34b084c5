"""The test functions of Moré, Garbow and Hillstrom, fitted from their standard starts.

J. J. Moré, B. S. Garbow and K. E. Hillstrom, Testing Unconstrained Optimization Software, ACM
Transactions on Mathematical Software 7 (1981) 17-41: numbers, definitions, starts and minima of
the sums of squares are theirs. Nothing is tuned per problem: the optimizer is what ``auto`` takes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from softtape.objective import Layout, Objective, Term
from softtape.optimize import Bounds, choose, minimize
from softtape.tape import Tape


@dataclass(frozen=True)
class Problem:
    """Residuals of a list of scalars, the standard start, and the sums of squares of its minima."""

    residuals: Callable[[Sequence[Any]], list[Any]]
    start: tuple[float, ...]
    minima: tuple[float, ...]


def rosenbrock(x):
    parts = []
    for a, b in zip(x[::2], x[1::2], strict=True):
        parts += [10 * (b - a**2), 1 - a]
    return parts


def freudenstein_roth(x):
    a, b = x
    return [-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b]


def powell_badly_scaled(x):
    return [1e4 * x[0] * x[1] - 1, np.exp(-x[0]) + np.exp(-x[1]) - 1.0001]


def brown_badly_scaled(x):
    return [x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2]


def beale(x):
    return [y - x[0] * (1 - x[1] ** i) for i, y in enumerate((1.5, 2.25, 2.625), 1)]


def jennrich_sampson(x):
    return [2 + 2 * i - (np.exp(i * x[0]) + np.exp(i * x[1])) for i in range(1, 11)]


def helical_valley(x):
    turns = np.arctan2(x[1], x[0]) / (2 * np.pi)
    if turns < -0.25:  # the branch cut lies at x₁ = 0 > x₂, not at x₂ = 0 > x₁
        turns = turns + 1
    return [10 * (x[2] - 10 * turns), 10 * (np.sqrt(x[0] ** 2 + x[1] ** 2) - 1), x[2]]


BARD = (0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39)


def bard(x):
    parts = []
    for u, y in enumerate(BARD, 1):
        v = 16 - u
        parts.append(y - (x[0] + u / (v * x[1] + min(u, v) * x[2])))
    return parts


HALF_BELL = (0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521)


def gaussian(x):
    bell = (*HALF_BELL, 0.3989, *reversed(HALF_BELL))
    return [x[0] * np.exp(-x[1] * ((8 - i) / 2 - x[2]) ** 2 / 2) - y for i, y in enumerate(bell, 1)]


RESISTANCES = (
    *(34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744),
    *(8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872),
)


def meyer(x):
    return [x[0] * np.exp(x[1] / (45 + 5 * i + x[2])) - y for i, y in enumerate(RESISTANCES, 1)]


def gulf(x):
    parts = []
    for i in range(1, 100):
        y = 25 + (-50 * np.log(i / 100)) ** (2 / 3)
        parts.append(np.exp(-(np.abs(y - x[1]) ** x[2]) / x[0]) - i / 100)
    return parts


def box_three_dimensional(x):
    times = [i / 10 for i in range(1, 11)]
    return [
        np.exp(-t * x[0]) - np.exp(-t * x[1]) - x[2] * (np.exp(-t) - np.exp(-10 * t)) for t in times
    ]


def powell_singular(x):
    parts = []
    for i in range(0, len(x), 4):
        a, b, c, d = x[i : i + 4]
        parts += [a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2]
    return parts


def wood(x):
    a, b, c, d = x
    return [
        *(10 * (b - a**2), 1 - a, 90**0.5 * (d - c**2), 1 - c),
        *(10**0.5 * (b + d - 2), (b - d) / 10**0.5),
    ]


ENZYME = (0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246)
DOSES = (4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625)


def kowalik_osborne(x):
    return [
        y - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])
        for u, y in zip(DOSES, ENZYME, strict=True)
    ]


def brown_dennis(x):
    parts = []
    for i in range(1, 21):
        t = i / 5
        line, wave = x[0] + t * x[1] - np.exp(t), x[2] + x[3] * np.sin(t) - np.cos(t)
        parts.append(line**2 + wave**2)
    return parts


DECAYS = (
    *(0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751),
    *(0.718, 0.685, 0.658, 0.628, 0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490),
    *(0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411, 0.406),
)


def osborne_1(x):
    return [
        y - (x[0] + x[1] * np.exp(-10 * i * x[3]) + x[2] * np.exp(-10 * i * x[4]))
        for i, y in enumerate(DECAYS)
    ]


def biggs(x):
    parts = []
    for i in range(1, 14):
        t = i / 10
        y = np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)
        fast = x[2] * np.exp(-t * x[0]) - x[3] * np.exp(-t * x[1])
        parts.append(fast + x[5] * np.exp(-t * x[4]) - y)
    return parts


PEAKS = (
    *(1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608),
    *(0.655, 0.616, 0.606, 0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661),
    *(0.612, 0.558, 0.533, 0.495, 0.500, 0.423, 0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428),
    *(0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668, 0.645, 0.632, 0.591, 0.559),
    *(0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098, 0.054),
)


def osborne_2(x):
    parts = []
    for i, y in enumerate(PEAKS):
        t = i / 10
        model = x[0] * np.exp(-t * x[4])
        for k in (1, 2, 3):
            model = model + x[k] * np.exp(-((t - x[k + 7]) ** 2) * x[k + 4])
        parts.append(y - model)
    return parts


def watson(x):
    parts = []
    for i in range(1, 30):
        t = i / 29
        slope = sum(j * c * t ** (j - 1) for j, c in enumerate(x) if j)
        value = sum(c * t**j for j, c in enumerate(x))
        parts.append(slope - value**2 - 1)
    return [*parts, x[0], x[1] - x[0] ** 2 - 1]


def penalty_1(x):
    return [*(1e-5**0.5 * (c - 1) for c in x), sum(c**2 for c in x) - 0.25]


def penalty_2(x):
    n, root = len(x), 1e-5**0.5
    parts = [x[0] - 0.2]
    for i in range(2, n + 1):
        y = np.exp(i / 10) + np.exp((i - 1) / 10)
        parts.append(root * (np.exp(x[i - 1] / 10) + np.exp(x[i - 2] / 10) - y))
    parts += [root * (np.exp(c / 10) - np.exp(-1 / 10)) for c in x[1:]]
    return [*parts, sum((n - j) * c**2 for j, c in enumerate(x)) - 1]


def variably_dimensioned(x):
    total = sum(j * (c - 1) for j, c in enumerate(x, 1))
    return [*(c - 1 for c in x), total, total**2]


def trigonometric(x):
    total = len(x) - sum(np.cos(c) for c in x)
    return [total + i * (1 - np.cos(c)) - np.sin(c) for i, c in enumerate(x, 1)]


def brown_almost_linear(x):
    total, product = sum(x), 1.0
    for c in x:
        product = product * c
    return [*(c + total - (len(x) + 1) for c in x[:-1]), product - 1]


def _cubes(x):
    h = 1 / (len(x) + 1)
    times = [h * i for i in range(1, len(x) + 1)]
    return h, times, [(c + t + 1) ** 3 for c, t in zip(x, times, strict=True)]


def discrete_boundary_value(x):
    h, _, cubes = _cubes(x)
    padded = [0.0, *x, 0.0]
    return [
        2 * padded[i] - padded[i - 1] - padded[i + 1] + h**2 * cubes[i - 1] / 2
        for i in range(1, len(x) + 1)
    ]


def discrete_integral(x):
    h, times, cubes = _cubes(x)
    parts = []
    for i, t in enumerate(times):
        left = sum(s * c for s, c in zip(times[: i + 1], cubes[: i + 1], strict=True))
        right = sum((1 - s) * c for s, c in zip(times[i + 1 :], cubes[i + 1 :], strict=True))
        parts.append(x[i] + h * ((1 - t) * left + t * right) / 2)
    return parts


def broyden_tridiagonal(x):
    padded = [0.0, *x, 0.0]
    return [
        (3 - 2 * padded[i]) * padded[i] - padded[i - 1] - 2 * padded[i + 1] + 1
        for i in range(1, len(x) + 1)
    ]


def broyden_banded(x):
    parts = []
    for i, c in enumerate(x):
        near = [x[j] for j in range(max(0, i - 5), min(len(x), i + 2)) if j != i]
        parts.append(c * (2 + 5 * c**2) + 1 - sum(b * (1 + b) for b in near))
    return parts


def linear_full_rank(x):
    m = 20
    total = 2 / m * sum(x)
    return [*(c - total - 1 for c in x), *(-total - 1 for _ in range(m - len(x)))]


def linear_rank_1(x):
    total = sum(j * c for j, c in enumerate(x, 1))
    return [i * total - 1 for i in range(1, 21)]


def linear_rank_1_with_zeros(x):
    total = sum(j * c for j, c in enumerate(x, 1) if 1 < j < len(x))
    return [-1.0, *((i - 1) * total - 1 for i in range(2, 20)), -1.0]


def chebyquad(x):
    n = len(x)
    sums = [0.0] * n
    for c in x:
        before, now = 1.0, 2 * c - 1
        for i in range(n):
            sums[i] = sums[i] + now
            before, now = now, 2 * (2 * c - 1) * now - before
    return [s / n - (0 if i % 2 else -1 / (i**2 - 1)) for i, s in enumerate(sums, 1)]


def _even(n):
    return tuple(i / (n + 1) * (i / (n + 1) - 1) for i in range(1, n + 1))


PROBLEMS = {
    "1 Rosenbrock": Problem(rosenbrock, (-1.2, 1.0), (0.0,)),
    "2 Freudenstein and Roth": Problem(freudenstein_roth, (0.5, -2.0), (0.0, 48.9842)),
    "3 Powell badly scaled": Problem(powell_badly_scaled, (0.0, 1.0), (0.0,)),
    "4 Brown badly scaled": Problem(brown_badly_scaled, (1.0, 1.0), (0.0,)),
    "5 Beale": Problem(beale, (1.0, 1.0), (0.0,)),
    "6 Jennrich and Sampson": Problem(jennrich_sampson, (0.3, 0.4), (124.362,)),
    "7 helical valley": Problem(helical_valley, (-1.0, 0.0, 0.0), (0.0,)),
    "8 Bard": Problem(bard, (1.0, 1.0, 1.0), (8.21487e-3, 17.4286)),
    "9 Gaussian": Problem(gaussian, (0.4, 1.0, 0.0), (1.12793e-8,)),
    "10 Meyer": Problem(meyer, (0.02, 4000.0, 250.0), (87.9458,)),
    "11 Gulf research": Problem(gulf, (5.0, 2.5, 0.15), (0.0,)),
    "12 Box, three-dimensional": Problem(box_three_dimensional, (0.0, 10.0, 20.0), (0.0,)),
    "13 Powell singular": Problem(powell_singular, (3.0, -1.0, 0.0, 1.0), (0.0,)),
    "14 Wood": Problem(wood, (-3.0, -1.0, -3.0, -1.0), (0.0,)),
    "15 Kowalik and Osborne": Problem(
        kowalik_osborne, (0.25, 0.39, 0.415, 0.39), (3.07505e-4, 1.02734e-3)
    ),
    "16 Brown and Dennis": Problem(brown_dennis, (25.0, 5.0, -5.0, -1.0), (85822.2,)),
    "17 Osborne 1": Problem(osborne_1, (0.5, 1.5, -1.0, 0.01, 0.02), (5.46489e-5,)),
    "18 Biggs EXP6": Problem(biggs, (1.0, 2.0, 1.0, 1.0, 1.0, 1.0), (0.0, 5.65565e-3)),
    "19 Osborne 2": Problem(
        osborne_2, (1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5), (4.01377e-2,)
    ),
    "20 Watson, 6": Problem(watson, (0.0,) * 6, (2.28767e-3,)),
    "20 Watson, 9": Problem(watson, (0.0,) * 9, (1.39976e-6,)),
    "20 Watson, 12": Problem(watson, (0.0,) * 12, (4.72238e-10,)),
    "21 extended Rosenbrock": Problem(rosenbrock, (-1.2, 1.0) * 5, (0.0,)),
    "22 extended Powell singular": Problem(powell_singular, (3.0, -1.0, 0.0, 1.0) * 3, (0.0,)),
    "23 penalty I, 4": Problem(penalty_1, (1.0, 2.0, 3.0, 4.0), (2.24997e-5,)),
    "23 penalty I, 10": Problem(penalty_1, tuple(map(float, range(1, 11))), (7.08765e-5,)),
    "24 penalty II, 4": Problem(penalty_2, (0.5,) * 4, (9.37629e-6,)),
    "24 penalty II, 10": Problem(penalty_2, (0.5,) * 10, (2.93660e-4,)),
    "25 variably dimensioned": Problem(
        variably_dimensioned, tuple(1 - i / 10 for i in range(1, 11)), (0.0,)
    ),
    "26 trigonometric": Problem(trigonometric, (0.1,) * 10, (0.0, 2.79506e-5)),
    "27 Brown almost-linear": Problem(brown_almost_linear, (0.5,) * 10, (0.0, 1.0)),
    "28 discrete boundary value": Problem(discrete_boundary_value, _even(10), (0.0,)),
    "29 discrete integral": Problem(discrete_integral, _even(10), (0.0,)),
    "30 Broyden tridiagonal": Problem(broyden_tridiagonal, (-1.0,) * 10, (0.0,)),
    "31 Broyden banded": Problem(broyden_banded, (-1.0,) * 10, (0.0,)),
    "32 linear, full rank": Problem(linear_full_rank, (1.0,) * 10, (10.0,)),
    "33 linear, rank 1": Problem(linear_rank_1, (1.0,) * 10, (20 * 19 / (2 * 41),)),
    "34 linear, rank 1 with zeros": Problem(
        linear_rank_1_with_zeros, (1.0,) * 10, ((20**2 + 3 * 20 - 6) / (2 * 37),)
    ),
    "35 Chebyquad, 8": Problem(chebyquad, tuple(i / 9 for i in range(1, 9)), (3.51687e-3,)),
    "35 Chebyquad, 9": Problem(chebyquad, tuple(i / 10 for i in range(1, 10)), (0.0,)),
    "35 Chebyquad, 10": Problem(
        chebyquad, tuple(i / 11 for i in range(1, 11)), (6.50395e-3, 4.77271e-3)
    ),
}


def fit(problem):
    keys = [f"x{i + 1:02}" for i in range(len(problem.start))]

    def trace(values):
        with Tape() as tape:
            blanks = [tape.input(key, float(values[key])) for key in keys]
            return tape.graph([sum(r * r for r in problem.residuals(blanks))])

    layout = Layout(dict.fromkeys(keys, ()))
    start = np.array(problem.start)
    graph = trace(dict(zip(keys, start, strict=True)))
    objective = Objective([Term("sum", graph, trace)], layout)
    assert objective.has_residuals
    optimizer, _ = choose("auto", n_params=len(keys), has_residuals=True)
    with np.errstate(all="ignore"):
        return minimize(objective, start, optimizer=optimizer, bounds=Bounds.unbounded(len(keys)))


@pytest.mark.parametrize("name", PROBLEMS)
def test_it_reaches_the_published_minimum(name):
    problem = PROBLEMS[name]
    result = fit(problem)
    reached = [
        result.value <= 1e-16 if minimum == 0 else result.value == pytest.approx(minimum, rel=1e-5)
        for minimum in problem.minima
    ]
    assert any(reached), f"{result.value} after {result.evaluations}, {result.status.sentence}"

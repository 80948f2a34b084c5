"""Lotka–Volterra by hand-written Runge–Kutta: 1000 steps, plain Python scalars, 6 parameters.

The limit is the plain Python run of the program, value alone. With the extra ``fast`` the tape of
some 60,000 operations is run by a compiled interpreter, without it by numpy. The last lines are a
whole least squares fit from a start 3 % off, with tracing and compiling, beside scipy's
``least_squares`` on plain floats with finite differences, where scipy is installed.

    python benchmarks/ode_loop.py [--engine numpy numba]
"""

import argparse
import importlib.util
import statistics

from common import machine, np, seconds, timed

from softtape.engines import fast
from softtape.objective import Layout, Objective, Term
from softtape.optimize import Bounds, choose, minimize
from softtape.tape import Tape

STEPS, OBSERVED, END = 1000, 50, 20.0
TRUE = {"a": 1.1, "b": 0.4, "d": 0.1, "g": 0.4, "x": 10.0, "y": 5.0}
START = {k: v * f for (k, v), f in zip(TRUE.items(), [1.03, 0.97] * 3, strict=True)}


def program(a, b, d, g, x, y):
    """The states at 50 times."""
    h, seen = END / STEPS, []
    for n in range(STEPS):
        k1x, k1y = x * (a - b * y), y * (d * x - g)
        u, v = x + h / 2 * k1x, y + h / 2 * k1y
        k2x, k2y = u * (a - b * v), v * (d * u - g)
        u, v = x + h / 2 * k2x, y + h / 2 * k2y
        k3x, k3y = u * (a - b * v), v * (d * u - g)
        u, v = x + h * k3x, y + h * k3y
        k4x, k4y = u * (a - b * v), v * (d * u - g)
        x = x + h / 6 * (k1x + 2 * k2x + 2 * k3x + k4x)
        y = y + h / 6 * (k1y + 2 * k2y + 2 * k3y + k4y)
        if (n + 1) % (STEPS // OBSERVED) == 0:
            seen += [x, y]
    return seen


DATA = program(**TRUE)


def loss(**params):
    total = 0.0
    for state, observed in zip(program(**params), DATA, strict=True):
        total = total + (state - observed) ** 2
    return total


def trace(values):
    with Tape() as tape:
        return tape.graph([loss(**{key: tape.input(key, values[key]) for key in TRUE})])


def build(engine):
    layout = Layout(dict.fromkeys(TRUE, ()))
    return Objective([Term("orbit", trace(START), trace)], layout, engine), layout.pack(START)


def fit(engine):
    problem, theta = build(engine)
    optimizer, _ = choose("auto", n_params=len(TRUE), has_residuals=problem.has_residuals)
    bounds = Bounds.unbounded(theta.size)
    result = minimize(problem, theta, optimizer=optimizer, bounds=bounds, threshold=1e-12)
    assert result.value <= 1e-12
    return result


def median(function, repeats=15):
    return statistics.median(timed(function)[0] for _ in range(repeats))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    engines = ["numpy", "numba"] if fast.available() else ["numpy"]
    parser.add_argument("--engine", nargs="*", default=engines)
    engines = parser.parse_args().engine
    plain = median(lambda: loss(**START))
    print(machine())
    tracing = median(lambda: trace(START), 5)
    print(f"plain Python, value alone: {seconds(plain)}; tracing: {seconds(tracing)}")
    for engine in engines:
        problem, theta = build(engine)
        first = timed(lambda p=problem, t=theta: p.value_and_gradient(t))[0]
        steady = median(lambda p=problem, t=theta: p.value_and_gradient(t))
        problem.residuals_and_jacobian(theta)
        rows = median(lambda p=problem, t=theta: p.residuals_and_jacobian(t))
        print(
            f"{engine:6} first call {seconds(first):>8}, value and gradient {seconds(steady):>8} "
            f"({steady / plain:.2f} x plain), Jacobian {seconds(rows):>8}"
        )
        times = [timed(lambda e=engine: fit(e)) for _ in range(3)]
        shown = seconds(min(t for t, _ in times))
        print(f"{'':6} trace, compile and fit: {shown}, {times[0][1].evaluations} evaluations")
    if importlib.util.find_spec("scipy"):
        from scipy.optimize import least_squares  # noqa: PLC0415 -- a peer, if there is one

        names, x0 = list(TRUE), np.array(list(START.values()))

        def residuals(t):
            return np.subtract(program(**dict(zip(names, t.tolist(), strict=True))), DATA)

        took = median(lambda: least_squares(residuals, x0, method="trf", x_scale="jac"), 5)
        print(f"scipy least_squares (trf) on plain floats, fit alone: {seconds(took)}")


if __name__ == "__main__":
    main()

"""Lotka–Volterra by hand-written Runge–Kutta: 1000 steps, plain Python scalars, 6 parameters.

The limit is the plain Python run of the program, value alone. With the extra ``fast`` the tape of
some 60,000 operations is run by a compiled interpreter, without it by numpy. Fits are least
squares from a start 3 % off. With ``--peers`` what else one could use, as far as it is installed.
On one thread: ``taskset -c 0 python …``.

    python benchmarks/ode_loop.py [--engine numpy numba] [--peers]
"""

import argparse
import statistics

from common import Built, Candidate, fitted, installed, machine, measure, np, seconds, table, timed
from peers import orbit as peers

from softtape.engines import fast
from softtape.objective import Layout, Objective, Term
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


def softtape(engine):
    graph = trace(START)
    problem = Objective([Term("orbit", graph, trace)], Layout(dict.fromkeys(TRUE, ())), engine)
    return Built(problem.value_and_gradient, lambda start: fitted(problem, start, 1e-12))


def plain():
    return Built(lambda theta: (loss(**dict(zip(TRUE, theta.tolist(), strict=True))), None))


def median(function, repeats=9):
    return statistics.median(timed(function)[0] for _ in range(repeats))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    engines = ["numpy", "numba"] if fast.available() else ["numpy"]
    parser.add_argument("--engine", nargs="*", default=engines)
    parser.add_argument("--peers", action="store_true")
    arguments = parser.parse_args()
    print(machine())
    candidates = [Candidate("plain Python, value alone", "ode_loop:plain")]
    candidates += [
        Candidate(f"softtape, {engine}", "ode_loop:softtape", (engine,), (engine,))
        for engine in arguments.engine
    ]
    candidates += installed(peers()) if arguments.peers else []
    theta, solution = np.array([*START.values()]), np.array([*TRUE.values()])
    rows = measure(candidates, theta, solution=solution, gtol=1e-5, limit=30.0)
    table(rows, f"{STEPS} steps")
    recording = median(lambda: trace(START)) / median(lambda: loss(**START))
    print(f"recording takes {recording:.3g} x the plain run")
    for engine in arguments.engine:
        problem = softtape(engine).function.__self__
        problem.residuals_and_jacobian(theta)
        took = median(lambda p=problem: p.residuals_and_jacobian(theta))
        print(f"{engine}: residuals and Jacobian {seconds(took)}")


if __name__ == "__main__":
    main()

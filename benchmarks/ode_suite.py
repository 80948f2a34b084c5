"""A suite of 50 orbits: the program of ode_loop.py, each case with data and a start of its own.

Each case is a tape of some 60,000 operations. The compiled interpreter runs eight of them at a
time, instruction by instruction; the figure to beat is its own cost for a single case. numpy's
engine is left out unless asked for: it spends minutes making its program.

    python benchmarks/ode_suite.py [--cases 50] [--engine numba numpy]
"""

import argparse
import resource
import statistics

import ode_loop
from common import machine, np, seconds, timed

from softtape.objective import Layout, Objective, Term
from softtape.tape import Tape

PARAMS = ("a", "b", "d", "g")
START = {key: ode_loop.START[key] for key in PARAMS}


def orbit(x, y):
    """The test of one orbit that starts at (x, y)."""
    data = ode_loop.program(**{key: ode_loop.TRUE[key] for key in PARAMS}, x=x, y=y)

    def trace(values):
        with Tape() as tape:
            given = {key: tape.input(key, values[key]) for key in PARAMS}
            total = 0.0
            for state, observed in zip(ode_loop.program(**given, x=x, y=y), data, strict=True):
                total = total + (state - observed) ** 2
            return tape.graph([total])

    return trace


def build(cases, engine):
    starts = np.random.default_rng(0).uniform([8.0, 4.0], [12.0, 6.0], (cases, 2)).tolist()
    traces = [orbit(x, y) for x, y in starts]
    terms = [Term(str(i), trace(START), trace) for i, trace in enumerate(traces)]
    layout = Layout(dict.fromkeys(PARAMS, ()))
    return Objective(terms, layout, engine), layout.pack(START)


def median(function, repeats=9):
    return statistics.median(timed(function)[0] for _ in range(repeats))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--engine", nargs="*", default=["numba"])
    given = parser.parse_args()
    print(machine())
    print(f"{'engine':8} {'cases':>6} {'set-up':>9} {'first call':>11} "
          f"{'gradient/case':>14} {'Jacobian/case':>14} {'peak memory':>12}")  # fmt: skip
    for engine in given.engine:
        for cases in (1, given.cases):
            setting, (problem, theta) = timed(lambda e=engine, n=cases: build(n, e))
            first = timed(lambda p=problem, t=theta: p.value_and_gradient(t))[0]
            problem.residuals_and_jacobian(theta)
            gradient = median(lambda p=problem, t=theta: p.value_and_gradient(t))
            rows = median(lambda p=problem, t=theta: p.residuals_and_jacobian(t))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{engine:8} {cases:6} {seconds(setting):>9} {seconds(first):>11} "
                  f"{seconds(gradient / cases):>14} {seconds(rows / cases):>14} "
                  f"{peak:9.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()

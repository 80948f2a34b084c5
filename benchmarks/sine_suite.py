"""200 to 10⁶ sine tests, each a graph of its own, against hand-vectorised numpy.

The user's side is a Python loop over soft tests; the limit is what one would write by hand: all
points in one array, the derivative worked out on paper. Set-up is tracing the tests; the first
call compiles the objective. The numpy engine is shown on one thread and on two: the bits are the
same. With ``--peers`` what else one could use, as far as it is installed. All of it on one thread:
``taskset -c 0 python …``.

    python benchmarks/sine_suite.py [--n 200 2000 20000 100000] [--peers]
"""

import argparse

from common import Built, Candidate, fitted, installed, machine, measure, np, seconds, table, timed
from peers import sine as peers

from softtape import Param
from softtape.engines import fast
from softtape.objective import Layout, Objective, Term
from softtape.tape import Tape

TRUE, START = 1.7, 1.3
omega = Param(START, name="omega")


def soft_test(x, y):
    return (np.sin(omega * x) - y) ** 2


def trace(x, y):
    with Tape() as tape:
        return tape.graph([soft_test(x, y)])


def by_hand(x, y):
    def value_and_gradient(theta):
        phase = theta[0] * x
        r = np.sin(phase) - y
        return r @ r, np.array([2.0 * (r @ (np.cos(phase) * x))])

    return Built(value_and_gradient)


def softtape(x, y, engine, threads=None):
    cases = zip(x.tolist(), y.tolist(), strict=True)
    graphs = [trace(*case) for case in cases]
    terms = [Term(str(i), g, lambda _, g=g: g) for i, g in enumerate(graphs)]
    problem = Objective(terms, Layout({omega.key: ()}), engine, threads)
    return Built(problem.value_and_gradient, lambda start: fitted(problem, start, 1e-12))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, nargs="*", default=[200, 2000, 20_000, 100_000])
    parser.add_argument("--peers", action="store_true")
    arguments = parser.parse_args()
    print(machine())
    for n in arguments.n:
        x = np.random.default_rng(0).uniform(0.0, 3.0, n)
        y = np.sin(TRUE * x)
        candidates = [Candidate("numpy by hand", "sine_suite:by_hand", (x, y))]
        candidates += [
            Candidate(
                f"softtape, numpy x {threads}", "sine_suite:softtape", (x, y, "numpy", threads)
            )
            for threads in (1, 2)
        ]
        if fast.available():
            numba = (x, y, "numba")
            candidates += [Candidate("softtape, numba", "sine_suite:softtape", numba, ("numba",))]
        candidates += installed(peers(x, y)) if arguments.peers else []
        theta, solution = np.array([START]), np.array([TRUE])
        rows = measure(candidates, theta, solution=solution, gtol=1e-9 * n, limit=100.0)
        table(rows, f"{n} tests")
        plain = timed(lambda x=x, y=y: [*map(soft_test, x.tolist(), y.tolist())])[0]
        for row in rows:
            if row.name.startswith("softtape") and row.first is not None:
                traced, compiled = seconds(row.set_up / n), seconds(row.first / n)
                print(f"{row.name}: per test {traced} traced, {compiled} compiled")
        print(f"the tests run plainly: {seconds(plain / n)} per test")


if __name__ == "__main__":
    main()

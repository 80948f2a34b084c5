"""200 to 10⁵ sine tests, each a graph of its own, against hand-vectorised numpy.

The user's side is a Python loop over soft tests; the limit is what one would write by hand: all
points in one array, the derivative worked out on paper. Also shown is what it costs once to trace
the tests and to compile the objective.

    python benchmarks/sine_suite.py [--n 200 2000 20000 100000]
"""

import argparse

from common import compare, machine, np, seconds, timed

from softtape import Param
from softtape.objective import Layout, Objective, Term
from softtape.tape import Tape

omega = Param(1.3, name="omega")


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

    return value_and_gradient


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, nargs="*", default=[200, 2000, 20_000, 100_000])
    print(machine())
    print(
        f"{'tests':>8} {'trace':>11} {'compile':>11} {'by hand':>10} {'softtape':>10} {'ratio':>6}"
    )
    for n in parser.parse_args().n:
        x = np.random.default_rng(0).uniform(0.0, 3.0, n)
        y = np.sin(1.7 * x)
        cases = list(zip(x.tolist(), y.tolist(), strict=True))
        tracing, graphs = timed(lambda cases=cases: [trace(*case) for case in cases])
        theta = np.array([1.3])

        def build(graphs=graphs, theta=theta):
            terms = [Term(str(i), g, lambda _, g=g: g) for i, g in enumerate(graphs)]
            problem = Objective(terms, Layout({omega.key: ()}))
            problem.value_and_gradient(theta)
            return problem

        compiling, problem = timed(build)
        times = compare({"by hand": by_hand(x, y), "softtape": problem.value_and_gradient}, theta)
        print(
            f"{n:8} {seconds(tracing / n):>6}/test {seconds(compiling / n):>6}/test "
            f"{seconds(times['by hand']):>10} {seconds(times['softtape']):>10} "
            f"{times['softtape'] / times['by hand']:6.2f}"
        )


if __name__ == "__main__":
    main()

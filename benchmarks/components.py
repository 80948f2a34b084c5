"""A suite of k components that share nothing: fitted by themselves, and as one problem.

python benchmarks/components.py [--k 1 10 100] [--tests 20]

Each component has two Params and --tests tests; of several, the last one is badly conditioned.
«As one» is what a fit that does not look for components does: one optimizer for all Params.
"""

import argparse
import statistics
from functools import partial

from common import machine, np, seconds, timed

from pytest_soft.component import Component
from pytest_soft.goal import Goal
from pytest_soft.solve import solve
from pytest_soft.values import group_by_key
from softtape import Param
from softtape.objective import Term
from softtape.tape import Tape


def suite(k, tests):
    """The Params and the terms of k programs; the last one starts in a curved valley."""
    params, terms = [], []
    for i in range(k):
        a, b = Param(1.0, name=f"a{i} of {k}"), Param(1.0 + 0.5 * i / k, name=f"b{i} of {k}")
        params += [a, b]
        program = valley if k > 1 and i == k - 1 else decay
        for t in np.linspace(0.0, 2.0, tests).tolist():
            trace = partial(traced, program, a, b, t)
            terms.append(Term(f"{program.__name__} {i} at {t}", trace(), trace))
    return params, terms


def decay(a, b, t):
    return (a * np.exp(-b * t) - 2 * np.exp(-1.3 * t)) ** 2


def valley(a, b, t):
    """Rosenbrock's, from his start."""
    x, y = a - 2.2, b - 0.5
    return (10 * (y - x * x)) ** 2 + (1 - x + 0.01 * t) ** 2


def traced(program, a, b, t, _values=None):
    with Tape() as tape:
        return tape.graph([program(a, b, t)])


def separately(terms, start, optimizer):
    solution = solve(terms, start, Goal(optimizer))
    return solution.after, solution.evaluations / len(solution.components)


def as_one(terms, start, optimizer):
    whole = Component(terms, group_by_key(start), start, "auto")
    whole.measure()
    whole.fit(optimizer, threshold=None, max_steps=None, timeout=None, callback=None)
    return whole.after, whole.evaluations


def compared(terms, start, optimizer, repeats):
    """Median seconds of both ways, and what each returns; the two in turn."""
    ways = {separately: [], as_one: []}
    found = {}
    for _ in range(repeats + 1):  # once to warm up
        for way, times in ways.items():
            duration, found[way] = timed(partial(way, terms, start, optimizer))
            times.append(duration)
    return [(statistics.median(times[1:]), *found[way]) for way, times in ways.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--k", type=int, nargs="*", default=[1, 10, 100])
    parser.add_argument("--tests", type=int, default=20)
    parser.add_argument("--optimizer", nargs="*", default=["auto", "lbfgs"])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{machine()}; {arguments.tests} tests per component")
    print(f"{'k':>5}  {'optimizer':9}{'separate':>10}{'as one':>10}{'ratio':>7}  evaluations, 𝓛")
    for k in arguments.k:
        params, terms = suite(k, arguments.tests)
        start = {param.key: param.value for param in params}
        for optimizer in arguments.optimizer:
            apart, whole = compared(terms, start, optimizer, arguments.repeats)
            print(
                f"{k:5}  {optimizer:9}{seconds(apart[0]):>10}{seconds(whole[0]):>10}"
                f"{whole[0] / apart[0]:7.2f}  {apart[2]:.0f} for each, {whole[2]} for all at once;"
                f" {apart[1]:.2g}, {whole[1]:.2g}",
                flush=True,
            )


if __name__ == "__main__":
    main()

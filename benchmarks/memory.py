"""Peak memory: of a suite of many cases, and of a long tape of scalars, beyond their data.

Each row is a process of its own. The suite: each case is a program of 100 operations on two
numbers, traced by itself; then set-up, a value, a gradient and a Jacobian. What counts as data is
what the test session holds anyway, the numbers of each case. The tape: one program of so many
scalar operations, its value and gradient. The digits network: value and gradient beside those of
hand-written numpy backpropagation; `held` is what an evaluation has allocated at most, once all is
set up, `peak` what the process has, tracing and compiling included.

    python benchmarks/memory.py [--cases 10000 100000 1000000] [--nodes 100000 1000000 10000000]
                                [--images 53910]
"""

import argparse
import resource
import subprocess
import sys
import tracemalloc

import digits_network
from common import machine, np, seconds, timed

from softtape.engines import fast
from softtape.objective import Layout, Objective, Term
from softtape.tape import Tape

THETA = np.array([0.9, 0.4])
LAYOUT = Layout({"a": (), "b": ()})


def peak():
    """Largest resident set of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def soft_test(a, b, x, y):
    """About 100 operations: 24 steps of a damped pendulum and a square."""
    for _ in range(24):
        x = x + 0.05 * (a - b * x)
    return (x - y) ** 2


def trace(x, y):
    with Tape() as tape:
        return tape.graph([soft_test(tape.input("a", 0.9), tape.input("b", 0.4), x, y)])


def suite(count):
    data = np.random.default_rng(0).uniform(0.5, 1.5, (count, 2)).tolist()
    names = [f"test_step[{i}]" for i in range(count)]
    before = peak()
    tracing, terms = timed(
        lambda: [Term(n, trace(*d), trace) for n, d in zip(names, data, strict=True)]
    )
    problem = Objective(terms, LAYOUT)
    traced = peak()
    compiling = timed(lambda: problem.value_and_gradient(THETA))[0]
    problem.value(THETA)
    after_gradient = peak()
    problem.residuals_and_jacobian(THETA)
    print(
        f"{count:>10} {tracing / count * 1e6:8.1f} µs {seconds(compiling):>9} "
        f"{(traced - before) / 2**20:8.0f} MB {(after_gradient - before) / 2**20:8.0f} MB "
        f"{(peak() - before) / 2**20:8.0f} MB {(peak() - before) / count:8.0f} B"
    )


def tape(count, engine):
    def program(values):
        with Tape() as tape:
            a, b = tape.input("a", values["a"]), tape.input("b", values["b"])
            x = 1.0
            for _ in range(count // 6):  # three operations and two constants, and one more
                x = x + 1e-7 * (a - b * x)
            return tape.graph([(x - 1.5) ** 2])

    before = peak()
    tracing, graph = timed(lambda: program({"a": 0.9, "b": 0.4}))
    nodes = len(graph)
    recorded = peak()
    problem = Objective([Term("tape", graph, program)], LAYOUT, engine)
    del graph
    first = timed(lambda: problem.value_and_gradient(THETA))[0]
    steady, (value, gradient) = timed(lambda: problem.value_and_gradient(THETA))
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))
    print(
        f"{nodes:>10} {engine:>6} {tracing / nodes * 1e6:8.2f} µs {seconds(first):>9} "
        f"{seconds(steady):>9} {(recorded - before) / 2**20:8.0f} MB "
        f"{(peak() - before) / 2**20:8.0f} MB {(peak() - before) / nodes:8.0f} B"
    )


def digits(count, who):
    images, labels = digits_network.load()
    chosen = np.arange(count) % len(labels)
    images, labels = images[chosen], labels[chosen]
    theta = np.random.default_rng(0).normal(size=digits_network.LAYOUT.size) * 0.125
    before = peak()
    tracemalloc.start()
    if who == "hand":
        made = digits_network.by_hand(images, labels)
    else:
        made = digits_network.softtape(images, labels, theta, "numpy")
    for _ in range(3):  # a derivative is compiled when it is asked for again
        tracemalloc.reset_peak()
        made.function(theta)
    held = tracemalloc.get_traced_memory()[1]
    print(
        f"{count:>10} {who:>8} {held / 2**20:8.1f} MB {(peak() - before) / 2**20:8.0f} MB "
        f"{(images.nbytes + labels.nbytes) / 2**20:8.0f} MB"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--nodes", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--images", type=int, nargs="*", default=[53_910])
    engines = ["numba"] if fast.available() else ["numpy"]
    parser.add_argument("--engine", nargs="*", default=engines, choices=["numpy", "numba"])
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        what, count, engine = arguments.one
        if what == "suite":
            suite(int(count))
        else:
            {"tape": tape, "digits": digits}[what](int(count), engine)
        return
    print(machine())
    print(f"{'cases':>10} {'trace':>11} {'set-up':>9} {'traced':>11} {'gradient':>11} ", end="")
    print(f"{'Jacobian':>11} {'per case':>10}", flush=True)
    for count in arguments.cases:
        subprocess.run([sys.executable, __file__, "--one", "suite", str(count), "auto"], check=True)
    print(f"{'nodes':>10} {'engine':>6} {'per node':>11} {'set-up':>9} {'gradient':>9} ", end="")
    print(f"{'recorded':>11} {'peak':>11} {'per node':>10}", flush=True)
    for engine in arguments.engine:
        for count in arguments.nodes:
            command = [sys.executable, __file__, "--one", "tape", str(count), engine]
            subprocess.run(command, check=True)
    print(f"{'images':>10} {'':8} {'held':>11} {'peak':>11} {'data':>11}", flush=True)
    for count in arguments.images:
        for who in ("hand", "softtape"):
            command = [sys.executable, __file__, "--one", "digits", str(count), who]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()

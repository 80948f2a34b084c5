"""What recording adds to an operation: on scalars, on small arrays, and to a test as a whole.

Each expression is run on plain values and on traced ones, in turns; the difference is what the
tape adds. The last lines are tests of a few operations, which also open a tape, close it and
become a term of an objective: the first of them with a structure that was not met before.

    python benchmarks/tracing.py
"""

import statistics
import timeit

from common import machine, np, seconds

from softtape import Param
from softtape.objective import Term
from softtape.tape import Tape

SCALARS = ["x * y", "x + 1.5", "2 * x", "x - h", "x ** 2", "-x", "abs(x)", "np.sin(x)", "x < y"]
ARRAYS = ["a * b", "a + 1.0", "c * a", "a ** 2", "np.exp(a)", "a[1]", "a[1:]", "np.sum(a)", "a @ b"]
ARRAYS += ["np.where(a > 0, a, b)", "np.stack([x, y])", "np.reshape(a, (2, 2))"]

omega = Param(1.3, name="omega")


def per_call(expression, names, number=2000):
    return min(timeit.repeat(expression, globals=names, number=number, repeat=3)) / number


def compare(expressions, plain):
    """Print median seconds of each expression on plain and on traced values."""
    for expression in expressions:
        times = []
        for _ in range(7):
            with Tape() as tape:  # a new one each time: a list that grows is part of the price
                own = ("x", "y", "a", "b")
                traced = {**plain, **{key: tape.input(key, plain[key]) for key in own}}
                times.append((per_call(expression, plain), per_call(expression, traced)))
        bare, recorded = (statistics.median(t) for t in zip(*times, strict=True))
        added = seconds(recorded - bare)
        print(f"{expression:24} {seconds(bare):>9} {seconds(recorded):>9} {added:>9}")


def sine(x, y):
    return (np.sin(omega * x) - y) ** 2


def term(x, y):
    with Tape() as tape:
        graph = tape.graph([sine(x, y)])
    return Term("sine", graph, term)


def main():
    print(machine())
    print(f"{'':24} {'plain':>9} {'traced':>9} {'added':>9}")
    plain = {"np": np, "x": 1.25, "y": 0.75, "h": np.float64(0.1), "c": np.array([1.0, 2, 3, 4])}
    plain |= {"a": np.array([0.5, 1, 2, 3]), "b": np.array([2.0, 1, 0, 1])}
    compare(SCALARS, plain)
    compare(ARRAYS, plain)
    new = per_call("term(0.5, 0.2)", {"term": term}, 1)
    kept = term(0.5, 0.2)  # its structure is known as long as a term has it
    bare = per_call("sine(0.5, 0.2)", {"sine": sine})
    known = per_call("term(0.5, 0.2)", {"term": term})
    print(f"{'a sine test':24} {seconds(bare):>9} {seconds(known):>9} {seconds(known - bare):>9}")
    print(f"{'the first of them':24} {'':9} {seconds(new):>9}   {kept.name}")


if __name__ == "__main__":
    main()

"""What recording adds to an operation: on scalars, on small arrays, and to a test as a whole.

Each expression is run on plain values and on traced ones, in turns; the difference is what the
tape adds. It is processor time, which others on the machine have no part in. The last lines are
tests of a few operations, which also open a tape, close it and become a term of an objective: the
first of them with a structure that was not met before.

    python benchmarks/tracing.py
"""

import timeit
from time import process_time

from common import machine, np, seconds

from softtape import Param
from softtape.objective import Term
from softtape.patches import following
from softtape.tape import Tape

SCALARS = ["x * y", "x + 1.5", "2 * x", "x - h", "x ** 2", "-x", "abs(x)", "np.sin(x)", "x < y"]
ARRAYS = ["a * b", "a + 1.0", "c * a", "a ** 2", "np.exp(a)", "a[1]", "a[1:]", "np.sum(a)", "a @ b"]
ARRAYS += ["np.where(a > 0, a, b)", "np.array([x, y])", "np.stack([x, y])", "np.stack([a, b])"]
ARRAYS += ["np.concatenate([a, b])", "np.reshape(a, (2, 2))", "m.T", "a.sum()", "np.mean(a)"]
ARRAYS += ["np.sum(m, axis=0)", "np.cumsum(a)", "np.dot(a, b)", "np.clip(a, 0, 1)", "a[i]"]
IN_PLACE = ["z[1] = x", "z[1:3] = y", "z[1]"]

omega = Param(1.3, name="omega")


def per_call(expression, names, number=500):
    made = timeit.repeat(expression, timer=process_time, globals=names, number=number, repeat=3)
    return min(made) / number


def compare(expressions, plain):
    """Print least seconds of each expression on plain and on traced values."""
    for expression in expressions:
        times = []
        for _ in range(7):
            bare = per_call(expression, plain)
            with following(), Tape() as tape:  # a new one: a list that grows is part of the price
                own = ("x", "y", "a", "b", "m")
                traced = {**plain, **{key: tape.input(key, plain[key]) for key in own}}
                traced["z"] = np.zeros(4)
                traced["z"][0] = traced["x"]
                times.append((bare, per_call(expression, traced)))
        bare, recorded = map(min, zip(*times, strict=True))
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
    plain |= {"a": np.array([0.5, 1, 2, 3]), "b": np.array([2.0, 1, 0, 1]), "z": np.zeros(4)}
    plain |= {"m": np.ones((2, 2)), "i": np.array([0, 2])}
    compare(SCALARS, plain)
    compare(ARRAYS, plain)
    compare(IN_PLACE, plain)
    new = per_call("term(0.5, 0.2)", {"term": term}, 1)
    kept = term(0.5, 0.2)  # its structure is known as long as a term has it
    bare = per_call("sine(0.5, 0.2)", {"sine": sine})
    known = per_call("term(0.5, 0.2)", {"term": term})
    print(f"{'a sine test':24} {seconds(bare):>9} {seconds(known):>9} {seconds(known - bare):>9}")
    print(f"{'the first of them':24} {'':9} {seconds(new):>9}   {kept.name}")


if __name__ == "__main__":
    main()

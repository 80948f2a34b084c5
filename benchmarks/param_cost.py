"""What it costs that a Param acts as its value, outside a fit: in production and in a check.

python benchmarks/param_cost.py
"""

import math  # noqa: F401 -- used in the expressions
import timeit

import numpy as np

from softtape import Param

p, w, x = Param(1.5, name="p"), 1.5, 2.0
P, W = Param(np.ones(1000), name="P"), np.ones(1000)
EXPRESSIONS = [
    "p * x",
    "x + p",
    "p > x",
    "math.sin(p)",
    "np.sin(p * x)",
    "np.sin(p)",
    "P * x",
    "P[3]",
]


def nanoseconds(expression):
    number = 50_000
    return min(timeit.repeat(expression, globals=globals(), number=number, repeat=7)) / number * 1e9


def main():
    print(f"{'expression':16} {'Param':>9} {'value':>9} {'added':>9}")
    for expression in EXPRESSIONS:
        plain = expression.replace("P", "W").replace("p *", "w *").replace("+ p", "+ w")
        plain = plain.replace("p >", "w >").replace("(p)", "(w)")
        ours, theirs = nanoseconds(expression), nanoseconds(plain)
        print(f"{expression:16} {ours:6.0f} ns {theirs:6.0f} ns {ours - theirs:6.0f} ns")


if __name__ == "__main__":
    main()

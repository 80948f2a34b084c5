"""Random programs of Python numbers: comparisons that count, //, %, int, min, sorted and branches.

A graph computes by numpy what the program computes by Python, whose truths and integers are other
than numpy's. Programs are drawn as source from a seed, and run at points that change their paths.
"""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from softtape.objective import Layout, Objective, Term
from softtape.patches import following
from softtape.tape import Tape

LAYOUT = Layout({"a": (), "b": ()})
LEAVES = ("a", "b", "x", "a", "b", "n", "t", "2", "0.5", "-1")
NUMBERS = (
    *("{n} + {n}", "{n} - {n}", "{n} * {n}", "{n} / (1.1 + abs({n}))", "{n} // (1 + abs({n}))"),
    *("{n} % (1.5 + abs({n}))", "{n} ** 2", "{b} + {b}", "{b} - {b}", "{b} * {b}", "{b} * {n}"),
    *("{n} if {b} else {n}", "min({n}, {n})", "max({n}, {n})", "int({n})", "round({n})"),
    *("divmod({n}, 1.3 + abs({n}))[1]", "sum([{n}, {b}, {n}])", "-{b}", "[{n}, {n}][{b}]"),
    *("sorted([{n}, {n}, {n}])[1]", "math.sin({n})", "math.tanh({b})", "math.fmod({n}, 1.7)"),
    *("math.sqrt(1 + abs({n}))", "math.copysign({n}, {n})", "math.floor({n})"),
)
TRUTHS = ("{n} < {n}", "{n} >= {n}", "not {b}", "{b} and {b}", "{b} or {b}", "{b} & {b}")


def source(draw: random.Random, depth: int, kind: str = "n") -> str:
    if depth == 0 and kind == "n":
        return draw.choice(LEAVES)
    text = draw.choice(NUMBERS if kind == "n" else TRUTHS[: 2 if depth < 1 else None])
    while (place := text.find("{")) >= 0:
        inner = source(draw, max(depth - 1, 0), text[place + 1])
        text = f"{text[:place]}{inner}{text[place + 3 :]}"
    return f"({text})"


def term(program: Any, case: tuple[Any, ...], theta: Any) -> Term:
    def trace(values: Any) -> Any:
        with following(), Tape() as tape, np.errstate(all="ignore"):
            a, b = (tape.input(key, float(values[key])) for key in "ab")
            return tape.graph([program(a, b, *case)])

    return Term("test", trace(LAYOUT.unpack(theta)), trace)


@pytest.mark.parametrize("seed", range(40))
def test_a_graph_computes_what_python_does(seed: int) -> None:
    draw = random.Random(seed)
    scope: dict[str, Any] = {"math": math}
    body = f"({source(draw, 4)} + math.tanh({source(draw, 3)}) - 0.3) ** 2 + 0 * a"
    program = eval(f"lambda a, b, x, n, t: {body}", scope)  # our own text
    cases = [(draw.uniform(-2, 2), draw.choice([0, 1, 5]), draw.random() < 0.5) for _ in range(3)]
    points = np.random.default_rng(seed).normal(size=(6, 2)) * 1.5
    problem = Objective([term(program, case, points[0]) for case in cases], LAYOUT, "numpy")
    for a, b in points:
        plain = sum(program(float(a), float(b), *case) for case in cases)
        assert problem.value(np.array([a, b])) == pytest.approx(plain, rel=1e-10, abs=1e-12), body

"""The residuals that a loss exposes: the sum of their squares is the loss, or there are none."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softtape.engines import Program
from softtape.graph import Graph
from softtape.tape import Tape
from softtape.transforms import jacobian, residuals, simplify, value_and_gradient

rng = np.random.default_rng(5)
DATA = rng.normal(size=(2, 3))
WEIGHTS = rng.uniform(0.5, 2.0, size=(2, 3))
START = {"a": np.float64(0.8), "x": rng.normal(size=(2, 3))}

Loss = Callable[[Any, Any], Any]


def with_itself(product: Callable[..., Any], r: Any) -> Any:
    return product(r, r)


SQUARES: dict[str, tuple[Loss, int]] = {
    # loss -> number of residuals, as elements
    "square": (lambda a, x: (a - 2.0) ** 2, 1),
    "square, int exponent on the right": (lambda a, x: (a - 2) ** 2, 1),
    "np.square": (lambda a, x: np.square(a), 1),
    "np.power": (lambda a, x: np.power(a, 2), 1),
    "product with itself": (lambda a, x: with_itself(operator.mul, a - 2.0), 1),
    "sum": (lambda a, x: np.sum((a * x - DATA) ** 2), 6),
    "mean": (lambda a, x: np.mean((a * x - DATA) ** 2), 6),
    "mean over an axis": (lambda a, x: np.sum(np.mean((a * x - DATA) ** 2, axis=0)), 6),
    "half": (lambda a, x: 0.5 * np.sum((x - DATA) ** 2), 6),
    "divided": (lambda a, x: np.sum((x - DATA) ** 2) / 3, 6),
    "weights": (lambda a, x: np.sum(WEIGHTS * (x - DATA) ** 2), 6),
    "weights on the right": (lambda a, x: np.sum((x - DATA) ** 2 * WEIGHTS[0]), 6),
    "errors": (lambda a, x: np.sum((x - DATA) ** 2 / WEIGHTS**2), 6),
    "nested weights": (lambda a, x: 3.0 * np.sum(2.0 * (WEIGHTS * (x - DATA) ** 2) / 5.0), 6),
    "dot": (lambda a, x: with_itself(np.dot, x[0]), 3),
    "matmul": (lambda a, x: with_itself(operator.matmul, x[0] - DATA[0]), 3),
    "inner": (lambda a, x: with_itself(np.inner, x[0] - DATA[0]), 3),
    "vdot": (lambda a, x: with_itself(np.vdot, x[0] - DATA[0]), 3),
    "squared norm": (lambda a, x: np.linalg.norm(x) ** 2, 1),
    "several terms": (lambda a, x: np.mean((x - DATA) ** 2) + 0.1 * a**2 + np.sum(x[0] ** 2), 10),
    "builtin sum": (lambda a, x: sum((x[0, i] - a) ** 2 for i in range(3)), 3),
    "loop of weights": (lambda a, x: sum(w * (x[0, w] - a) ** 2 for w in (1, 2)), 2),
    "constant term": (lambda a, x: a**2 + 1.5, 2),
    "stacked": (lambda a, x: np.sum(np.stack([a**2, (a - x[0, 0]) ** 2])), 2),
    "joined": (lambda a, x: np.mean(np.concatenate([x[0] ** 2, np.reshape(a**2, 1)])), 4),
    "rearranged": (lambda a, x: np.sum(np.flip((x - DATA) ** 2).T.reshape(-1)), 6),
    "broadcast in a sum": (lambda a, x: np.sum(x**2 + a**2), 7),
    "variance": (lambda a, x: np.var(x), 6),
    "nonlinear": (lambda a, x: np.mean((np.exp(-a * np.sin(x)) - DATA) ** 2), 6),
}

NOT_SQUARES: dict[str, Loss] = {
    "absolute value": lambda a, x: np.abs(a),
    "linear": lambda a, x: a + 1.0,
    "cube": lambda a, x: a**3,
    "negative factor": lambda a, x: -2.0 * a**2,
    "negated": lambda a, x: -(a**2),
    "difference": lambda a, x: a**2 - np.sum(x**2),
    "one negative weight": lambda a, x: np.sum(np.array([1.0, -1.0, 1.0]) * x[0] ** 2),
    "negative constant": lambda a, x: a**2 - 1.0,
    "plus a negative constant": lambda a, x: a**2 + -1.0,
    "product of two": lambda a, x: a * x[0, 0],
    "traced weight": lambda a, x: np.sum(np.exp(a) * x**2),
    "traced divisor": lambda a, x: np.sum(x**2) / a,
    "root": lambda a, x: np.sqrt(np.sum(x**2)),
    "one term is none": lambda a, x: a**2 + np.abs(x[0, 0]),
    "infinite weight": lambda a, x: a**2 * np.inf,
    "power of two inputs": lambda a, x: np.abs(a) ** x[0, 0],
    "dot of two": lambda a, x: np.dot(x[0], x[1]),
    "matrix product": lambda a, x: np.sum(x[:, :2] @ x[:, :2]),
    "not even active": lambda a, x: -1.0,
}


def record(loss: Loss) -> Graph:
    with Tape() as tape:
        return tape.graph([loss(*(tape.input(k, v) for k, v in START.items()))])


def run(graph: Graph, inputs: dict[str, Any]) -> list[Any]:
    made = Program(graph).run(inputs)
    assert made is not None
    return made


@pytest.mark.parametrize("name", SQUARES)
def test_squares_of_residuals_sum_to_the_loss(name: str) -> None:
    loss, count = SQUARES[name]
    graph = record(loss)
    found = residuals(graph)
    assert found is not None
    assert residuals(simplify(graph)) is not None
    draw = np.random.default_rng(11)
    for _ in range(3):
        inputs = {k: v + draw.normal(size=np.shape(v)) for k, v in START.items()}
        r = np.concatenate([np.ravel(part) for part in run(found, inputs)])
        assert np.sum(r**2) == pytest.approx(loss(**inputs), rel=1e-13)
        assert np.sum(r**2) == pytest.approx(run(graph, inputs)[0], rel=1e-13)
        assert r.size == count


@pytest.mark.parametrize("name", SQUARES)
def test_residuals_give_the_gradient_of_the_loss(name: str) -> None:
    graph = record(SQUARES[name][0])
    found = residuals(graph)
    assert found is not None
    n = len(found.outputs)
    made = run(jacobian(found), START)
    parts, blocks = made[:n], made[n:]
    wanted = run(value_and_gradient(graph), START)[1:]
    for k, (key, start) in enumerate(START.items()):
        total = np.zeros(np.size(start))
        for j, r in enumerate(parts):
            block = np.reshape(blocks[j * len(START) + k], (np.size(r), np.size(start)))
            total += 2.0 * np.ravel(r) @ block
        np.testing.assert_allclose(total, np.ravel(wanted[k]), rtol=1e-11, atol=1e-13, err_msg=key)


@pytest.mark.parametrize("name", NOT_SQUARES)
def test_other_losses_show_no_residuals(name: str) -> None:
    graph = record(NOT_SQUARES[name])
    assert residuals(graph) is None
    assert residuals(simplify(graph)) is None


def test_simplify_reveals_a_square_of_equal_expressions() -> None:
    graph = record(lambda a, x: x[1] @ x[1] + np.sin(a) * np.sin(a))
    assert residuals(graph) is None
    assert residuals(simplify(graph)) is not None


def test_guards_come_along() -> None:
    found = residuals(record(lambda a, x: a**2 if a > 0 else (a - 1.0) ** 2))
    assert found is not None
    assert Program(found).run({**START, "a": np.float64(3.0)}) == [3.0]
    assert Program(found).run({**START, "a": np.float64(-3.0)}) is None


terms = st.recursive(
    st.sampled_from(
        [
            lambda a, x: a**2,
            lambda a, x: np.sum((a * x - DATA) ** 2),
            lambda a, x: np.mean(np.sin(x) ** 2),
            lambda a, x: with_itself(operator.matmul, x[1]),
            lambda a, x: np.sum(WEIGHTS * x**2),
        ]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: lambda a, x: p[0](a, x) + p[1](a, x)),
        st.tuples(inner, st.floats(0.1, 9.0)).map(lambda p: lambda a, x: p[1] * p[0](a, x)),
        st.tuples(inner, st.floats(0.1, 9.0)).map(lambda p: lambda a, x: p[0](a, x) / p[1]),
        inner.map(lambda f: lambda a, x: np.mean(np.stack([f(a, x), a**2]))),
        st.tuples(inner, st.floats(0.0, 9.0)).map(lambda p: lambda a, x: p[0](a, x) + p[1]),
    ),
    max_leaves=5,
)


@settings(derandomize=True, deadline=None, max_examples=40, database=None)
@given(terms)
def test_random_sums_of_squares(loss: Loss) -> None:
    found = residuals(record(loss))
    assert found is not None
    r = np.concatenate([np.ravel(part) for part in run(found, START)])
    assert np.sum(r**2) == pytest.approx(loss(**START), rel=1e-12)

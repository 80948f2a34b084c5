"""Buffers and views of the straight-line functions, against a plain replay of the graph."""

import numpy as np
import pytest

from softtape.engines.numpy import Program
from softtape.tape import Tape
from softtape.transforms import simplify, value_and_gradient
from softtape.transforms.replay import replay

X = np.linspace(-1.0, 2.0, 12).reshape(3, 4)
SQUARE = np.linspace(0.2, 1.0, 16).reshape(4, 4)
PROGRAMS = {
    # each would go wrong if a buffer were used again while a view of it is still needed
    "view outlives what it views": lambda x: np.sum(np.exp(x).T * np.sin(np.cos(x * 2.0)).T),
    "view of a view": lambda x: np.sum(np.ravel(np.exp(x).T)[2:7] * np.ravel(np.sin(x * 3.0))[:5]),
    "operand used twice": lambda x: np.sum(np.exp(x) * (np.exp(x) + np.sin(np.exp(x)))),
    "over its own transpose": lambda x: np.sum(np.exp(x @ x.T) + np.exp(x @ x.T).T),
    "broadcast over itself": lambda x: np.sum(np.exp(x) - np.max(np.exp(x), axis=1, keepdims=True)),
    "rows of itself": lambda x: np.sum(np.exp(x)[np.array([2, 0, 0])] * np.exp(x)),
    "an output that is a view": lambda x: np.exp(x).T[1:],
    "an output used further": lambda x: np.sin(np.exp(x)) * np.exp(x),
    "one row": lambda x: np.sum(np.exp(x)[1] * np.exp(x)[:, ::2][2, 0]),
    "matrices": lambda x: np.sum(np.tanh(x @ SQUARE) @ np.tanh(x @ SQUARE).T),
    "vectors": lambda x: np.exp(x)[0] @ np.sin(x)[1] + np.exp(x)[:, 1] @ np.sin(x)[:, 2],
    "truths": lambda x: np.sum(np.where((x > 0.2) & (x < 1.5), np.exp(x), x)),
    "maxima": lambda x: np.sum(np.maximum(np.exp(x), 2.0 * x)) + np.min(np.exp(x)),
    "stacked alone": lambda x: np.sum(np.stack([np.exp(x)], axis=1) * np.sin(np.cos(x))[:, None]),
    "a number spread": lambda x: np.sum(np.broadcast_to(np.sum(x), (2, 3)) * X[:2, :3]) + x[0, 0],
    "no elements": lambda x: np.sum(np.exp(x)[3:]) + np.sum(x),
}  # fmt: skip


def record(program, order="C"):
    with Tape() as tape:
        return tape.graph([program(tape.input("x", np.array(X, order=order)))])


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("name", PROGRAMS)
def test_straight_lines_compute_what_a_replay_does(name, order):
    graph = record(PROGRAMS[name], order)
    graphs = [graph, value_and_gradient(graph)] if np.ndim(PROGRAMS[name](X)) == 0 else [graph]
    for made in graphs:
        program = Program(simplify(made))
        for x in (X, np.asfortranarray(X * 0.7), (X.T - 0.1).copy().T, X):
            values = replay(made, {"x": x})
            for _ in range(2):
                outputs = program.run({"x": x})
                for output, number in zip(outputs, made.outputs, strict=True):
                    np.testing.assert_allclose(output, values[number], rtol=1e-13, atol=1e-14)


def test_what_a_run_returns_is_not_overwritten_by_the_next():
    program = Program(record(lambda x: np.exp(np.sin(x)).T))
    first = program.run({"x": X})[0]
    kept = first.copy()
    program.run({"x": X + 1.0})
    np.testing.assert_array_equal(first, kept)


def test_chains_of_operations_need_one_buffer():
    def chain(x):
        for _ in range(20):
            x = np.sin(x * 1.1) + 0.5
        return np.sum(x)

    assert len(Program(record(chain)).workspace()) == 1


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_numbers_beside_arrays_are_what_numpy_takes_them_for(kind):
    # 0.1 is another number as float32; what is compared with it tells
    def program(a, x):
        y = x * (a * a) + 0.1
        return np.where(y + a > 0.1, y - x * np.sin(a), np.maximum(x, 0.1) / a)

    with Tape() as tape:
        given = {"a": kind(0.7), "x": np.array([-0.1, 0.0, 0.1, 0.3], kind)}
        keys = [tape.input(key, value) for key, value in given.items()]
        graph = tape.graph([np.sum(np.sin(program(*keys)))])
    graph = value_and_gradient(graph)
    made = Program(graph)
    for a in (0.7, -0.1, 0.1):
        given["a"] = kind(a)
        values = replay(graph, given)
        for output, number in zip(made.run(given), graph.outputs, strict=True):
            np.testing.assert_array_equal(output, values[number], strict=True)

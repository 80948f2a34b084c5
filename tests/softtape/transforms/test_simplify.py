"""A simplified graph is smaller and computes the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from softtape.engines import Program
from softtape.graph import Graph
from softtape.tape import Tape
from softtape.transforms import jacobian, simplify, value_and_gradient
from softtape.transforms.simplify import prune


def record(program: Callable[..., Any], **inputs: Any) -> Graph:
    with Tape() as tape:
        made = program(**{k: tape.input(k, v) for k, v in inputs.items()})
        return tape.graph([made])


def operations(graph: Graph) -> list[str]:
    return [op for op, _, _ in graph.nodes]


def assert_same(graph: Graph, inputs: dict[str, Any]) -> Graph:
    simple = simplify(graph)
    assert len(simple) <= len(graph)
    wanted, got = Program(graph).run(inputs), Program(simple).run(inputs)
    assert wanted is not None
    assert got is not None
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(g, w)
        assert np.asarray(g).dtype == np.asarray(w).dtype
    return simple


def program(x: Any, y: Any) -> Any:
    total = 0.0
    for i in range(3):
        total = total + np.sin(x) * np.exp(-y[i]) / (1.0 + x**2.0) - np.sin(x)
    if total > -100:
        total = total * 1.0 + np.sum(np.where(y > 0, y, 0.0) ** 2)
    return total


INPUTS = {"x": np.float64(0.7), "y": np.array([0.1, -0.2, 0.3])}


@pytest.mark.parametrize("transform", [lambda g: g, value_and_gradient, jacobian])
def test_values_are_kept_to_the_bit(transform: Callable[[Graph], Graph]) -> None:
    graph = transform(record(program, **INPUTS))
    simple = assert_same(graph, INPUTS)
    assert_same(simple, INPUTS)
    assert len(simplify(simple)) == len(simple)
    elsewhere = {"x": np.float64(-0.2), "y": np.array([2.0, 0.2, -3.0])}
    assert_same(graph, elsewhere)
    assert Program(simple).run({"x": np.float64(0.0), "y": np.full(3, -9.0)}) is not None


def test_repeated_expressions_are_computed_once() -> None:
    graph = record(lambda x: np.sin(x) * np.sin(x) + np.sum(np.ones(3) * np.sin(x)), x=0.5)
    assert operations(simplify(graph)).count("sin") == 1


@pytest.mark.parametrize("mix", [[1, 0, 1], [0, 0, 0]])
def test_operations_that_only_look_alike_stay(mix: list[int], monkeypatch: Any) -> None:
    module = sys.modules["softtape.transforms.simplify"]
    monkeypatch.setattr(module, "_MIX", np.array(mix, np.uint32))

    def different(x: Any, y: Any) -> Any:
        return x * y + x / y + np.sin(x) + np.cos(y) + (x - y) * (y - x)

    def twice(x: Any, y: Any) -> Any:
        return different(x, y) + x / y

    inputs = {"x": np.float64(0.5), "y": np.float64(0.25)}
    graph = record(different, **inputs)
    assert len(prune(graph)) == len(graph)
    assert len(prune(record(twice, **inputs))) == len(graph) + 1


def test_equal_arrays_and_numbers_are_stored_once_but_no_others() -> None:
    graph = record(lambda x: (x * np.ones(2) + np.ones(2)) * 2.0 / 2.0 + 0.0 + -0.0 + 2, x=0.5)
    constants = [a for op, _, a in simplify(graph).nodes if op == "constant"]
    assert [repr(c) for c in constants] == ["array([1., 1.])", "2.0", "0.0", "-0.0", "2"]


def test_dead_code_goes_but_inputs_and_guards_stay() -> None:
    def dead(x: Any, unused: Any) -> Any:
        np.exp(np.cos(x))
        return x + 1 if np.tan(x) > 0 else x

    simple = simplify(record(dead, x=np.float64(0.5), unused=np.float64(1.0)))
    assert not {"exp", "cos"} & set(operations(simple))
    assert "tan" in operations(simple)
    assert set(simple.inputs) == {"x", "unused"}
    at = {"unused": np.float64(1.0)}
    assert Program(simple).run({"x": np.float64(0.25), **at}) == [1.25]
    assert Program(simple).run({"x": np.float64(-0.25), **at}) is None


def test_products_with_one_vanish() -> None:
    simple = simplify(record(lambda x: 1.0 * (x * 1.0) * 1.0 + np.float64(0.5), x=0.5))
    assert "multiply" not in operations(simple)


@pytest.mark.parametrize(
    "counted",
    [
        lambda x: (x > 0) * 1.0 + (x > 0) * 1.0,  # of truth values, + would be «or»
        lambda x: np.sum((x > 1) * 1.0) / 2,
        lambda x: np.argmax(x) * 1.0,
        lambda x: x * np.ones(1),
        lambda x: x * 1,
    ],
)
def test_products_with_one_that_change_the_type_stay(counted: Callable[..., Any]) -> None:
    x = np.array([1.0, 2.0, -3.0])
    simple = assert_same(record(counted, x=x), {"x": x})
    np.testing.assert_array_equal(Program(simple).run({"x": x})[0], counted(x))  # type: ignore[index]


def test_index_templates_are_told_apart() -> None:
    graph = record(lambda x: x[1:] + x[:-1] + x[1:] * x[0] + x[np.array([0, 1])], x=np.arange(3.0))
    simple = assert_same(graph, {"x": np.array([3.0, 5.0, 7.0])})
    assert operations(simple).count("getitem") == 4


@pytest.mark.parametrize(("last", "constants"), [(0.0, 1), (1.0, 2)])
def test_large_constants_are_one_if_they_are_equal_to_the_last_element(
    last: float, constants: int
) -> None:
    a, b = np.zeros(10_000), np.zeros((10_000, 2))[:, 0]
    b[-1] = last
    simple = simplify(record(lambda x: np.sum(x * a) + np.sum(x * b), x=2.0))
    assert operations(simple).count("constant") == constants

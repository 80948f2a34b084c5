"""Gradients and Jacobians of whole graphs: idle inputs, widths, guards, higher orders."""

from __future__ import annotations

import dis
import tracemalloc
from collections.abc import Callable, Iterator
from types import CodeType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from softtape.engines import Program
from softtape.graph import Graph
from softtape.ops import PRIMITIVES
from softtape.tape import Tape
from softtape.transforms import jacobian, value_and_gradient
from softtape.transforms.replay import derive, replay
from softtape.transforms.vjp import _reads, gradient_of, read_by_sweep


def record(program: Callable[..., Any], **inputs: Any) -> Graph:
    with Tape() as tape:
        made = program(**{k: tape.input(k, v) for k, v in inputs.items()})
        return tape.graph(made if isinstance(made, list) else [made])


def run(graph: Graph, inputs: dict[str, Any]) -> list[Any]:
    made = Program(graph).run(inputs)
    assert made is not None
    return made


def test_an_input_without_effect_has_a_zero_gradient_in_its_shape() -> None:
    start = {"a": np.float64(2.0), "b": np.ones((2, 3)), "c": np.float32(1.0)}
    value, a, b, c = run(value_and_gradient(record(lambda a, b, c: a * a, **start)), start)
    assert (value, a, c) == (4.0, 4.0, 0.0)
    np.testing.assert_array_equal(b, np.zeros((2, 3)))
    assert c.dtype == np.float32


def test_the_gradient_of_an_input_itself_and_of_a_constant() -> None:
    start = {"a": np.float64(2.0)}
    assert run(value_and_gradient(record(lambda a: a, **start)), start) == [2.0, 1.0]
    assert run(value_and_gradient(record(lambda a: 7.0, **start)), start) == [7.0, 0.0]
    assert run(value_and_gradient(record(lambda a: np.floor(a), **start)), start) == [2.0, 0.0]


def test_contributions_of_all_uses_add_up() -> None:
    start = {"x": np.array([1.0, 2.0])}
    graph = record(lambda x: np.sum(x) * x[0] + x[1] ** 2 + np.sum(x * x), **start)
    np.testing.assert_array_equal(run(value_and_gradient(graph), start)[1], [6.0, 9.0])


@pytest.mark.parametrize("program", [lambda x: x * 2.0, lambda x: [x[0] * 3.0, x, x[:1] @ x[1:]]])
@pytest.mark.parametrize("more", [0, 9])  # an unused input decides the direction of the sweeps
def test_blocks_of_a_jacobian(program: Callable[..., Any], more: int) -> None:
    start = {"x": np.array([1.0, 2.0]), "unused": np.zeros(more)}
    graph = record(lambda x, unused: program(x), **start)
    made = run(jacobian(graph), start)
    outputs = len(graph.outputs)
    blocks = made[outputs:]
    assert len(blocks) == outputs * 2
    assert [np.shape(b) for b in blocks[1::2]] == [(np.size(y), more) for y in made[:outputs]]
    if outputs == 1:
        np.testing.assert_array_equal(blocks[0], 2 * np.eye(2))
    else:
        np.testing.assert_array_equal(blocks[0], [[3.0, 0.0]])
        np.testing.assert_array_equal(blocks[2], np.eye(2))
        np.testing.assert_array_equal(blocks[4], [[2.0, 1.0]])


def test_a_jacobian_of_scalars_is_a_scalar() -> None:
    start = {"x": np.float64(3.0)}
    graph = record(lambda x: [x * x, np.exp(0.0 * x), 5.0], **start)
    assert run(jacobian(graph), start) == [9.0, 1.0, 5.0, 6.0, 0.0, 0.0]


@pytest.mark.parametrize("outputs", [1, 3])
def test_float32_jacobians_are_float32(outputs: int) -> None:
    start = {"x": np.ones(2, np.float32)}
    graph = record(lambda x: np.stack([np.sum(x * x)] * outputs) * np.float64(2.0), **start)
    assert run(jacobian(graph), start)[1].dtype == np.float32 if outputs == 1 else True
    stays = record(lambda x: np.stack([np.sum(x * x)] * outputs) * 2.0, **start)
    assert run(jacobian(stays), start)[1].dtype == np.float32


def test_a_wide_constant_does_not_widen_the_gradient() -> None:
    start = {"x": np.ones(2, np.float32)}
    graph = record(lambda x: np.sum(np.sin(x * np.float64(1.5)) * np.arange(2.0)), **start)
    value, gradient = run(value_and_gradient(graph), start)
    assert value.dtype == np.float64
    assert gradient.dtype == np.float32


def test_guards_come_along_and_hold_the_derived_graph_back() -> None:
    start = {"x": np.float64(2.0)}
    graph = record(lambda x: x**3 if x > 1 else x, **start)
    for derived in (value_and_gradient(graph), jacobian(graph)):
        assert run(derived, start) == [8.0, 12.0]
        assert Program(derived).run({"x": np.float64(0.5)}) is None


def test_derivatives_of_derivatives() -> None:
    start = {"x": np.float64(0.7)}
    graph = record(lambda x: np.sin(2.0 * x), **start)
    wanted = [np.sin(1.4), 2 * np.cos(1.4), -4 * np.sin(1.4), -8 * np.cos(1.4), 16 * np.sin(1.4)]
    for order in range(1, 5):
        first = value_and_gradient(graph)
        graph = derive(first, lambda values, o=first.outputs[1]: [values[o]])
        assert run(graph, start)[0] == pytest.approx(wanted[order], rel=1e-13)


def test_replay_computes_on_plain_values() -> None:
    graph = record(lambda x: np.sin(x) + 1.0, x=np.float64(0.5))
    assert replay(graph, {"x": np.float64(2.0)})[graph.outputs[0]] == np.sin(2.0) + 1.0


def test_a_slope_of_zero_or_infinity_is_not_an_error_when_it_is_derived() -> None:
    for program, slope in [
        (lambda x: np.sqrt(x), np.inf),
        (lambda x: x**0.5, np.inf),
        (lambda x: np.cbrt(x), np.inf),
        (lambda x: np.log(1.0 + x), 1.0),
    ]:
        graph = value_and_gradient(record(program, x=0.0))
        with np.errstate(all="ignore"):
            assert run(graph, {"x": np.float64(0.0)})[1] == slope


def test_astype_passes_the_slope_on() -> None:
    # by its own rule: rounding to float32 hides it from difference quotients
    start = {"x": np.array([1.0, 2.0])}
    graph = record(lambda x: np.sum(3.0 * x.astype(np.float32)), **start)
    np.testing.assert_array_equal(run(value_and_gradient(graph), start)[1], [3.0, 3.0])
    graph = record(lambda x: 3.0 * x.astype(np.float32), **start)
    np.testing.assert_array_equal(run(jacobian(graph), start)[1], 3.0 * np.eye(2))


def test_a_sweep_lets_go_of_the_values_that_it_is_past() -> None:
    with Tape() as tape:
        x = tape.input("x", np.float64(0.5))
        graph = tape.graph([np.exp(np.sin(x) * 2.0)])
    values = replay(graph, graph.start)
    assert gradient_of(graph, values)[1] == pytest.approx(2 * np.cos(0.5) * np.exp(2 * np.sin(0.5)))
    held = [number for number, value in enumerate(values) if value is not None]
    assert held == [graph.inputs["x"]]


def test_a_rule_reads_its_operands_whatever_python_compiles_it_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def in_pairs(code: CodeType) -> Iterator[Any]:  # as Python 3.13 loads variables
        for step in steps(code):
            named = step.opname.startswith("LOAD_FAST")
            named = named and isinstance(step.argval, str)
            yield SimpleNamespace(argval=(step.argval, "") if named else step.argval)

    steps = dis.get_instructions
    monkeypatch.setattr(dis, "get_instructions", in_pairs)
    primitive = PRIMITIVES["multiply"]
    assert _reads.__wrapped__(primitive, (True, True)) == (False, (True, True))


@pytest.mark.parametrize("how", ["at once", "recorded"])
def test_large_values_that_no_rule_reads_are_let_go(how: str) -> None:
    data = np.ones((500, 500))  # 2 MB

    def program(x: Any) -> Any:
        for _ in range(30):
            x = x - data
        return np.sum(x)

    graph = record(program, x=np.float64(2.0))
    tracemalloc.start()
    if how == "at once":
        made = gradient_of(graph, replay(graph, graph.start, read=read_by_sweep(graph)))
        assert made[1] == data.size
    else:
        value_and_gradient(graph)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * data.nbytes


def test_a_large_constant_in_another_order_is_not_copied() -> None:
    matrix = np.ones((2000, 500))
    graph = record(lambda x: np.sum((matrix @ (x * np.ones(500))) ** 2), x=np.float64(2.0))

    def large(graph: Graph) -> list[Any]:
        constants = [attrs for op, _, attrs in graph.nodes if op == "constant"]
        return [value for value in constants if np.size(value) == matrix.size]

    (held,), made = large(graph), large(value_and_gradient(graph))
    assert [constant.shape for constant in made] == [(2000, 500), (500, 2000)]
    assert all(np.shares_memory(constant, held) for constant in made)

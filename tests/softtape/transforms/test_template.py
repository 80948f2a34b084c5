"""Cases of one recorded structure share everything but their constants, and nothing more."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softtape.columns import Recording
from softtape.graph import CONSTANT, Graph
from softtape.objective import Layout, Objective, Term
from softtape.tape import Tape
from softtape.transforms.simplify import prune
from softtape.transforms.template import signature, template_of

LAYOUT = Layout({"a": (), "b": ()})
THETA = np.array([1.3, -0.4])
AT = LAYOUT.unpack(THETA)

Program = Callable[..., Any]


def record(program: Program, *data: Any, order: tuple[str, ...] = ("a", "b")) -> Graph:
    with Tape() as tape:
        params = {key: tape.input(key, AT[key]) for key in order}
        return tape.graph([program(params["a"], params["b"], *data)])


def residual(a: Any, b: Any, x: Any) -> Any:
    return (a * x - b) ** 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *((1.0, 2.0), (0.0, -0.0), (1.0, float("nan")), (1.0, 1.0), (2, -7), (2**70, 3)),
        *((np.float32(1.5), np.float32(2.5)), (np.arange(3.0), np.ones(3)), (True, False)),
    ],
)
def test_recordings_that_differ_in_constants_alone_have_one_template(one: Any, other: Any) -> None:
    first, second = record(residual, one), record(residual, other)
    template = template_of(first)
    assert template_of(second) is template
    # the constants are each case's own, to the bit
    constants = template.constants_of(second)
    assert [repr(c) for c in constants] == [repr(other), "2"]
    case = template.graph_with(constants, second.start)
    assert str(case) == str(prune(second))


@pytest.mark.parametrize(
    "others",
    [
        [1.0, 2, True, np.float32(1.0), np.array(1.0), np.ones(1), np.ones(2), np.ones(2, "f")],
        [np.ones(2, bool), np.ones(2, int), np.ones((1, 2))],
    ],
)
def test_constants_of_other_types_or_shapes_have_templates_of_their_own(others: list[Any]) -> None:
    templates = [template_of(record(residual, value)) for value in others]
    assert len(set(templates)) == len(others)


def test_ordinary_numbers_take_one_path_whatever_their_type() -> None:
    values = [1.0, 2, np.float64(0.5), np.int64(3)]
    templates = [template_of(record(residual, value)) for value in values]
    assert len({template.path for template in templates}) == 1
    for other in (True, np.float32(1.0), np.ones(2)):
        assert template_of(record(residual, other)).path != templates[0].path


def test_structure_is_told_apart() -> None:
    programs: list[Program] = [
        residual,
        lambda a, b, x: (b - a * x) ** 2,
        lambda a, b, x: (a * x - b) ** 2.0 + 0.0,
        lambda a, b, x: (b * x - a) ** 2,
        lambda a, b, x: (a * x + b) ** 2,
        lambda a, b, x: (np.stack([a, b])[0] * x - b) ** 2,
        lambda a, b, x: (np.stack([a, b])[1] * x - b) ** 2,
        lambda a, b, x: (np.stack([a, b])[True] * x - b)[0, 0] ** 2,
        lambda a, b, x: np.sum(np.stack([np.stack([a, b]), np.stack([b, a])]), axis=0)[0],
        lambda a, b, x: np.sum(np.stack([np.stack([a, b]), np.stack([b, a])]), axis=1)[0],
        lambda a, b, x: (a * x - b) ** 2 if a > 0 else a,
    ]
    paths = [template_of(record(program, 1.5)).path for program in programs]
    assert len(set(paths)) == len(programs)


def test_guards_with_other_answers_are_other_paths() -> None:
    def program(a: Any, b: Any, x: float) -> Any:
        asked = bool(a > x), bool(b > x)
        return (a + b) ** len(asked)  # the same instructions whatever the answers

    graphs = [record(program, x) for x in (0.0, 5.0, -5.0, 0.5)]
    paths = [template_of(graph).path for graph in graphs]
    assert paths[0] == paths[3]
    assert len(set(paths)) == 3

    def counted(a: Any, b: Any, x: float) -> Any:
        return int(a * x) * 0.0 + a  # the number asked for is the guard

    assert (
        template_of(record(counted, 1.0)).path
        == template_of(record(counted, 1.1)).path
        != template_of(record(counted, 2.0)).path
    )


def test_params_in_another_order_are_another_recording_but_compute_the_same() -> None:
    graphs = [record(residual, 1.5), record(residual, 1.5, order=("b", "a"))]
    assert template_of(graphs[0]) is not template_of(graphs[1])
    terms = [Term(str(i), graph, lambda _: graphs[0]) for i, graph in enumerate(graphs)]
    value, gradient = Objective(terms, LAYOUT).value_and_gradient(THETA)
    r = 1.3 * 1.5 + 0.4
    assert value == pytest.approx(2 * r**2)
    np.testing.assert_allclose(gradient, 2 * np.array([2 * r * 1.5, -2 * r]))


def test_dead_code_and_its_constants_go() -> None:
    def with_dead_code(a: Any, b: Any, x: float) -> Any:
        np.exp(a * 17.0) * (b + 18.0)
        unused = [a * x * k for k in range(3)]
        return (a * x - unused[1] * 0.0 - b) ** 2

    for x in (0.5, -0.0, 2.0):
        graph = record(with_dead_code, x)
        template = template_of(graph)
        constants = template.constants_of(graph)
        assert [repr(c) for c in constants] == [repr(c) for c in (x, 1, x, 0.0, 2)]
        case = template.graph_with(constants, graph.start)
        assert {op for op, _, _ in case.nodes} == {
            *("input", "constant", "multiply", "subtract", "power")
        }
        assert str(case) == str(prune(graph))
    assert template_of(record(with_dead_code, 7.0)) is template


def test_repeated_instructions_merge_and_what_only_they_used_goes() -> None:
    def program(a: Any, b: Any, x: Any) -> Any:
        first = np.sum(np.sin(np.stack([a, b])), axis=0) * x
        second = np.sum(np.sin(np.stack([a, b])), axis=0) * a
        return (first - second - np.sin(a) * np.sin(a)) ** 2

    made = prune(record(program, 2.0))
    operations = [op for op, _, _ in made.nodes]
    assert [operations.count(op) for op in ("stack", "sin", "sum", "multiply")] == [1, 2, 1, 3]
    assert str(prune(made)) == str(made)


def test_equal_constants_of_one_case_do_not_change_the_structure() -> None:
    def program(a: Any, b: Any, x: float, y: float) -> Any:
        return (a * x - b) ** 2 + (a * y - b) ** 2

    assert template_of(record(program, 1.0, 1.0)) is template_of(record(program, 1.0, 2.0))


def test_a_template_lasts_as_long_as_it_is_used() -> None:
    graph = record(lambda a, b: np.tanh(a) * np.arctan(b) ** 3)
    term = Term("t", graph, lambda _: graph)
    path = term.path
    assert template_of(graph) is term.paths[path].template
    del term
    gc.collect()
    assert template_of(graph).path == path


def test_cases_that_began_elsewhere_keep_their_own_start() -> None:
    graphs = [record(residual, 1.0), record(residual, 2.0)]
    with Tape() as tape:
        a, b = tape.input("a", 5.0), tape.input("b", 6.0)
        graphs.append(tape.graph([residual(a, b, 1.0)]))
    terms = [Term(str(i), graph, lambda _: graphs[0]) for i, graph in enumerate(graphs)]
    assert terms[1].starts is terms[0].starts
    assert dict(terms[2].starts) == {"a": 5.0, "b": 6.0}
    assert dict(terms[0].starts) == AT


def test_graphs_that_travelled_take_the_same_path() -> None:
    graph = record(lambda a, b, x: np.sum(np.stack([a, b]) * x) ** 2 if a > b else a, 2.0)
    arrived = pickle.loads(pickle.dumps(graph))
    assert type(arrived.nodes) is tuple  # plain nodes, whose meaning depends on no process
    assert signature(arrived) == signature(graph)
    assert str(prune(arrived)) == str(prune(graph))


def test_long_recordings_are_treated_like_short_ones() -> None:
    def program(a: Any, b: Any, x: float) -> Any:
        dead = a
        for _ in range(400):
            x = x + 0.01 * (a - np.sin(b) * x)
            dead = dead * 0.9
        return (x - 1.0) ** 2

    long, longer = record(program, 0.5), record(program, 1.5)
    assert not Recording.of(long.nodes).wiring.shared
    assert template_of(long) is template_of(longer)
    made = prune(long)
    assert [op for op, _, _ in made.nodes].count("sin") == 1
    assert len(made) == len(long) - 2 * 400 - 399
    values = [v for op, _, v in made.nodes if op == CONSTANT]
    assert values == list(template_of(long).constants_of(long))
    terms = [Term(str(x), record(program, x), lambda _: long) for x in (0.5, 1.5)]
    value = Objective(terms, LAYOUT).value(THETA)
    assert value == pytest.approx(sum(program(1.3, -0.4, x) for x in (0.5, 1.5)), rel=1e-12)


# ---- any suite: the objective is the sum of the losses as Python computes them

numbers = st.one_of(
    st.floats(-3, 3), st.integers(-3, 3), st.booleans(), st.floats(-3, 3, width=32).map(np.float32),
    st.lists(st.floats(-3, 3), min_size=2, max_size=2).map(np.array), st.just(-0.0),
)  # fmt: skip

SUITE: list[Program] = [
    lambda a, b, x: np.sum((a * x - b) ** 2),
    lambda a, b, x: np.sum((b - a * x) ** 2 * 0.5),
    lambda a, b, x: np.sum(np.sin(a * x) * np.sin(a * x)) + (a * b * 0.0) ** 2,
    lambda a, b, x: np.sum(np.abs(x) * (a if np.sum(a * x) > b else b * b)),
    lambda a, b, x: (
        sum((a * k - x) ** 2 for k in range(2)) @ np.ones(2)
        if np.ndim(x)
        else sum((a * k - x) ** 2 for k in range(2))
    ),
    lambda a, b, x: (np.exp(b) * x, np.sum((a + x) ** 2))[1],
    lambda a, b, x: np.sum(np.arctan2(1.0, a * x)),  # tells 0.0 from -0.0
]


@settings(derandomize=True, deadline=None, max_examples=40, database=None)
@given(
    st.lists(st.tuples(st.sampled_from(range(len(SUITE))), numbers), min_size=1, max_size=12),
    st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=3),
)
def test_the_objective_is_the_sum_of_the_plain_losses(
    cases: list[tuple[int, Any]], points: list[tuple[float, float]]
) -> None:
    def term(number: int, which: int, x: Any) -> Term:
        def trace(values: Any) -> Graph:
            with Tape() as tape:
                a, b = (tape.input(key, values[key]) for key in ("a", "b"))
                return tape.graph([SUITE[which](a, b, x)])

        return Term(str(number), trace(AT), trace, weight=1.0 + number % 3)

    problem = Objective([term(i, which, x) for i, (which, x) in enumerate(cases)], LAYOUT)
    for point in points:
        theta = np.array(point)
        losses = [SUITE[which](*theta, x) for which, x in cases]
        np.testing.assert_allclose(problem.losses(theta), losses, rtol=1e-12, atol=1e-14)
        expected = sum((1.0 + i % 3) * loss for i, loss in enumerate(losses))
        value, gradient = problem.value_and_gradient(theta)
        assert value == pytest.approx(float(expected), rel=1e-12, abs=1e-13)
        assert np.all(np.isfinite(gradient))

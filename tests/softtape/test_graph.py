"""The record of a run."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest

from softtape.graph import CONSTANT, INPUT, Graph, same_value
from softtape.tape import Tape


@pytest.fixture
def graph() -> Graph:
    with Tape() as tape:
        x = tape.input("x", np.float64(2.0))
        y = tape.input("y", np.array([1.0, 3.0]))
        total = np.sum(x * y[1:], axis=0)
        if total > 3:
            total = total + np.zeros(2)
        return tape.graph([total, y])


def test_text_shows_one_line_per_node(graph: Graph) -> None:
    assert str(graph).splitlines() == [
        "%0 = input 'x'",
        "%1 = input 'y'",
        "%2 = getitem(%1, index=(slice(1, None, None),))",
        "%3 = multiply(%0, %2)",
        "%4 = sum(%3, axis=(0,))",
        "%5 = constant 3",
        "%6 = greater(%4, %5)",
        "%7 = constant array([0., 0.])",
        "%8 = add(%4, %7)",
        "guard %6 == np.True_",
        "return %8, %1",
    ]
    assert len(graph) == 9


def test_active_is_what_depends_on_an_input(graph: Graph) -> None:
    assert graph.active() == [True] * 5 + [False, True, False, True]


def test_nodes_refer_to_earlier_nodes_only(graph: Graph) -> None:
    for number, (op, args, _) in enumerate(graph.nodes):
        assert all(a < number for a in args)
        assert not args or op not in (INPUT, CONSTANT)
    assert {key: graph.nodes[i] for key, i in graph.inputs.items()} == {
        "x": (INPUT, (), "x"),
        "y": (INPUT, (), "y"),
    }


def test_a_graph_is_frozen(graph: Graph) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.outputs = ()  # type: ignore[misc]


def test_a_graph_travels_as_plain_data(graph: Graph) -> None:
    assert str(pickle.loads(pickle.dumps(graph))) == str(graph)


nan = float("nan")


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (1.0, 1.0, True),
        (1.0, 2.0, False),
        (True, np.True_, True),
        (2, 2.0, True),
        (nan, nan, True),
        (nan, 1.0, False),
        (np.float64(nan), np.array(nan), True),
        (np.array([1.0, nan]), np.array([1.0, nan]), True),
        (np.array([1.0, nan]), np.array([1.0, 2.0]), False),
        (np.array([1.0]), 1.0, False),
        (np.array(1.0), 1.0, True),
        (np.array([[1.0, 1.0]]), np.array([1.0, 1.0]), False),
        (np.array([]), np.array([]), True),
        (np.array([True]), np.array([True]), True),
    ],
)
def test_same_value(a: Any, b: Any, same: bool) -> None:
    assert same_value(a, b) is same
    assert same_value(b, a) is same

"""A recording shows the nodes it was written as, one by one and as columns."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

from softtape.columns import FLOAT, IS_INPUT, NONE, OTHER, SHORT, Recording, Wiring
from softtape.graph import CONSTANT, INPUT, Graph, Node
from softtape.tape import Tape

NODES: list[Node] = [
    (INPUT, (), "x"),
    (CONSTANT, (), 2.0),
    ("multiply", (1, 0), None),
    (CONSTANT, (), True),
    ("sin", (2,), None),
    (INPUT, (), "y"),
    ("where", (3, 4, 5), None),
    ("sum", (6,), {"axis": ()}),
    (CONSTANT, (), 3),
    ("add", (7, 7), None),
]


@pytest.fixture
def recording() -> Recording:
    return Recording.of(NODES)


def test_nodes_are_shown_as_they_were(recording: Recording) -> None:
    assert len(recording) == len(NODES)
    assert [recording.node(i) for i in range(len(NODES))] == NODES  # each decoded by itself
    assert list(recording) == NODES
    assert [recording.node(i) for i in range(len(NODES))] == NODES  # from those decoded before
    assert [recording[i] for i in range(len(NODES))] == NODES
    assert recording[-1] == NODES[-1]
    assert list(recording[2:5]) == NODES[2:5]
    with pytest.raises(IndexError):
        recording[len(NODES)]


def test_nodes_in_columns(recording: Recording) -> None:
    codes, left, right = recording.columns
    assert codes[[0, 1, 3]].tolist() == [IS_INPUT, FLOAT, OTHER]
    assert left.tolist() == [NONE, NONE, 1, NONE, 2, NONE, NONE, NONE, NONE, 7]
    assert right.tolist() == [NONE, NONE, 0, NONE, NONE, NONE, NONE, NONE, NONE, 7]
    assert recording.constant_numbers.tolist() == [1, 3, 8]
    assert recording.unusual() == [True]
    assert dict(recording.others) == {6: ((3, 4, 5), None), 7: ((6,), {"axis": ()})}


def test_of_a_recording_is_itself(recording: Recording) -> None:
    assert Recording.of(recording) is recording
    assert list(Recording.of([])) == []


def test_other_constants_and_more_nodes_leave_the_first_as_it_was(recording: Recording) -> None:
    other = recording.with_constants([4.0, False, 5])
    assert [n for n in other if n[0] == CONSTANT] == [(CONSTANT, (), v) for v in (4.0, False, 5)]
    more: list[Node] = [(CONSTANT, (), 0.5), ("multiply", (9, 10), None)]
    assert list(other.extended(more)) == [*other, *more]
    assert list(recording) == NODES


def test_which_codes_occur_is_known_of_nodes_that_are_added_too(recording: Recording) -> None:
    more: list[Node] = [(CONSTANT, (), np.ones(2)), ("exp", (10,), None)]
    longer = recording.extended(more)
    assert longer.used == Recording.of([*NODES, *more]).used
    assert longer.used == sorted(set(longer.columns.codes.tolist()))


def test_which_codes_occur_is_known_of_many_nodes(recording: Recording) -> None:
    many = Recording.of(NODES * 100)
    many = Recording(Wiring(many.wiring.rows), many.constants, many.keys, many.others)
    assert len(many) > SHORT > len(recording)
    assert many.used == recording.used


def test_the_same_rows_are_read_once(recording: Recording) -> None:
    rows = recording.wiring.rows.tobytes()
    shared = Wiring.of(rows)
    assert Wiring.of(bytes(bytearray(rows))) is shared
    np.testing.assert_array_equal(shared.columns, recording.columns)
    gone = weakref.ref(shared)
    del shared
    gc.collect()
    assert gone() is None  # as soon as no recording has them


def test_a_digest_tells_rows_apart_but_not_the_types_of_ordinary_numbers() -> None:
    def digest(value: Any, left: int = 1) -> bytes:
        nodes: list[Node] = [(INPUT, (), "x"), (CONSTANT, (), value), ("add", (left, 0), None)]
        return Recording.of(nodes).digest

    assert len({digest(value) for value in (2.0, 3, np.float64(4.0))}) == 1
    assert len({digest(2.0), digest(True), digest(2.0, left=0)}) == 3


def test_selected_nodes_refer_to_each_other_by_their_new_numbers(recording: Recording) -> None:
    keep = np.ones(len(NODES), bool)
    keep[[8, 2, 1]] = False
    same = np.arange(len(NODES), dtype=np.int32)
    same[2] = 0
    made, number = recording.selected(keep, same)
    assert str(Graph(made, (int(number[9]),), (), {"x": 0, "y": 3}, {})).splitlines() == [
        "%0 = input 'x'",
        "%1 = constant True",
        "%2 = sin(%0)",
        "%3 = input 'y'",
        "%4 = where(%1, %2, %3)",
        "%5 = sum(%4, axis=())",
        "%6 = add(%5, %5)",
        "return %6",
    ]


@pytest.mark.parametrize("length", [3, 3000])
def test_what_a_tape_wrote(length: int) -> None:
    with Tape() as tape:
        x: Any = tape.input("x", 0.5)
        y = x
        for k in range(length):
            y = (k - y) * x if k % 2 else y + 1.0
        graph = tape.graph([y])
        y + 1  # what comes later is not in it
        assert len(tape.nodes) == len(graph) + 2
    nodes: list[Node] = [(INPUT, (), "x")]
    last = 0
    for k in range(length):
        constant, n = (CONSTANT, (), k if k % 2 else 1.0), len(nodes)
        if k % 2:
            nodes += [constant, ("subtract", (n, last), None), ("multiply", (n + 1, 0), None)]
        else:
            nodes += [constant, ("add", (last, n), None)]
        last = len(nodes) - 1
    assert list(graph.nodes) == nodes
    assert graph.outputs == (last,)


def test_a_refused_operation_leaves_no_trace() -> None:
    with Tape() as tape:
        x: Any = tape.input("x", 0.0)
        for fails in (lambda: 1.0 / x, lambda: x % 0, lambda: x**-1.0):
            with pytest.raises(ZeroDivisionError):
                fails()
        y = x + 1
        assert [op for op, _, _ in tape.nodes] == [INPUT, CONSTANT, "add"]
        assert list(tape.graph([y]).nodes) == list(tape.nodes)


def test_an_operation_leaves_the_garbage_collector_nothing_to_follow() -> None:
    with Tape() as tape:
        x: Any = tape.input("x", 0.5)
        before = len(gc.get_objects())
        for _ in range(2000):
            x = np.sin(2.0 * x - 1) * x
        assert len(gc.get_objects()) - before < 100
        assert len(tape.nodes) == 1 + 6 * 2000

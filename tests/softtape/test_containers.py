"""Containers taken apart and put together again."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import pytest

from softtape.containers import Structure, flatten


class Point(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass(frozen=True)
class Model:
    layers: list[Any]
    name: str = "m"
    cache: Any = dataclasses.field(default=None, init=False)


MODEL = Model([1.0, {"b": 2.0, "a": (3.0, Point(4.0, None))}])


def test_leaves_come_in_order_and_go_back() -> None:
    leaves, structure = flatten(MODEL)
    assert leaves == [1.0, 2.0, 3.0, 4.0, None, "m", None]
    assert structure.rebuild(leaves) == MODEL
    doubled = structure.rebuild([2.0, 4.0, 6.0, 8.0, None, "n", None])
    assert doubled.layers[1]["a"][1] == Point(8.0, None)
    assert doubled.name == "n"
    assert MODEL.name == "m"


def test_paths_are_written_as_python() -> None:
    assert list(flatten(MODEL)[1].paths("p"))[2:6] == [
        "p.layers[1]['a'][0]",
        "p.layers[1]['a'][1][0]",
        "p.layers[1]['a'][1][1]",
        "p.name",
    ]
    assert list(flatten(1.0)[1].paths("p")) == ["p"]


def test_structures_are_compared_by_what_they_are_built_of() -> None:
    assert flatten([1.0, (2,)])[1] == flatten([3.0, ("a",)])[1]
    assert flatten([1.0, (2,)])[1] != flatten([3.0, [1]])[1]
    assert flatten(MODEL)[1] == flatten(Model([0, {"b": 0, "a": (0, Point(0, 0))}]))[1]
    assert flatten(3.0) == ([3.0], Structure())
    assert flatten([])[0] == []


def test_leaves_of_another_container_follow_the_first() -> None:
    structure = flatten({"a": 1, "b": [2, 3]})[1]
    assert list(structure.leaves_of({"b": [20, 30], "a": 10})) == [10, 20, 30]
    for wrong, place in [({"a": 1}, "top"), ({"a": 1, "b": (2, 3)}, r"\['b'\]")]:
        with pytest.raises(ValueError, match=f"at .*{place}"):
            list(structure.leaves_of(wrong))


def test_a_class_itself_is_a_leaf() -> None:
    assert flatten(Model)[0] == [Model]

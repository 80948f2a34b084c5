"""Run a graph's nodes through the primitives: on plain values to compute, on traced to record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softtape.graph import CONSTANT, INPUT, Graph, same_value
from softtape.ops import PRIMITIVES
from softtape.tape import Tape

__all__ = ["GuardBroken", "derive", "replay"]


class GuardBroken(Exception):  # noqa: N818 -- an event to act on, not a user's error
    """A guard does not hold: the program would take another path."""


def replay(graph: Graph, inputs: Mapping[str, Any], *, guarded: bool = False) -> list[Any]:
    """Return the value of each node of ``graph`` when its inputs are ``inputs``.

    Raises
    ------
    GuardBroken
        The guards were asked, and one does not hold.
    """
    expected = dict(graph.guards) if guarded else {}
    values: list[Any] = []
    for number, (op, args, attrs) in enumerate(graph.nodes):
        if op == CONSTANT:
            values.append(attrs)
        elif op == INPUT:
            values.append(inputs[attrs])
        else:
            operands = [values[a] for a in args]
            values.append(PRIMITIVES[op](*operands, **(attrs or {})))
        if number in expected and not same_value(values[number], expected[number]):
            raise GuardBroken
    return values


class _Derivation(Tape):
    """A tape of what rules make of a graph, who change no array: none needs to be copied."""

    __slots__ = ()

    def keep(self, value: NDArray[Any]) -> NDArray[Any]:
        """Return an array as it is; a view in another order as one that is fast to read."""
        return value if value.flags.c_contiguous else value.copy()


def derive(graph: Graph, outputs: Callable[[list[Any]], Sequence[Any]]) -> Graph:
    """Return the graph that runs ``graph`` and then ``outputs`` on the values of its nodes.

    ``outputs`` is plain numpy code, and may use the list up. The guards are kept: where the
    program would take another path, what is derived from this one is not valid either.
    """
    tape = _Derivation()
    with np.errstate(all="ignore"):
        start = {key: tape.input(key, as_numpy(v)) for key, v in graph.start.items()}
        values = replay(graph, start)
        numbers = {k: v._index for k, v in enumerate(values) if hasattr(v, "_index")}
        made = tape.graph(outputs(values))
    guards = tuple((numbers[k], expected) for k, expected in graph.guards if k in numbers)
    return Graph(made.nodes, made.outputs, guards, made.inputs, made.start)


def as_numpy(value: Any) -> Any:
    """Return a float as numpy's, whose 0.0 ** -0.5 is inf where Python's own raises."""
    return np.float64(value) if type(value) is float else value

"""Run a graph's nodes through the primitives: on plain values to compute, on traced to record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from mmap import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softtape.graph import CONSTANT, INPUT, Graph, same_value
from softtape.ops import PRIMITIVES
from softtape.tape import Tape, Traced

__all__ = ["GuardBroken", "derive", "layouts", "replay"]


class GuardBroken(Exception):  # noqa: N818 -- an event to act on, not a user's error
    """A guard does not hold: the program would take another path."""


def replay(
    graph: Graph,
    inputs: Mapping[str, Any],
    *,
    guarded: bool = False,
    read: Sequence[bool] | None = None,
) -> list[Any]:
    """Return the value of each node of ``graph`` when its inputs are ``inputs``.

    Parameters
    ----------
    graph, inputs
        What to run, and on what.
    guarded
        Whether to ask the guards.
    read
        Whether the value of each node will be read; by default, all are. Of a large array that
        is not, only the layout is left once the run is past it.

    Raises
    ------
    GuardBroken
        The guards were asked, and one does not hold.
    """
    expected = dict(graph.guards) if guarded else {}
    values: list[Any] = []
    gone: dict[int, list[int]] = {}
    wanted = read
    for number, (op, args, attrs) in enumerate(graph.nodes):
        if op == CONSTANT:
            values.append(attrs)
        elif op == INPUT:
            values.append(inputs[attrs])
        else:
            operands = [values[a] for a in args]
            values.append(PRIMITIVES[op](*operands, **(attrs or {})))
            if wanted is not None and _is_large(values[-1]):
                gone, wanted = _last_uses(graph, wanted), None
        if number in expected and not same_value(values[number], expected[number]):
            raise GuardBroken
        for a in gone.get(number, ()):
            values[a] = _without_memory(values[a])
    return values


def layouts(graph: Graph) -> list[Any]:
    """Return the value of each node at the start; of large arrays in between only the layout.

    All values at once would need several times the memory that running the program does.
    """
    with np.errstate(all="ignore"):
        return replay(graph, graph.start, read=[False] * len(graph))


def _last_uses(graph: Graph, read: Sequence[bool]) -> dict[int, list[int]]:
    """Return after which nodes which values are done with, of those computed and not ``read``."""
    last = {a: number for number, (_, args, _) in enumerate(graph.nodes) for a in args}
    gone: dict[int, list[int]] = {}
    for a, number in last.items():
        if not read[a] and graph.nodes[a][0] not in (CONSTANT, INPUT):
            gone.setdefault(number, []).append(a)
    return gone


def _is_large(value: Any) -> bool:
    held = value._value if type(value) is Traced else value
    return type(held) is np.ndarray and held.nbytes >= _LARGE


def _without_memory(value: Any) -> Any:
    """Return a large array, plain or traced, as its layout alone; anything else as it is."""
    if not _is_large(value):
        return value
    if type(value) is Traced:
        value._value = _layout_of(value._value)
        return value
    return _layout_of(value)


def _layout_of(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of the same layout that takes no memory, as nobody writes into it.

    What np.empty returns may be memory that was used before, and is then missing elsewhere.
    """
    strides = array.strides if array.flags.forc else np.empty_like(array).strides
    return np.ndarray(array.shape, array.dtype, mmap(-1, array.nbytes), strides=strides)


_SMALL = 1 << 22  # bytes up to which a copy counts for little
_LARGE = 1 << 17  # bytes from which a mapping of its own is worth its pages


class _Derivation(Tape):
    """A tape of what rules make of a graph, who change no array: none needs to be copied."""

    __slots__ = ()

    def keep(self, value: NDArray[Any]) -> NDArray[Any]:
        """Return an array as it is; a view in another order, if small, as one fast to read."""
        as_it_is = value.flags.c_contiguous or (value.flags.f_contiguous and value.nbytes > _SMALL)
        return value if as_it_is else value.copy()


def derive(
    graph: Graph,
    outputs: Callable[[list[Any]], Sequence[Any]],
    read: Sequence[bool] | None = None,
) -> Graph:
    """Return the graph that runs ``graph`` and then ``outputs`` on the values of its nodes.

    ``outputs`` is plain numpy code, and may use the list up; of what is not ``read`` it may ask the
    shape and the dtype (see :func:`replay`). The guards are kept: where the
    program would take another path, what is derived from this one is not valid either.
    """
    tape = _Derivation()
    with np.errstate(all="ignore"):
        start = {key: tape.input(key, as_numpy(v)) for key, v in graph.start.items()}
        values = replay(graph, start, read=read)
        numbers = {k: v._index for k, v in enumerate(values) if hasattr(v, "_index")}
        made = tape.graph(outputs(values))
    guards = tuple((numbers[k], expected) for k, expected in graph.guards if k in numbers)
    return Graph(made.nodes, made.outputs, guards, made.inputs, made.start)


def as_numpy(value: Any) -> Any:
    """Return a float as numpy's, whose 0.0 ** -0.5 is inf where Python's own raises."""
    return np.float64(value) if type(value) is float else value

"""From the nodes of a graph to the source of a Python function, one line for each node.

What the function of a small program looks like::

    def compute(shared, bound, workspace, guarded):
        [v1] = shared
        [v2, v3, v10] = bound
        [b0, b1, b2, b3] = workspace
        b1[()] = v1
        multiply(b1, v2, b0)
        sin(b0, b2)
        subtract(b2, v3, b2)
        square(b2, b3)
        cos(b0, b0)
        multiply(b2, b0, b0)
        v12 = v10.dot(b0)
        v13 = v12 * v8
        return [b3, v13]

Arrays are written into buffers, which are used again as soon as nothing needs their value any
more; an operation on each element by itself may write over its own operand. A number that meets
an array is put into one without axes, which numpy takes in half the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from softtape.graph import CONSTANT, Graph, same_value
from softtape.ops import PRIMITIVES
from softtape.ops.indexing import Slot

__all__ = ["Writer"]

_INFIX = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
_REDUCTIONS = {"sum": np.add.reduce, "max": np.maximum.reduce, "min": np.minimum.reduce}
_VIEWS = {"reshape", "transpose", "broadcast_to", "flip", "getitem", "stop_gradient", "stack"}


class Writer:
    """Writes the lines that compute some nodes, and allots the buffers they write into.

    Parameters
    ----------
    graph
        The graph.
    shown
        The value of each node in one run, which tells shapes and dtypes.
    work
        Numbers of the nodes to compute, in their order; the others are there already,
        under their own names (`v3` for node 3).
    leaving
        Numbers of the nodes whose values the function returns.
    fresh
        Whether what it returns is in arrays of its own, not in buffers, which the next run
        overwrites.
    expected
        What guarded nodes must be, by number; where one is not, the function returns None.

    Attributes
    ----------
    lines
        The body of the function.
    names
        What each node is called there.
    scope
        The functions and constants it refers to.
    """

    def __init__(
        self,
        graph: Graph,
        shown: Sequence[Any],
        work: Sequence[int],
        leaving: Sequence[int],
        expected: Mapping[int, Any],
        *,
        fresh: bool,
    ) -> None:
        """Write the lines."""
        self.lines: list[str] = []
        self.names = [f"v{number}" for number in range(len(graph))]
        self.scope: dict[str, Any] = {"same": same_value}
        self._nodes = graph.nodes
        self._shown = shown
        self._buffers: list[Any] = []  # as they are in one workspace, views of others included
        self._views: dict[int, tuple[Callable[..., Any], int]] = {}
        self._free: dict[Any, list[int]] = {}
        self._owners: dict[int, int] = {}  # node -> the buffer its value is in
        self._numbers: dict[int, str] = {}  # node -> what the number in an array is called
        owning, ends = self._lives(work, leaving, fresh)
        computed = set(work)
        for number in expected:
            if number not in computed:
                self._guard(number, expected)
        for number in work:
            self._node(number, number in owning, ends.get(number, []))
            self._guard(number, expected)
        # the values themselves need as much memory as if no buffer were used twice
        self._layouts = [_layout(buffer) for buffer in self._buffers]
        self._shown, self._buffers = (), []

    @property
    def buffers(self) -> str:
        """The names of what `workspace` returns, as a list to unpack it into."""
        return f"[{', '.join(f'b{number}' for number in range(len(self._layouts)))}]"

    def workspace(self) -> list[Any]:
        """Return buffers, and the views of them the lines refer to, for one thread."""
        made: list[Any] = []
        for number, (shape, dtype, order) in enumerate(self._layouts):
            if number in self._views:
                compute, source = self._views[number]
                made.append(compute(made[source]))
            else:
                made.append(np.empty(shape, dtype).transpose(order))
        return made

    def _lives(
        self, work: Sequence[int], leaving: Sequence[int], fresh: bool
    ) -> tuple[set[int], dict[int, list[int]]]:
        """Return which nodes get a buffer, and which of these are needed last by which node."""
        owning: set[int] = set()
        stays = len(self._nodes)
        last = dict.fromkeys(leaving, stays)
        for number in reversed(work):
            end = last.get(number, number)
            writes = self._writes(number)
            if writes and (end < stays or not fresh):
                owning.add(number)
            if writes or not isinstance(self._shown[number], np.ndarray):
                end = number
            # otherwise it may be a view of its operands, which must stay as long as it does
            for a in self._nodes[number][1]:
                last[a] = max(last.get(a, number), end)
        ends: dict[int, list[int]] = {}
        for number in work:
            if number in owning:
                ends.setdefault(last.get(number, number), []).append(number)
        return owning, ends

    def _writes(self, number: int) -> bool:
        """Whether numpy can write the value of a node into a given array."""
        op, args, attrs = self._nodes[number]
        value = self._shown[number]
        if not isinstance(value, np.ndarray) or not value.shape or value.dtype.kind not in "fbc":
            return False
        if op in _REDUCTIONS:
            return bool(value.dtype == getattr(self._shown[args[0]], "dtype", None))
        return isinstance(getattr(np, op, None), np.ufunc) and not attrs

    def _node(self, number: int, owns: bool, gone: Sequence[int]) -> None:
        op, args, _ = self._nodes[number]
        if owns:
            value = self._shown[number]
            if op != "matmul" and op not in _REDUCTIONS:
                # numpy may write over an operand it reads element by element
                overwritten = [a for a in gone if a in args and _alike(self._shown[a], value)]
                for a in overwritten:
                    self._release(a)
            self._owners[number] = self._buffer(value)
            self.names[number] = f"b{self._owners[number]}"
            self.lines.append(self._call(number, self.names[number]))
        elif not self._is_view(number):
            self.lines.append(f"v{number} = {self._call(number)}")
        for a in gone:
            self._release(a)

    def _buffer(self, value: Any) -> int:
        buffer = np.empty_like(value)
        pool = self._free.setdefault(_kind(buffer), [])
        if not pool:
            pool.append(len(self._buffers))
            self._buffers.append(buffer)
        return pool.pop()

    def _release(self, number: int) -> None:
        if number in self._owners:
            buffer = self._owners.pop(number)
            self._free[_kind(self._buffers[buffer])].append(buffer)

    def _is_view(self, number: int) -> bool:
        """Make a view of a buffer once for all runs, where the node is one."""
        op, args, attrs = self._nodes[number]
        if op not in _VIEWS or len(args) != 1 or not self.names[args[0]].startswith("b"):
            return False
        source = int(self.names[args[0]][1:])
        compute = np.expand_dims if op == "stack" else PRIMITIVES[op].compute
        compute = partial(compute, **(attrs or {}))
        value = compute(self._buffers[source])
        if not np.may_share_memory(value, self._buffers[source]):
            return False
        self.names[number] = f"b{len(self._buffers)}"
        self._views[len(self._buffers)] = compute, source
        self._buffers.append(value)
        return True

    def _call(self, number: int, out: str | None = None) -> str:
        """Return the expression that computes a node, into ``out`` if that is given."""
        op, args, attrs = self._nodes[number]
        names = [self.names[a] for a in args]
        if op in _INFIX and out is None:
            return f" {_INFIX[op]} ".join(names)
        if op == "negative" and out is None:
            return f"-{names[0]}"
        if op == "matmul" and all(np.ndim(self._shown[a]) == 1 for a in args):
            return f"{names[0]}.dot({names[1]})"
        if op in _REDUCTIONS and isinstance(self._shown[args[0]], np.ndarray):
            self.scope[f"a{number}"] = attrs["axis"]
            rest = [f"a{number}", *(["None", out] if out else [])]
            return self._named(f"{op}_over", _REDUCTIONS[op], [*names, *rest])
        if op == "getitem":
            return f"{names[0]}[{self._index(number, names[1:])}]"
        if op == "broadcast_to" and isinstance(self._shown[args[0]], np.number):
            self.scope[f"s{number}"] = attrs["shape"]
            return self._named("spread", _spread, [*names, f"s{number}"])
        if out is not None:
            # numpy wants it named where a third array might be taken for an operand
            into = f"out={out}" if op in ("maximum", "minimum") else out
            others = [s for a in args if type(s := self._shown[a]) is not float]
            double = bool(others) and np.result_type(*others) == np.float64
            names = [self._operand(a, double) for a in args]
            return self._named(op, getattr(np, op), [*names, into])
        compute = PRIMITIVES[op].compute
        compute = partial(compute, **attrs) if attrs else compute
        return self._named(f"{op}_{number}" if attrs else f"{op}_", compute, names)

    def _operand(self, number: int, double: bool) -> str:
        """Return what an operand is called beside arrays: of a number, the array it is in.

        A float of Python's stays what it is unless all others are float64: it is as narrow as they.
        """
        value = self._shown[number]
        if not (double if type(value) is float else isinstance(value, np.inexact)):
            return self.names[number]
        if number not in self._numbers:
            if self._nodes[number][0] == CONSTANT:
                self._numbers[number] = f"c{number}"
                self.scope[f"c{number}"] = np.array(value)
            else:
                self._numbers[number] = f"b{len(self._buffers)}"
                self._buffers.append(np.array(value))
                self.lines.append(f"{self._numbers[number]}[()] = {self.names[number]}")
        return self._numbers[number]

    def _named(self, name: str, function: Callable[..., Any], arguments: Sequence[str]) -> str:
        name = name.replace(".", "_")  # of a library's primitive
        self.scope[name] = function
        return f"{name}({', '.join(arguments)})"

    def _index(self, number: int, arrays: Sequence[str]) -> str:
        """Return the index of a node, the arrays in their slots."""
        parts = []
        for place, part in enumerate(self._nodes[number][2]["index"]):
            if isinstance(part, Slot):
                parts.append(arrays[part.number])
            else:
                parts.append(f"i{number}_{place}")
                self.scope[parts[-1]] = part
        return f"({''.join(part + ', ' for part in parts)})"

    def _guard(self, number: int, expected: Mapping[int, Any]) -> None:
        if number in expected:
            name = self.names[number]
            self.scope[f"e{number}"] = expected[number]
            self.lines.append(f"if guarded and not same({name}, e{number}): return None")


def _spread(number: Any, shape: tuple[int, ...]) -> Any:
    """Return a view of a number as an array, in a sixth of the time of ``np.broadcast_to``."""
    held = np.array(number)
    return np.ndarray(shape, held.dtype, held, strides=(0,) * len(shape))


def _layout(value: Any) -> tuple[tuple[int, ...], Any, list[int]]:
    """Return shape and dtype of memory in C order, and how its axes are those of ``value``."""
    inward = sorted(range(value.ndim), key=lambda axis: -abs(value.strides[axis]))
    order = [inward.index(axis) for axis in range(value.ndim)]
    return tuple(value.shape[axis] for axis in inward), value.dtype, order


def _kind(value: Any) -> tuple[Any, ...]:
    return value.shape, value.dtype, value.strides


def _alike(a: Any, b: Any) -> bool:
    return isinstance(a, np.ndarray) and _kind(a) == _kind(b)

"""The immutable record of one run of a program, as plain data.

A graph is a list of nodes in the order they were computed. The position of a node is its *value
number*; every later node refers to it by that number. Three kinds of node exist:

* ``("input", (), key)``: a value given from outside, by name (the key of a Param);
* ``("constant", (), value)``: a number or array the program brought along;
* ``(op, args, attrs)``: an instruction, the primitive ``op`` applied to the values numbered
  ``args``, with the static keywords ``attrs`` (a dict, or None when there are none).

A node is a bare tuple because recording appends one for every operation of the user's program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

__all__ = [
    "CONSTANT",
    "HOLE",
    "INPUT",
    "Graph",
    "Guard",
    "Node",
    "has_hole",
    "ndim_of",
    "same_value",
    "shape_of",
]

INPUT = "input"
CONSTANT = "constant"

Node: TypeAlias = tuple[str, tuple[int, ...], Any]
Guard: TypeAlias = tuple[int, Any]
"""``(value number, expected value)``: the graph holds only while the two are equal."""


@dataclass(frozen=True, slots=True, init=False)
class Graph:
    """What one run computed.

    Attributes
    ----------
    nodes
        Inputs, constants and instructions, in the order of computation.
    outputs
        Value numbers of the results.
    guards
        What the program asked of its values; where one no longer holds, the program
        would take another path, and the graph is not valid there.
    inputs
        Value number of each input, by key.
    start
        Value of each input when the graph was recorded. Transforms run the graph there
        to learn shapes.
    """

    nodes: Sequence[Node]
    outputs: tuple[int, ...]
    guards: tuple[Guard, ...]
    inputs: Mapping[str, int]
    start: Mapping[str, Any]

    def __init__(
        self,
        nodes: Sequence[Node],
        outputs: tuple[int, ...],
        guards: tuple[Guard, ...],
        inputs: Mapping[str, int],
        start: Mapping[str, Any],
    ) -> None:
        """Set what nothing can set again, in half the time a frozen dataclass takes for it."""
        _set_nodes(self, nodes)
        _set_outputs(self, outputs)
        _set_guards(self, guards)
        _set_inputs(self, inputs)
        _set_start(self, start)

    def __len__(self) -> int:
        """Return the number of nodes."""
        return len(self.nodes)

    def active(self, roots: Iterable[int] | None = None) -> list[bool]:
        """Tell for each node whether it depends on one of ``roots``, by default on an input."""
        sources = set(self.inputs.values() if roots is None else roots)
        active: list[bool] = []
        for number, (_, args, _) in enumerate(self.nodes):
            active.append(number in sources or any(map(active.__getitem__, args)))
        return active

    def __str__(self) -> str:
        """Return one readable line per node."""
        lines = []
        for number, (op, args, attrs) in enumerate(self.nodes):
            if op in (INPUT, CONSTANT):
                lines.append(f"%{number} = {op} {attrs!r}")
            else:
                keywords = [f"{k}={v!r}" for k, v in (attrs or {}).items()]
                operands = ", ".join([f"%{a}" for a in args] + keywords)
                lines.append(f"%{number} = {op}({operands})")
        lines += [f"guard %{number} == {expected!r}" for number, expected in self.guards]
        lines.append("return " + ", ".join(f"%{o}" for o in self.outputs))
        return "\n".join(lines)


# of the slots themselves: one graph is made for every test
_fields: Any = Graph
_set_nodes, _set_outputs = _fields.nodes.__set__, _fields.outputs.__set__
_set_guards, _set_inputs = _fields.guards.__set__, _fields.inputs.__set__
_set_start = _fields.start.__set__


HOLE = float(np.array(0x7FF8_50F7_7A9E_0000, np.uint64).view(float))
"""The NaN that stands in memory for an element that is traced: numpy copies it with the bits."""


def has_hole(value: Any) -> bool:
    """Whether a float, or an array of them, holds what stands for a traced element."""
    bits = np.asarray(value)
    if bits.dtype.kind == "c":
        bits = bits.real
    if bits.dtype not in (np.float64, np.float32):
        return False
    unsigned = np.dtype(f"u{bits.itemsize}")
    hole = np.array(HOLE, bits.dtype).view(unsigned)
    return bool((np.ascontiguousarray(bits).view(unsigned) == hole).any())


def shape_of(value: Any) -> tuple[int, ...]:
    """Return the shape of a number, an array or a traced value, without numpy's dispatch."""
    shape: tuple[int, ...] = getattr(value, "shape", ())
    return shape


def ndim_of(value: Any) -> int:
    """Return the number of axes, without numpy's dispatch where there is one to ask."""
    shape = getattr(value, "shape", None)
    return int(np.ndim(value)) if shape is None else len(shape)


def same_value(a: Any, b: Any) -> bool:
    """Whether two values are equal in shape and everywhere, NaN being equal to itself."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return bool(np.shape(a) == np.shape(b) and ((a == b) | ((a != a) & (b != b))).all())
    return bool(a == b or (a != a and b != b))

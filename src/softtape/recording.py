"""The tape of one derivative, which may lie inside another one.

``grad(f)`` records ``f`` on a tape of its own. Where ``f`` meets values of a tape around it (an
outer derivative, the Params of a fit), these become inputs of the inner tape, and the inner run is
repeated on them afterwards: so what the inner derivative computes is recorded on the outer tape,
and differentiates again. Each derivative having its own tape, they cannot be confused (Siskind and
Pearlmutter, «Nesting forward-mode AD in a functional framework», 2008).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from softtape.graph import CONSTANT, INPUT, Graph
from softtape.operands import plain_operand
from softtape.ops import PRIMITIVES
from softtape.patches import following
from softtape.refusals import outlived, reraise
from softtape.tape import Tape
from softtape.traced import Recorder, Traced

__all__ = ["Recorded", "Run", "current", "record", "run"]

__tracebackhide__ = True  # pytest shows the user's line instead

_depths = itertools.count(1)


class InnerTape(Tape):
    """A tape that keeps the value of each node, and takes in values of the tapes around it."""

    __slots__ = ("around", "kept")

    def __init__(self) -> None:
        """Start an empty recording, inside of all that are open."""
        super().__init__(locate=True)
        self.depth = next(_depths)
        self.kept: dict[int, Any] = {}
        self.around: dict[str, Traced] = {}

    def locate(self, traced: Traced) -> None:
        """Keep a value."""
        self.kept[traced._index] = traced._value

    def close(self) -> None:
        """Refuse further recording, and let go of what was kept."""
        super().close()
        # tape and values refer to each other: memory would wait for the garbage collector
        self.kept, self.around = {}, {}

    def taken_in(self, operand: Any) -> Any:
        """Return a value of a tape around this one as an input of this one."""
        if type(operand) is not Traced or operand._tape is self:
            return operand
        if operand._tape.closed:
            outlived()
        key = f"around {id(operand._tape)}:{operand._index}"
        self.around.setdefault(
            key, operand.snapshot()
        )  # the reference keeps the id from being reused
        return self.input(key, operand._value)

    def graph(self, outputs: Sequence[Any]) -> Graph:
        """Return what was recorded so far, as the graph that computes ``outputs``."""
        return super().graph([self.taken_in(current(o)) for o in outputs])


@dataclass(frozen=True)
class Run:
    """What one run of a function computed, as the code around it sees it.

    Attributes
    ----------
    graph
        Its graph.
    values
        Value of each node: plain, or traced by a tape around.
    keys
        Key of the input that each argument became.
    around
        The innermost tape around that what it computed depends on; None where there is none.
    """

    graph: Graph
    values: Sequence[Any]
    keys: Sequence[str]
    around: Recorder | None

    def known_around(self, value: Any) -> Any:
        """Return a result as the tape around knows it: a constant is one of its values, too.

        Otherwise a derivative that happens to be constant could not be told from a number
        that left the tape. An array without axes becomes a number.
        """
        if isinstance(value, np.ndarray):
            value = value[()]
        if self.around is None or type(value) is Traced:
            return value
        return self.around.record(PRIMITIVES["stop_gradient"], (value,), None)


@dataclass(frozen=True)
class Recorded:
    """What one run of a function recorded on a tape of its own.

    Attributes
    ----------
    graph
        Its graph.
    given
        What each input stands for, by key: an argument, or a value of a tape around.
    kept
        Plain value of each node but the constants.
    """

    graph: Graph
    given: Mapping[str, Any]
    kept: Mapping[int, Any]


def record(
    function: Callable[[list[Any]], Any],
    arguments: Sequence[Any],
    checked: Callable[[Any, bool], Sequence[Any]],
) -> Recorded:
    """Call ``function`` once on traced ``arguments``.

    Parameters
    ----------
    function
        Takes the list of its arguments.
    arguments
        Real numbers and arrays of them, plain or traced. They are the first inputs.
    checked
        Takes what the function returned, and whether its way depended on what its
        arguments are, and gives the outputs of the graph, while the tape is still open.
    """
    tape = InnerTape()
    given = {f"argument {i}": _as_it_is(x) for i, x in enumerate(arguments)}
    try:
        with following():
            result = function([tape.input(key, _plain(x)) for key, x in given.items()])
        graph = tape.graph(checked(result, bool(tape.guards)))
        return Recorded(graph, given | tape.around, tape.kept)
    except Exception as error:
        reraise(error, error.__traceback__)
        raise
    finally:
        tape.close()


def run(
    function: Callable[[list[Any]], Any],
    arguments: Sequence[Any],
    checked: Callable[[Any, bool], Sequence[Any]],
) -> Run:
    """Call ``function`` once, as :func:`record` does, and let the tapes around know its values."""
    made = record(function, arguments, checked)
    keys = list(made.given)[: len(arguments)]
    around = [x._tape for x in made.given.values() if type(x) is Traced]
    if not around:
        kept, nodes = made.kept, made.graph.nodes
        values = [n[2] if n[0] == CONSTANT else kept[k] for k, n in enumerate(nodes)]
        return Run(made.graph, values, keys, None)
    innermost = max(around, key=lambda tape: tape.depth)
    return Run(made.graph, _values_around(made), keys, innermost)


def current(value: Any) -> Any:
    """Return a Param as what it stands for now, anything else as it is."""
    read = getattr(value, "_softtape_current", None)
    return value if read is None else read()


def _as_it_is(value: Any) -> Any:
    """Return an argument as it is now: the function may change an array in place."""
    return value.snapshot() if type(value) is Traced else plain_operand(value)


def _plain(value: Any) -> Any:
    value = value._value if type(value) is Traced else value
    # numpy's float, whose 0.0 ** -0.5 is inf where Python's own raises
    return np.float64(value) if type(value) is float else value


def _values_around(made: Recorded) -> list[Any]:
    """Return the value of each node, computed once more where a tape around has to see it."""
    values: list[Any] = []
    with np.errstate(all="ignore"):  # numpy said what it had to say the first time
        for number, (op, args, attrs) in enumerate(made.graph.nodes):
            operands = [values[a] for a in args]
            if op == CONSTANT:
                values.append(attrs)
            elif op == INPUT and type(made.given[attrs]) is Traced:
                values.append(made.given[attrs])
            elif any(type(x) is Traced for x in operands):
                values.append(PRIMITIVES[op](*operands, **(attrs or {})))
            else:
                values.append(made.kept[number])
    for number, expected in made.graph.guards:
        value = values[number]
        if type(value) is Traced:
            value._tape.guard(value, expected)
    return values

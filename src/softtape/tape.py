"""Run a program once and record what it computed.

While a :class:`Tape` is active, Params read as :class:`Traced` values (see
:mod:`softtape.traced`); each operation on these appends one node to it. Python's loops, calls and
conditionals simply run. Where the program asks a traced value for its truth, or uses it as an
integer, the answer is recorded as a guard.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, NoReturn, Self
from weakref import ReferenceType, ref

import numpy as np
from numpy.typing import NDArray

from softtape import reading
from softtape.arrays import mutated
from softtape.columns import IS_INPUT, NONE, NUMBERS, OTHER, Recording, Wiring
from softtape.graph import Graph, Guard, has_hole
from softtape.location import Location, user_location
from softtape.native import Growing, recorder
from softtape.operands import plain_operand
from softtape.ops import PRIMITIVES, Primitive
from softtape.reading import Readable, Reader, set_reader
from softtape.refusals import outlived, refuse_constant, refuse_hole, reraise
from softtape.traced import Traced

__all__ = ["Tape", "Traced", "stop_gradient"]

__tracebackhide__ = True  # pytest shows the user's line instead


class _Outlived(list[int]):
    """In place of a closed tape's list of rows: a value that outlives its run raises when used."""

    def __iadd__(self, row: Any) -> NoReturn:  # type: ignore[misc]
        outlived()


_OUTLIVED = _Outlived()
_FLOATS = (float, np.float64)

_ARRAY = np.ndarray
_NO_ATTRS: dict[str, Any] = {}
_NO_OTHERS: Mapping[int, tuple[tuple[int, ...], Any]] = MappingProxyType({})
_PART = 1 << 16  # bytes
_FEW = 1000  # nodes of a tape that are looked up: many tests record the same ones


class Recorded:
    """How a tape takes in a run and its operations, where :class:`Growing` is not compiled."""

    __slots__ = ()

    def record(
        self: Any, primitive: Primitive, operands: Sequence[Any], attrs: dict[str, Any] | None
    ) -> Any:
        """Compute ``primitive`` on ``operands``, traced or plain, and append it."""
        args, values = [], []
        for operand in operands:
            if type(operand) is not Traced:
                operand = plain_operand(operand)
                if type(operand) is not Traced:
                    args.append(self.constant(operand))
                    values.append(operand)
                    continue
            if operand._tape is not self:
                return self._across(primitive, operands, attrs)
            args.append(operand._index)
            values.append(operand._value)
        made = Traced()
        if attrs or not 0 < len(args) < 3:
            made._value = value = primitive.compute(*values, **(attrs or _NO_ATTRS))
            # only now: what computes may close the tape, or record on it
            rows, number = self.growing, self.count
            rows += (primitive.code, NONE, NONE)
            self.others[number] = (tuple(args), attrs or None)
            viewed = len(args) == 1 and type(operand) is Traced
            if viewed and type(value) is _ARRAY and value.base is not None:
                self.views += (ref(made), ref(operand))  # numpy says it shares memory
        else:
            made._value = primitive.compute(*values)
            rows, number = self.growing, self.count
            rows += (primitive.code, *args) if len(args) == 2 else (primitive.code, *args, NONE)
        made._tape = self
        made._index = number
        self.count = number + 1
        if self.locations is not None:
            self.locate(made)
        return made

    def __enter__(self) -> Self:
        """Make Params read from now on inputs of this tape."""
        tape: Any = self
        tape._before = set_reader(tape)
        return self

    def __exit__(self: Any, kind: Any, error: Any, traceback: Any) -> None:
        """Give back the reader from before; values of this tape can no longer be used."""
        set_reader(self._before)
        self.close()
        if error is not None:
            self._failed(error, traceback)

    def close(self: Any) -> None:
        """Refuse further recording."""
        self.growing = _OUTLIVED
        self._given.clear()
        self._arrays.clear()
        self._reads.clear()
        self.views.clear()

    def read(self: Any, param: Readable, /) -> Traced:
        """Return the input that stands for ``param`` (see :class:`softtape.reading.Reader`)."""
        known: tuple[Readable, Traced] | None = self._reads.get(id(param))
        if known is not None:
            return known[1]
        value = param._softtape_peek() if self._start is None else self._start(param)
        traced: Traced = self.input(param.key, value)
        self._reads[id(param)] = (param, traced)  # the reference keeps the id from being reused
        return traced

    def input(self: Any, key: str, value: Any, /) -> Traced:
        """Return the input named ``key``, made on first use with ``value``."""
        known: Traced | None = self._given.get(key)
        if known is None:
            if isinstance(value, _ARRAY) and type(value) is not _ARRAY:
                value = value.view(_ARRAY)
            known = Traced()
            rows = self.growing
            rows += (IS_INPUT, NONE, NONE)
            number = self.count
            known._tape, known._index, known._value = self, number, value
            self.count = number + 1
            self.inputs[key], self.start[key], self._given[key] = number, value, known
            if self.locations is not None:
                self.locate(known)
        return known

    @property
    def nodes(self: Any) -> Recording:
        """What was recorded so far, copied."""
        if self.count <= _FEW:
            wiring = Wiring.of(array("i", self.rows).tobytes())
        else:
            wiring = self._long_wiring()
        others = self.others.copy() if self.others else _NO_OTHERS
        return Recording(wiring, tuple(self.constants), tuple(self.inputs), others)

    def graph(self: Any, outputs: Sequence[Any]) -> Graph:
        """Return what was recorded so far, as the graph that computes ``outputs``."""
        numbers = [
            o._index if type(o) is Traced and o._tape is self else self.constant(plain_operand(o))
            for o in outputs
        ]
        if self.holes:
            self._without_holes()
        guards, inputs, start = tuple(self.guards), self.inputs.copy(), self.start.copy()
        return Graph(self.nodes, tuple(numbers), guards, inputs, start)


class Tape(Growing, Recorded):
    """The recording of one run; active as a context manager, closed when that ends.

    An operation costs little more than the call of its method: three numbers (see
    :mod:`softtape.columns`) go to the end of one list, and the garbage collector, which a tuple
    per operation would set going over and over again, has nothing to follow.

    Parameters
    ----------
    locate
        Also note the line of the user's code that computed each node (slower), to name
        the origin of a NaN.
    start
        Gives the value of a Param; by default the one it has.
    """

    __slots__ = ()
    rows: Any
    growing: Any  # where operations write: the rows, as long as it is open
    count: int  # of the nodes
    constants: list[Any]
    others: dict[int, tuple[tuple[int, ...], Any]]
    guards: list[Guard]
    inputs: dict[str, int]
    start: dict[str, Any]
    locations: dict[int, tuple[Location, Any]] | None
    views: list[ReferenceType[Traced]]  # and what they are views of
    holes: bool  # whether an array of the program's has traced elements
    texts: bool  # whether a text was made of a value, which says nothing of its way
    depth: int  # how many derivatives it lies inside of
    _given: dict[str, Traced]  # the inputs; they and the tape refer to each other
    _reads: dict[int, tuple[Readable, Traced]]
    _arrays: dict[int, tuple[Any, Any, int]]
    _before: Reader | None

    def __init__(self, *, locate: bool = False, start: Callable[[Any], Any] | None = None) -> None:
        """Start an empty recording."""
        self._start = start
        if locate:
            self.locations = {}

    def _failed(self, error: BaseException, traceback: TracebackType | None) -> None:
        """Say what an error within the run is really about, if that is known."""
        reraise(error, traceback)

    @property
    def closed(self) -> bool:
        """Whether the run has ended."""
        return self.growing is _OUTLIVED

    def show(self, param: Readable, /) -> None:  # noqa: ARG002 -- see Reader
        """Note that a text was made of a Param."""
        self.texts = True

    def constant(self, value: Any) -> int:
        """Return the value number of a plain number or array.

        An array is kept as a copy, since the program may change it later in place; one that is
        used again unchanged is stored once.
        """
        code = NUMBERS.get(type(value), OTHER)
        if code == OTHER and isinstance(value, np.ndarray):
            return self._array(value)
        return self._constant(code, value)

    def _array(self, value: NDArray[Any]) -> int:
        known = self._arrays.get(id(value))
        if (
            known is not None
            and known[0] is value
            and (known[1] is value or _same_bits(known[1], value))
        ):
            return known[2]
        if value.dtype.kind not in "fbiuc":
            refuse_constant(value)
        if self.holes and has_hole(value):
            refuse_hole()
        kept = self.keep(value)
        number = self._constant(OTHER, kept)
        self._arrays[id(value)] = (value, kept, number)
        return number

    def keep(self, value: NDArray[Any]) -> NDArray[Any]:
        """Return an array as it is now, whatever happens to it afterwards."""
        return value.copy()

    def _constant(self, code: int, value: Any) -> int:
        rows = self.growing
        rows += (code, NONE, NONE)
        self.constants.append(value)
        number: int = self.count
        self.count = number + 1
        return number

    def guard(self, value: Traced, expected: Any) -> None:
        """Note that the program went on as it did because ``value`` was ``expected``."""
        self.guards.append((value._index, expected))

    def mutated(self, value: Traced) -> Any:
        """Return the array that stands for ``value`` from now on, since it changes in place."""
        alive = {id(t): t for view in self.views if (t := view()) is not None}
        self.views = [ref(t) for t in alive.values()]
        return mutated(value, alive.values(), self._given.values())

    def _across(
        self, primitive: Primitive, operands: Sequence[Any], attrs: dict[str, Any] | None
    ) -> Traced:
        """Record where values of several tapes meet: on the innermost, which takes in the others.

        Only the tape of a derivative (see :mod:`softtape.recording`) lies inside another one.
        """
        operands = [o if type(o) is Traced else plain_operand(o) for o in operands]
        tapes = [o._tape for o in operands if type(o) is Traced]
        inner = max(tapes, key=lambda tape: tape.depth)
        if inner.depth == 0 or any(tape.closed for tape in tapes):
            outlived()
        return inner.record(primitive, [inner.taken_in(o) for o in operands], attrs)

    def taken_in(self, operand: Any) -> Any:
        """Return an operand as this tape knows it."""
        return operand

    def locate(self, traced: Traced) -> None:
        """Note where a value comes from."""
        if self.locations is not None:
            self.locations[traced._index] = (user_location(), traced._value)

    def _long_wiring(self) -> Wiring:
        """Return what the rows say, of more of them than are looked up."""
        return Wiring(np.array(self.rows, np.int32).reshape(-1, 3))

    def _without_holes(self) -> None:
        """Refuse constants that stand for what is traced."""
        if any(c != c and has_hole(c) for c in self.constants if type(c) in _FLOATS):
            refuse_hole()


if recorder is not None:
    recorder.bind_tapes(vars(reading), _OUTLIVED, Wiring.of, Recording, Graph, _NO_OTHERS)


def stop_gradient(x: Any) -> Any:
    """Return ``x`` as a value through which, on purpose, no gradient flows.

    Parameters
    ----------
    x
        A number, an array, a Param or a value computed from one.

    Returns
    -------
    number or array
        The same value. A fit follows it as Params move, but as if it were constant when it
        decides where to move them. Read at import time, a Param gives its plain value.
    """
    if isinstance(x, Traced):
        return x._tape.record(PRIMITIVES["stop_gradient"], (x,), None)
    current = getattr(x, "_softtape_current", None)
    if current is None:
        return x
    return stop_gradient(current()) if isinstance(reading.reader, Tape) else x._softtape_peek()


def _same_bits(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two arrays hold the same bytes, compared in parts: no copy is as large as they."""
    if one.nbytes <= _PART or one.shape != other.shape:
        return one.tobytes() == other.tobytes()
    rows = max(1, len(one) * _PART // one.nbytes)
    parts = range(0, len(one), rows)
    return all(one[i : i + rows].tobytes() == other[i : i + rows].tobytes() for i in parts)

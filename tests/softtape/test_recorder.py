"""The compiled operators record what those written in Python do, and lose no memory over it."""

from __future__ import annotations

import contextlib
import copy
import enum
import gc
import operator
import subprocess
import sys
import types
import weakref
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softtape import Param, reading
from softtape.errors import TraceError
from softtape.native import recorder
from softtape.operators import BINARY, python_operators
from softtape.ops import PRIMITIVES
from softtape.patches import following
from softtape.recording import InnerTape
from softtape.tape import Recorded, Tape
from softtape.traced import Recording, Traced

compiled = pytest.mark.skipif(recorder is None, reason="there was no C compiler")
PYTHON = python_operators(Traced)
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
BINARIES = ("add", "sub", "mul", "truediv", "pow", "mod", "floordiv", *COMPARISONS)
UNARIES = ("neg", "pos", "abs")


class Whole(enum.IntEnum):
    TWO = 2


class Own(np.float64):
    pass


def by_python(name: str) -> Callable[..., Any]:
    """Return an operator as Python would find it, had Traced only the methods in Python."""

    def apply(*operands: Any) -> Any:
        if type(operands[0]) is Traced:
            return PYTHON[f"__{name}__"](*operands)
        first = getattr(type(operands[0]), f"__{name}__", None)
        if first and (made := first(*operands)) is not NotImplemented:
            return made
        swapped = dict(zip(COMPARISONS, ("gt", "ge", "lt", "le", "eq", "ne"), strict=True))
        return PYTHON[f"__{swapped.get(name, f'r{name}')}__"](*operands[::-1])

    return apply


numbers = st.one_of(
    st.floats(allow_nan=False, width=64),
    st.integers(-3, 1000),
    st.floats(-10, 10).map(np.float64),
    st.booleans(),
    st.floats(-10, 10, width=32).map(np.float32),
    st.sampled_from([Fraction(1, 3), Decimal(2), 1 - 2j, 10**40, np.int64(7), Whole.TWO, Own(0.5)]),
    st.just(np.array([1.0, 2.0])),
    st.just("text"),
    st.none(),
)
inputs = st.floats(-4, 4) | st.integers(-3, 3) | st.just(np.array([0.5, -2.0]))
steps = st.lists(
    st.tuples(st.sampled_from(BINARIES + UNARIES), st.integers(0, 5), numbers | st.integers(0, 5)),
    max_size=12,
)


def run(steps: list[Any], start: list[Any], find: Callable[[str], Callable[..., Any]]) -> Any:
    """Return all that steps on a tape's values leave behind: rows, constants, values, errors."""
    said = []
    with Tape() as tape:
        known = [tape.input(f"x{i}", value) for i, value in enumerate(start)]
        for name, which, other in steps:
            mine = known[which % len(known)]
            picked = known[other % len(known)] if type(other) is int else other
            operands = (mine,) if name in UNARIES else (mine, picked)
            if which % 2:
                operands = operands[::-1]
            try:
                made = find(name)(*operands)
            except (ArithmeticError, TypeError, ValueError, TraceError) as error:
                said.append(type(error))
            else:
                if type(made) is Traced:
                    known.append(made)
                else:
                    unequal = name == "ne" if name in ("eq", "ne") else TypeError
                    said.append(unequal if made in (NotImplemented, unequal) else type(made))
        rows = [*tape.rows]
        values = [(type(x._value), repr(x._value), x._index) for x in known]
        return rows, [*map(repr, tape.constants)], values, tape.count, said


@compiled
@given(steps, st.lists(inputs, min_size=1, max_size=3))
def test_they_record_what_those_in_python_do(steps: list[Any], start: list[Any]) -> None:
    with np.errstate(all="ignore"):
        ours = run(steps, start, lambda name: getattr(operator, name))
        assert ours == run(steps, start, by_python)


@compiled
@pytest.mark.parametrize("name", [*BINARY, "lt", "le", "eq", "ne", "gt", "ge", *UNARIES, "invert"])
def test_no_operator_of_a_number_goes_to_python(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> Any:
        raise AssertionError("went to Python")

    with Tape() as tape:
        x, y = tape.input("x", True), tape.input("y", 3)  # two truths would be counted
        if name in (*UNARIES, "invert"):
            x = y
        if name == "matmul":
            x, y = tape.input("u", np.ones(2)), tape.input("v", np.ones(2))
        monkeypatch.setattr(Tape, "record", refused)
        monkeypatch.setattr(Traced, "_applied", refused)
        operands = (x,) if name in (*UNARIES, "invert") else (x, y)
        made = PYTHON_FREE(name)(*operands)
    assert made._value == PYTHON_FREE(name)(*(o._value for o in operands))


def PYTHON_FREE(name: str) -> Callable[..., Any]:  # noqa: N802 -- beside PYTHON
    return getattr(operator, name, None) or getattr(operator, f"{name}_")


@compiled
def test_a_ufunc_of_one_number_is_recorded_without_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Recording, "_applied")
    with Tape() as tape:
        made: Any = np.sin(tape.input("x", 0.5))  # type: ignore[call-overload]
        assert made._value == np.sin(0.5)
        assert [*tape.rows][-2:] == [0, -1]


KEPT = np.array([0.5, 1.5, -1.0, 2.0])
ARRAYS: dict[str, Callable[..., Any]] = {
    "view": lambda x, y: x[1:],
    "element": lambda x, y: x[0],
    "mask": lambda x, y: x[x > y],
    "rows": lambda x, y: np.reshape(x, (-1, 1)),
    "flat": lambda x, y: np.ravel(x),
    "transposed": lambda x, y: x.T,
    "total": lambda x, y: x.sum(),
    "last": lambda x, y: np.max(x, axis=-1),
    "two": lambda x, y: np.multiply(x, y),
    "plain": lambda x, y: np.subtract(KEPT[0], x) * KEPT.mean(),
    "array": lambda x, y: np.add(KEPT, x),
    "single": lambda x, y: np.multiply(x, np.float32(0.1)),
    "list": lambda x, y: np.maximum(x, [0.25]),
    "where": lambda x, y: np.where(x > 0, x, y),
    "clip": lambda x, y: np.clip(x, -1, 1),
    "stack": lambda x, y: np.stack([x, x, x]),
    "join": lambda x, y: np.concatenate([np.ravel(x), [1.0, 2.0], KEPT]),
    "dot": lambda x, y: np.dot(np.ravel(x), KEPT),
    "many": lambda x, y: PRIMITIVES["stack"](*[x] * 20, axis=0),
    "set": lambda x, y: x.__setitem__(..., y),
    "wrong": lambda x, y: x[7],
    "nothing": lambda x, y: x.__array_ufunc__(np.add, "__call__", x, None),
}


def recorded(steps: list[tuple[str, int, int]], tape: Tape) -> Any:
    """Return all that numpy's functions on a tape's values leave behind."""
    said = []
    with following(), tape:
        known: list[Any] = [tape.input("x", np.array([0.5, -2.0, 3.0])), tape.input("y", 0.75)]
        for name, i, j in steps:
            try:
                known.append(ARRAYS[name](known[i % len(known)], known[j % len(known)]))
            except (LookupError, TypeError, ValueError, TraceError) as error:
                said.append((type(error), str(error).partition("\n")[2]))
        own = {id(x): i for i, x in enumerate(known)}
        views = [own.get(id(view())) for view in tape.views]
        values = [(type(x), repr(x), getattr(x, "_index", None)) for x in known]
        return (
            [*tape.rows],
            repr(tape.constants),
            repr(tape.others),
            tape.count,
            views,
            values,
            said,
        )


@compiled
@pytest.mark.parametrize("kind", [Tape, lambda: Tape(locate=True), InnerTape])
@given(st.lists(st.tuples(st.sampled_from([*ARRAYS]), *[st.integers(0, 9)] * 2), max_size=15))
def test_functions_of_arrays_are_recorded_as_by_python(
    kind: Callable[[], Tape], steps: list[tuple[str, int, int]]
) -> None:
    with np.errstate(all="ignore"):
        ours = recorded(steps, kind())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Tape, "record", Recorded.record)
            for name in ("_softtape_record", "_derived", "_applied"):
                patch.setattr(Traced, name, getattr(Recording, name))
            assert ours == recorded(steps, kind())


@compiled
def test_where_values_of_two_tapes_meet_the_inner_one_takes_in_the_other() -> None:
    with Tape() as tape:
        x = tape.input("x", np.array([1.0, 2.0]))
        with InnerTape() as inner:
            y = inner.input("y", np.array([3.0, 4.0]))
            for made in (np.where(x > 1.5, x, y), np.add(x, y), np.stack([y, x])):
                assert made._tape is inner  # type: ignore[attr-defined]


def test_a_function_of_a_closed_tapes_values_raises() -> None:
    with Tape() as tape:
        x = tape.input("x", np.array([1.0, 2.0]))
    for late in (lambda: x[0], lambda: np.add(x, KEPT[:2]), lambda: np.sum(x), lambda: np.exp(x)):
        with pytest.raises(TraceError, match=r"test_recorder.py:\d+.*\n.*outlived"):
            late()
    assert tape.count == 1


@pytest.mark.parametrize("name", ["_derived", "_softtape_record"])
def test_what_a_recording_is_asked_with_too_little_it_says_so(name: str) -> None:
    with Tape() as tape, pytest.raises(TypeError, match="argument"):
        getattr(tape.input("x", 1.0), name)(PRIMITIVES["sin"])


class Squares(np.ndarray):  # type: ignore[type-arg]
    pass


RATE = Param(0.5, name="recorder_rate")
TIMES = Param([1.0, 2.0], name="recorder_times")
OTHER_RATE = Param(0.25, name="recorder_rate")  # in another file, one would think
OTHER_RATE._file = "elsewhere.py"
RUNS: dict[str, Callable[[Tape], Any]] = {
    "params": lambda tape: [RATE * 2 + RATE, np.exp(TIMES * RATE), RATE + OTHER_RATE],
    "started": lambda tape: [tape.input("x", 1.5) * 2, tape.input("x", 7.0), 3.0, np.float32(2)],
    "subclass": lambda tape: [tape.input("x", np.ones(3).view(Squares)) @ KEPT[:3], KEPT],
    "guarded": lambda tape: [RATE if RATE > 0 else -RATE],
    "long": lambda tape: [sum((RATE * i for i in range(600)), start=RATE)],
    "nothing": lambda tape: [],
    "no operand": lambda tape: ["text"],
    "no Param": lambda tape: [tape.read(2.0)],  # type: ignore[arg-type]
    "no key": lambda tape: [tape.input([], 1.0)],  # type: ignore[arg-type]
    "foreign": lambda tape: [InnerTape().input("x", 1.0)],
    "hole": lambda tape: [(z := np.zeros(2)).__setitem__(0, RATE), RATE * float(memoryview(z)[0])],
    "hidden": lambda tape: np.zeros(2, object) + np.zeros(3),
    "float": lambda tape: [float(RATE)],
}
RUN = ("__enter__", "__exit__", "close", "read", "input", "nodes", "graph")


def ran(name: str, tape: Tape) -> Any:
    """Return all that the run of a program leaves behind."""
    made: Any = None
    before, said, inside = reading.reader, None, False
    try:
        with following(), tape:
            inside = reading.reader is tape
            made = tape.graph(RUNS[name](tape))
    except Exception as error:
        said = type(error), str(error).partition("\n")[2], type(error.__cause__)
    assert reading.reader is before
    start = {key: (type(value), repr(value)) for key, value in tape.start.items()}
    left = [len(tape._given), len(tape._reads), len(tape._arrays), len(tape.views)]
    nodes = tape.nodes.wiring.shared, str(made), *map(type, getattr(made, "outputs", ()))
    return inside, said, start, left, nodes, getattr(made, "inputs", None), [*tape.rows]


@compiled
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize(
    "kind", [Tape, lambda: Tape(locate=True), lambda: Tape(start=lambda p: 2 * p._softtape_peek())]
)
def test_a_run_is_recorded_as_by_python(
    kind: Callable[[], Tape], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = ran(name, kind())
    for method in RUN:
        monkeypatch.setattr(Tape, method, vars(Recorded)[method])
    assert ours == ran(name, kind())


def test_parts_of_a_tape_that_are_missing_are_an_error() -> None:
    def run(tape: Tape) -> None:
        tape.read(RATE)
        tape.graph([1.0])

    for part in ("_reads", "_given", "inputs", "others", "rows", "constants"):
        tape = Tape()
        delattr(tape, part)
        with pytest.raises((AttributeError, RuntimeError)):
            run(tape)


def everything(x: Any, y: Any) -> None:
    z = 2 * x + y / 3.0 - (-x) ** 2 + abs(y) % 0.7 + np.float64(2.0) * x
    z = np.sin(z) + np.cos(z) * np.exp(-z)
    bool(z < 1e9)
    u: Any = np.stack([x, y, z, z + 1.0])
    for name in ARRAYS.keys() - {"set"}:
        with contextlib.suppress(LookupError, TypeError, ValueError, TraceError):
            ARRAYS[name](u, y)
    for attempt in (lambda: x / 0, lambda: x + "a", lambda: {x: 1}):
        with contextlib.suppress(ArithmeticError, TypeError, TraceError):
            attempt()


@compiled
def test_recording_over_and_over_takes_no_more_memory() -> None:
    def record() -> None:
        with Tape() as tape:
            x, y = tape.input("x", 1.25), tape.read(RATE)
            everything(x, y)
            with contextlib.suppress(TypeError, AttributeError):
                tape.graph([x * RATE, np.sum(TIMES), "text"])
            with contextlib.suppress(TypeError, AttributeError):
                RUNS["no key"](tape)
            tape.graph([x * y, 2.0])
        with contextlib.suppress(TraceError):
            x * y

    for _ in range(200):
        record()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(200):
        record()
    gc.collect()
    assert sys.getallocatedblocks() - before < 100


@pytest.mark.parametrize("operate", [lambda x: x / 0, lambda x: 1 / x, lambda x: np.log(x)])
def test_a_tape_closed_while_numpy_computes_is_not_written_to(operate: Any) -> None:
    tape = Tape()
    x = tape.input("x", np.float64(0.0))
    with (
        np.errstate(all="call", call=lambda *_: tape.close()),
        pytest.raises(TraceError, match=r"test_recorder.py:\d+.*\n.*outlived"),
    ):
        operate(x)
    assert len(tape.rows) == 3 * tape.count <= 6  # a constant, perhaps


def test_nor_is_one_closed_while_python_computes_for_it() -> None:
    tape = Tape()
    x = tape.input("x", np.float64(0.0))
    for attrs in (None, {"dtype": "f8"}):
        primitive = types.SimpleNamespace(code=0, compute=lambda _, **__: tape.close())
        with pytest.raises(TraceError, match="outlived"):
            Recorded.record(tape, primitive, [x], attrs)
        assert len(tape.rows) == 3 * tape.count == 3
        tape.growing = tape.rows


RECORDS = [Recorded.record, *([recorder.Growing.record] if recorder else [])]


@pytest.mark.parametrize("kind", [Tape, lambda: Tape(locate=True), InnerTape])
def test_what_is_recorded_while_numpy_computes_comes_before(kind: Callable[[], Tape]) -> None:
    tape = kind()
    given = [np.float64(0.0), np.float64(3.0), np.array([1e308, 1e308])]
    x, y, z = [tape.input(str(i), value) for i, value in enumerate(given)]
    between: list[Any] = []
    made: list[Any] = []
    with np.errstate(all="call", call=lambda *_: between.append(y + 2.0)):
        made += [y / x, x / x, y / 0.0, 1.0 / x, np.log(x)]
        for record in RECORDS:
            made.append(record(tape, PRIMITIVES["divide"], (y, x), None))
            made.append(record(tape, PRIMITIVES["sum"], (z,), {"axis": 0}))
    nodes = tape.nodes
    for value in (*between, *made):
        op, args, attrs = nodes[value._index]
        operands = [given[a] if a < len(given) else nodes[a][2] for a in args]
        with np.errstate(all="ignore"):
            again = PRIMITIVES[op].compute(*operands, **(attrs or {}))
        np.testing.assert_array_equal(again, value._value)
    assert len(between) >= len(made)


@pytest.mark.parametrize("record", RECORDS)
def test_a_view_of_a_plain_operand_is_recorded_as_no_view(record: Callable[..., Any]) -> None:
    with Tape() as tape:
        made = record(tape, PRIMITIVES["broadcast_to"], (2.0,), {"shape": (3,)})
        assert made._index + 1 == tape.count == len(tape.rows) // 3
        assert tape.views == []


def going(x: Any, what: str) -> Any:
    """Return a function that takes from a value what it is made of, if it still has it."""

    def go(*_: Any) -> float:
        if hasattr(x, what):
            object.__delattr__(x, what)
        gc.collect()
        return 1.0

    return go


def alone() -> Any:
    """Return a value that alone holds its tape."""
    tape = Tape()
    x = tape.input("x", np.float64(0.0))
    tape._given.clear()
    return x


@compiled
class TestWhatPythonDoesMeanwhile:
    @pytest.mark.parametrize("operate", [lambda x: 1.0 / x, np.log, lambda x: np.divide(1.0, x)])
    def test_a_tape_may_go_while_numpy_computes(self, operate: Callable[..., Any]) -> None:
        x = alone()
        with np.errstate(all="call", call=going(x, "_tape")):
            made = operate(x)
        assert made._tape.count == made._index + 1 == len(made._tape.rows) // 3

    def test_a_tape_may_go_while_an_operand_is_taken(self) -> None:
        x = alone()
        other = type("Other", (), {"_softtape_current": going(x, "_tape")})()
        with pytest.raises(AttributeError, match="_tape"):
            x._softtape_record(PRIMITIVES["add"], (other, x), None)

    @pytest.mark.parametrize("what", ["_tape", "_value"])
    def test_a_type_may_have_a_hash_that_does_anything(self, what: str) -> None:
        x = alone()
        go = going(x, what)
        equal = {"__hash__": lambda _: hash((go(), float)[1]), "__eq__": lambda *_: True}
        number = type("Kind", (type,), equal)("Number", (float,), {})(2.0)
        with pytest.raises(AttributeError, match=what):
            x + number

    def test_so_may_what_is_given_as_a_ufunc(self) -> None:
        x = alone()
        go = going(x, "_tape")
        equal = {"__hash__": lambda _: hash((go(), np.add)[1]), "__eq__": lambda *_: True}
        with pytest.raises(TypeError, match="without a tape"):
            x.__array_ufunc__(type("Ufunc", (), equal)(), "__call__", x, 2.0)

    def test_nobody_finds_operands_before_they_are_all_there(self) -> None:
        found: list[Any] = []

        def look(_: Any) -> float:
            found.extend(t for t in gc.get_objects() if type(t) is tuple)
            return 1.0

        with Tape() as tape:
            x = tape.input("x", 0.5)
            other = type("Other", (), {"_softtape_current": look})()
            made: Any = tape.record(PRIMITIVES["where"], (other, x, 2.0), None)
        assert made._value == 0.5
        assert tape.others[made._index][0] == (1, 0, 2)

    def test_an_entry_that_was_in_the_way_may_close_the_tape(self) -> None:
        with Tape() as tape:
            x = tape.input("x", np.array([1.0, 2.0]))
            Entry = type("Entry", (), {"__del__": lambda _: tape.close()})  # noqa: N806
            tape.others[tape.count] = Entry()
            with pytest.raises(TraceError, match="outlived"):
                x[1:]
        assert len(tape.rows) == 3

    def test_a_list_of_operands_may_change_and_an_iterator_ends(self) -> None:
        with Tape() as tape, InnerTape() as inner:
            x, y = tape.input("x", 1.0), inner.input("y", 2.0)
            operands: list[Any] = [y]
            more = type("More", (), {"_softtape_current": lambda _: operands.append(y) or 3.0})()
            operands.append(more)
            made: Any = inner.record(PRIMITIVES["stack"], operands, {"axis": 0})
            assert made._value.tolist() == [2.0, 3.0]
            made = inner.record(PRIMITIVES["stack"], iter([y, x]), {"axis": 0})
            assert made._value.tolist() == [2.0, 1.0]


@compiled
@pytest.mark.parametrize("kind", [Tape, InnerTape])
def test_what_cannot_be_recorded_is_refused_by_name(kind: Callable[[], Tape]) -> None:
    tape = kind()
    x = tape.input("x", 0.5)
    wrong: Any = types.SimpleNamespace(code="a", compute=lambda *_, **__: 1.0)
    for attempt in (
        lambda: x._derived(wrong, {"axis": 0}, 1.0),
        lambda: x._applied(wrong),
        lambda: tape.record(wrong, (x, x), None),
    ):
        with pytest.raises(TypeError, match="integer"):
            attempt()
    for attrs in ((), [("axis", 0)], 0, "axis"):
        with pytest.raises(TypeError, match="are a dict, or None"):
            x._softtape_record(PRIMITIVES["sum"], (x,), attrs)
    y = x + 1.0
    del y._value
    with pytest.raises(AttributeError, match="_value"):
        tape.record(PRIMITIVES["add"], (x, y), None)
    assert len(tape.rows) == 3 * tape.count


@compiled
def test_values_without_a_tape_are_refused_by_name() -> None:
    bare = recorder.Value()
    for attempt in (lambda: bare + 1, lambda: 1 * bare, lambda: bare < 2, lambda: -bare):
        with pytest.raises((TypeError, AttributeError)):
            attempt()
    with pytest.raises(AttributeError, match="_tape"):
        object.__new__(Traced) + 1


def test_a_tape_and_its_values_go_when_nobody_holds_them() -> None:
    tape = Tape()
    x = tape.input("x", 1.0)
    y = x * 2.0
    gone = weakref.ref(y)
    del x, y
    assert gone() is None
    tape.close()


def test_a_tape_in_a_cycle_is_collected() -> None:
    class Owner:
        def __call__(self, param: Any) -> Any:
            return 1.0

    owner: Any = Owner()
    with Tape(start=owner) as tape:
        owner.value = tape.input("x", 1.0) * 2.0
    gone = weakref.ref(owner)
    del owner, tape
    gc.collect()
    assert gone() is None


def test_copies_share_what_they_were_made_of() -> None:
    with Tape() as tape:
        x = tape.input("x", 2.0)
        assert copy.copy(x) is x
        assert copy.deepcopy([x])[0] is x


@compiled
class TestRows:
    def test_grow_by_tuples_and_read_as_integers(self) -> None:
        rows = recorder.Rows()
        for i in range(1000):
            rows += (i, -1, 2 * i)
        assert len(rows) == 3000
        assert [*rows] == [part for i in range(1000) for part in (i, -1, 2 * i)]
        np.testing.assert_array_equal(np.array(rows, np.int32), [*rows])
        assert bytes(rows) == np.array([*rows], np.int32).tobytes()

    def test_empty_ones_are_an_empty_array(self) -> None:
        made = np.array(recorder.Rows(), np.int32)
        assert made.shape == (0,)

    def test_do_not_move_while_an_array_shows_them(self) -> None:
        rows = recorder.Rows()
        rows += (1, 2, 3)
        shown = np.frombuffer(rows, np.int32)
        with pytest.raises(BufferError, match="being read"):
            rows += tuple(range(3000))
        assert shown.tolist() == [1, 2, 3]
        with pytest.raises(ValueError, match="read-only"):
            shown[0] = 5
        del shown
        rows += (4,)
        assert [*rows] == [1, 2, 3, 4]

    def test_nothing_is_written_where_an_array_looks(self) -> None:
        rows = recorder.Rows()
        rows += (1, 2, 3)  # there is room for more
        with memoryview(rows), pytest.raises(BufferError, match="being read"):
            rows += (4,)
        assert bytes(rows) == np.array([1, 2, 3], np.int32).tobytes()

    def test_growing_by_nothing_is_allowed(self) -> None:
        rows = recorder.Rows()
        rows += ()
        assert [*rows] == []

    def test_what_does_not_fit_leaves_them_as_they_were(self) -> None:
        rows = recorder.Rows()
        rows += (1,)
        with pytest.raises(OverflowError, match="at most 2147483647 nodes"):
            rows += (2, 2**31)
        with pytest.raises(OverflowError, match="at most 2147483647 nodes"):
            rows += (2, -(10**30))
        with pytest.raises(TypeError):
            rows += (2, "a")
        with pytest.raises(TypeError):
            rows += (2, np.int64(3))  # whose __index__ could be anybody's
        with pytest.raises(TypeError):
            rows += [2]
        with pytest.raises(IndexError):
            rows[1]
        assert [*rows] == [1]


PROGRAM = """
import numpy as np, softtape
from softtape.tape import Tape
def f(x):
    total = 0.0
    for i in range(3):
        total = total + np.sin(x * i) ** 2 / (1 + abs(x)) - (x if x > 0 else -x)
    return total
def said():
    with Tape() as tape:
        tape.graph([f(tape.input("x", 0.75))])
    return [*tape.rows], tape.constants, softtape.grad(f)(0.75)
"""
WITHOUT = """
import sys, types
sys.modules["softtape._recorder"] = {}
from softtape.native import recorder
assert recorder is None
"""
ANEW = """
import sys
before, old = said(), said
for name in [name for name in sys.modules if name.startswith("softtape")]:
    del sys.modules[name]
"""


UNBOUND = """
import importlib.util
spec = importlib.util.spec_from_file_location("softtape._recorder", {!r})
recorder = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recorder)
value, tape = recorder.Value(), recorder.Growing()
value._tape, value._value = tape, 1.0
for record in (
    lambda: tape.record(None, (1.0,), None),
    lambda: value._softtape_record(None, (1.0,), None),
    lambda: value._derived(type("Primitive", (), {{"code": 3}}), None, 1.0),
    lambda: tape.input("x", 1.0),
    lambda: tape.graph([1.0]),
    tape.__enter__,
    tape.close,
    lambda: tape.__exit__(None, None, None),
):
    try:
        record()
    except RuntimeError as error:
        print(error)
"""


@compiled
def test_before_anybody_said_what_operations_do_nothing_is_recorded() -> None:
    said = printed(UNBOUND.format(recorder.__file__)).splitlines()
    assert said == ["import softtape.tape before values are recorded"] * 8


def printed(program: str, *args: str) -> str:
    command = [sys.executable, "-c", program, *args]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("instead", ["None", "types.ModuleType('of an older source')"])
def test_without_them_the_same_is_recorded(instead: str) -> None:
    show = "print(said())"
    ours = printed(PROGRAM + show)
    assert printed(WITHOUT.format(instead) + PROGRAM + show) == ours != ""


DAMAGED = """
import importlib.machinery, importlib.util, sys

class Finder:
    def find_spec(name, *_):
        if name == "softtape._recorder":
            loader = importlib.machinery.ExtensionFileLoader(name, path)
            return importlib.util.spec_from_file_location(name, path, loader=loader)

sys.meta_path.insert(0, Finder)
for path in sys.argv[1:]:
    from softtape import native
    print(native.recorder)
    del sys.modules["softtape.native"], sys.modules["softtape"].native
"""


def test_a_compiled_file_that_is_damaged_or_of_something_else_is_left_out(tmp_path: Path) -> None:
    files = {"empty": b"", "cut": b"\x7fELF" + bytes(60), "text": b"not compiled"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    from numpy.fft import _pocketfft_umath as other

    assert (
        printed(DAMAGED, *(str(tmp_path / name) for name in files), other.__file__) == "None\n" * 4
    )


def test_softtape_imported_anew_records_beside_the_old_one() -> None:
    made = printed(PROGRAM + ANEW + PROGRAM + "print(said is not old, said() == before == old())")
    assert made.split() == ["True", "True"]

"""Stand in for a number or an array, and note every operation on it.

A :class:`Traced` value takes part in plain numpy programs through ``__array_ufunc__`` and
``__array_function__`` and through Python's operators; each operation appends one node to the
recorder it belongs to, a :class:`softtape.tape.Tape`.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any, NoReturn, Protocol
from weakref import ReferenceType, ref

import numpy as np

from softtape.columns import NONE
from softtape.errors import TraceError
from softtape.graph import shape_of
from softtape.libraries import library_ufunc
from softtape.location import user_location
from softtape.native import Value
from softtape.operands import ORDINARY, Flat, changeable, holds_traced, plain_operand, stacked
from softtape.operators import BINARY, UFUNCS, give_operators
from softtape.ops import FUNCTIONS, PRIMITIVES, SEQUENCES, Primitive
from softtape.ops.assignment import CHANGING, apply_at, masked, store
from softtape.ops.complex import is_complex
from softtape.ops.indexing import Slot, getitem
from softtape.ops.methods import ufunc_method
from softtape.refusals import (
    outlived,
    refuse,
    refuse_array,
    refuse_float,
    refuse_function,
    refuse_statistics,
    refuse_unknown_arguments,
)

__all__ = ["Recorder", "Traced"]

__tracebackhide__ = True  # pytest shows the user's line instead


_ARRAY = np.ndarray
_BY_ARRAY: dict[str, Any] = {"index": (Slot(0),)}  # x[i]: never changed, hence shared
_BOUNDS = frozenset({int, type(None)})
_LEVELS = {**SEQUENCES}
_DTYPES: dict[type, np.dtype[Any]] = {kind: np.dtype(kind) for kind in (float, bool, complex)}

_np: Any = np  # for calls on traced values, of which numpy's annotations do not know


class Recorder(Protocol):
    """What a traced value needs to know of its tape (see :class:`softtape.tape.Tape`)."""

    count: int
    constants: list[Any]
    locations: Any
    others: dict[int, tuple[tuple[int, ...], Any]]
    views: list[ReferenceType[Traced]]
    growing: list[int]
    depth: int
    texts: bool
    holes: bool

    @property
    def closed(self) -> bool:
        """Whether its run has ended."""

    def record(
        self, primitive: Primitive, operands: Sequence[Any], attrs: dict[str, Any] | None
    ) -> Traced:
        """Compute ``primitive`` on ``operands``, traced or plain, and append it."""
        ...

    def guard(self, value: Traced, expected: Any) -> None:
        """Note that the program went on as it did because ``value`` was ``expected``."""
        ...

    def mutated(self, value: Traced) -> Any:
        """Return the array that stands for ``value`` from now on, since it changes in place."""
        ...

    def taken_in(self, operand: Any) -> Any:
        """Return an operand as this tape knows it."""
        ...

    def locate(self, traced: Traced) -> None:
        """Note where a value comes from."""
        ...


class Recording:
    """How an operation on values of one tape is recorded, where :class:`Value` is not compiled."""

    __slots__ = ()

    def _softtape_record(
        self: Any, primitive: Primitive, operands: Sequence[Any], attrs: dict[str, Any] | None
    ) -> Any:
        if attrs and len(operands) == 1:
            return self._derived(primitive, attrs, primitive.compute(self._value, **attrs))
        return self._tape.record(primitive, operands, attrs or None)

    def _applied(self: Any, primitive: Primitive) -> Any:
        """Record an operation on this value alone, as Tape.record does."""
        tape = self._tape
        made = Traced()
        made._value = primitive.compute(self._value)
        rows = tape.growing
        rows += (primitive.code, self._index, NONE)
        made._tape = tape
        made._index = number = tape.count
        tape.count = number + 1
        if tape.locations is not None:
            tape.locate(made)
        return made

    def _derived(self: Any, primitive: Primitive, attrs: dict[str, Any], value: Any) -> Any:
        """Record what was made of this value alone, with static keywords, as Tape.record does."""
        tape = self._tape
        rows = tape.growing
        rows += (primitive.code, NONE, NONE)
        number = tape.count
        tape.others[number] = ((self._index,), attrs)
        made = Traced()
        made._value = value
        made._tape = tape
        made._index = number
        tape.count = number + 1
        if type(value) is _ARRAY and value.base is not None:
            tape.views += (ref(made), ref(self))  # they share memory
        if tape.locations is not None:
            tape.locate(made)
        return made


class Traced(Value, Recording):
    """A value under tracing; behaves like the numpy scalar or array it carries."""

    __slots__ = ("__weakref__",)
    _tape: Recorder
    _index: int
    _value: Any

    # ---- numpy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        """Record a call of a numpy ufunc."""
        if method == "__call__" and not keywords:  # nearly always
            known = UFUNCS.get(ufunc)
            if known is not None:
                if len(inputs) == 1:
                    return self._applied(known)
                return self._tape.record(known, inputs, None)
        for key in ("out", "where"):
            if keywords.get(key) is None or keywords[key] is True:
                keywords.pop(key, None)
        if method == "at":
            return apply_at(ufunc, changeable(inputs[0], f"np.{ufunc.__name__}.at"), *inputs[1:])
        if "out" in keywords:
            outs = keywords.pop("out")
            for out in outs:
                changeable(out, f"out= (or an in-place operator) of np.{ufunc.__name__}")
            where = keywords.pop("where", True) if method == "__call__" else True
            keywords.pop("axes", None)  # which x @= y gives, as they are by default
            inputs = inputs if where is True else masked(where, inputs)
            return store(outs, getattr(ufunc, method)(*inputs, **keywords), where)
        if "where" in keywords and method == "__call__":
            refuse(f"where= of np.{ufunc.__name__}", "Use np.where(condition, a, b).")
        dtype = keywords.pop("dtype", None) if method == "__call__" else None
        if method == "__call__" and not keywords:
            # a.clip(t) on a plain array a calls a ufunc of that name, which numpy does not export
            code = FUNCTIONS.get(np.clip if ufunc.__name__ == "clip" else ufunc)
            result = (code or library_ufunc(ufunc))(*inputs)
            return result if dtype is None else result.astype(dtype)
        try:
            made = ufunc_method(ufunc, method, inputs, keywords)
        except NotImplementedError as error:
            raise TraceError(f"{user_location()}\n{error}") from None
        if made is NotImplemented:
            called = "" if method == "__call__" else f".{method}"
            known_by = f" with {', '.join(sorted(keywords))}=" if keywords else ""
            refuse_function(f"np.{ufunc.__name__}{called}{known_by}")
        return made

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, keywords: Any
    ) -> Any:
        """Record a call of a numpy function."""
        known = FUNCTIONS.get(function)
        if known is None:
            refuse_function(_name(function))
        if keywords:
            out = keywords.pop("out", None)
            if out is not None:
                out = out[0] if isinstance(out, tuple) else out
                changeable(out, f"out= of {_name(function)}")
                return store((out,), function(*args, **keywords))
            keywords = {k: _operand(v) for k, v in keywords.items()}
        levels = _LEVELS.get(function)
        if levels is not None:
            given = [*map(_parts, args, levels)]
            args = (
                given if len(given) == len(args) else [*given, *map(_operand, args[len(given) :])]
            )
        elif function in CHANGING:
            args = (changeable(args[0], _name(function)), *map(_operand, args[1:]))
        elif not _AS_IT_IS.issuperset(map(type, args)):
            args = tuple(map(_operand, args))
        try:
            return known(*args, **keywords)
        except NotImplementedError as error:
            name = _name(function)
            raise TraceError(f"{user_location()}\n{name} under tracing: {error}") from None
        except TypeError as error:
            refuse_unknown_arguments(known, _name(function), args, keywords, error)
            raise

    # ---- what a number or an array is asked

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return shape_of(self._value)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(shape_of(self._value))

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(shape_of(self._value))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype; that of a Python number is numpy's default for it."""
        known: np.dtype[Any] | None = _DTYPES.get(type(self._value))
        if known is None:
            known = getattr(self._value, "dtype", None)
        return np.asarray(self._value).dtype if known is None else known

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.size * self.itemsize

    @property
    def T(self) -> Any:  # noqa: N802 -- numpy's name
        """The transpose."""
        return self.__array_function__(np.transpose, (), (self,), {})

    @property
    def mT(self) -> Any:  # noqa: N802 -- numpy's name
        """The transpose of the last two axes."""
        return _np.matrix_transpose(self)

    @property
    def real(self) -> Any:
        """The real part."""
        return _np.real(self)

    @property
    def imag(self) -> Any:
        """The imaginary part."""
        return _np.imag(self)

    @property
    def flat(self) -> Flat:
        """The elements in one row."""
        return Flat(self)

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return len(self._value)

    def __iter__(self) -> Iterator[Any]:
        """Yield the parts along the first axis, each of them traced."""
        return (self[i] for i in range(len(self._value)))

    def __repr__(self) -> str:
        """Show the value, marked as traced."""
        return f"traced({self._value!r})"

    def __str__(self) -> str:
        """Show the value."""
        self._tape.texts = True
        return str(self._value)

    def __format__(self, spec: str) -> str:
        """Format the value."""
        self._tape.texts = True
        return format(self._value, spec)

    def __divmod__(self, other: Any) -> Any:
        """Return quotient and remainder."""
        return _np.divmod(self, other)

    def __rdivmod__(self, other: Any) -> Any:
        """Return quotient and remainder."""
        return _np.divmod(other, self)

    # ---- leaving the tape: by a guard, or not at all

    def _pinned(self) -> Any:
        """Return the plain value, on which from now on the validity of the graph depends."""
        if self._tape.closed:
            outlived()
        value = self._value
        self._tape.guard(self, value.copy() if isinstance(value, np.ndarray) else value)
        return value

    def __bool__(self) -> bool:
        """Return the truth value, and guard it."""
        value = self._value
        truth = bool(value)  # an array of several elements raises here, as numpy does
        if type(value) is not bool and self.dtype != np.bool_:
            return bool(_np.not_equal(self, 0))
        self._pinned()
        return truth

    def __index__(self) -> int:
        """Return an integer value, and guard it."""
        if not np.issubdtype(self.dtype, np.integer) and type(self._value) is not bool:
            raise TypeError(f"only integers can be an index or a loop bound, not {self!r}")
        return operator.index(self._pinned())

    def __int__(self) -> int:
        """Return the value cut to an integer, and guard that integer."""
        return int(self._pinned() if self.dtype.kind in "biu" else _np.trunc(self)._pinned())

    def __round__(self, ndigits: int | None = None) -> Any:
        """Return ``round(x)``, guarded, or the rounded value, whose slope is zero."""
        if ndigits is None:
            return int(_np.rint(self)._pinned())
        return _np.round(self, ndigits)

    def __floor__(self) -> int:
        """Return ``math.floor(x)``, guarded."""
        return int(_np.floor(self)._pinned())

    def __ceil__(self) -> int:
        """Return ``math.ceil(x)``, guarded."""
        return int(_np.ceil(self)._pinned())

    def __trunc__(self) -> int:
        """Return ``math.trunc(x)``, guarded."""
        return int(_np.trunc(self)._pinned())

    def __float__(self) -> float:
        """Return an integer's value, guarded; raise where a gradient would be lost."""
        __tracebackhide__ = _beside_others
        if not self.ndim and self.dtype.kind in "biu":
            return float(self._pinned())
        return refuse_float(self.ndim)

    def as_integer_ratio(self) -> NoReturn:
        """Raise: exact arithmetic, which asks for it, would lose the gradient."""
        refuse_statistics(user_location().text)
        refuse("a fraction", "Compute in floats.")

    def is_integer(self) -> bool:
        """Return whether it is a whole number, guarded."""
        return bool(self == _np.floor(self))

    def __complex__(self) -> complex:
        """Raise: the gradient would be lost."""
        refuse(
            "complex()",
            "Write x + 1j * y for complex(x, y), and np.exp for cmath.exp.",
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Return truth values and positions, guarded; raise where a gradient would be lost."""
        __tracebackhide__ = _beside_others
        if self.dtype.kind in "biu":
            return np.array(self._pinned(), dtype=dtype)
        return refuse_array()

    def __hash__(self) -> int:
        """Raise: as a key it would lose its gradient."""
        refuse("hash() (a dict key, a set, functools.lru_cache)", "Key by plain numbers.")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """Raise: a pickle would lose the gradient."""
        refuse("pickling", "Run the program in the process of the test.")

    def snapshot(self) -> Traced:
        """Return what it is now, whatever happens to it afterwards."""
        made = Traced()
        made._tape, made._index, made._value = self._tape, self._index, self._value
        return made

    def _softtape_shares(self, made: Any, view: Any) -> None:
        """Let ``made``, elements of this array, share its memory as a view in numpy does."""
        if type(made) is Traced and type(view) is np.ndarray and view.base is not None:
            made._value = view
            made._tape.views += (ref(made), ref(self))

    def copy(self, order: Any = "C") -> Traced:
        """Return a copy of an array, which does not change with it; a number is its own copy."""
        if type(self._value) is not np.ndarray:
            return self
        made = self.snapshot()
        made._value = self._value.copy()
        return made

    def __copy__(self) -> Traced:
        """Return a copy of an array; a number is its own copy."""
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Traced:
        """Return a copy of an array; a number is its own copy."""
        return self.copy()

    def __setitem__(self, index: Any, value: Any) -> None:
        """Change elements of an array, in all that share its memory (see softtape.arrays)."""
        if type(self._value) is not np.ndarray:
            raise TypeError(f"{self!r} is a number and does not support item assignment")
        self._tape.mutated(self)[index] = value

    def fill(self, value: Any) -> None:
        """See ndarray.fill."""
        self[...] = value

    def put(self, indices: Any, values: Any, mode: Any = "raise") -> None:
        """See np.put."""
        _np.put(self, indices, values, mode)

    def sort(self, *args: Any, **keywords: Any) -> None:
        """See ndarray.sort."""
        self[...] = _np.sort(self, *args, **keywords)

    def partition(self, *args: Any, **keywords: Any) -> None:
        """See ndarray.partition."""
        self[...] = _np.partition(self, *args, **keywords)

    # ---- indexing

    def __getitem__(self, index: Any) -> Any:
        """Record numpy's indexing; index arrays become operands, a traced mask a guard."""
        if type(index) is int or (type(index) is slice and _is_static(index)):
            index = (index,)
            return self._derived(getitem, {"index": index}, self._value[index])
        if type(index) is _ARRAY:
            return self._tape.record(getitem, (self, index), _BY_ARRAY)
        template: list[Any] = []
        arrays: list[Any] = []
        for part in index if isinstance(index, tuple) else (index,):
            if type(part) is int or part is None or part is Ellipsis:
                template.append(part)
            elif isinstance(part, slice):
                bounds = (part.start, part.stop, part.step)
                template.append(slice(*(b if b is None else operator.index(b) for b in bounds)))
            else:
                part = part if type(part) is Traced else plain_operand(part)
                if type(part) is Traced and part.dtype == np.bool_:
                    part = part._pinned()
                if isinstance(part, (int, np.integer)):
                    template.append(part)
                    continue
                template.append(Slot(len(arrays)))
                arrays.append(part)
        if not arrays:
            index = tuple(template)
            return self._derived(getitem, {"index": index}, self._value[index])
        return self._tape.record(getitem, (self, *arrays), {"index": tuple(template)})

    # ---- numpy's methods: the function of the same name

    def item(self, *args: Any) -> Any:
        """Return the single element, still traced."""
        if not args and self.size != 1:
            raise ValueError("can only convert an array of size 1 to a scalar")
        index = args[0] if len(args) == 1 else args
        return self[index] if index and isinstance(index, tuple) else _np.ravel(self)[index or 0]

    def tolist(self) -> Any:
        """Return nested lists of traced scalars."""
        return [part.tolist() for part in self] if self.ndim else self

    def astype(self, dtype: Any, **keywords: Any) -> Any:
        """Return the value in another dtype; integers and booleans have no gradient."""
        wanted = np.dtype(dtype)
        if wanted == self.dtype:
            return self.copy() if keywords.get("copy", True) else self
        if is_complex(self) and wanted.kind != "c":
            # as numpy does
            lost = "Casting complex values to real discards the imaginary part"
            warnings.warn(lost, np.exceptions.ComplexWarning, stacklevel=2)
            return self.real.astype(wanted)
        if wanted.kind in "fc":
            return self._tape.record(PRIMITIVES["astype"], (self,), {"dtype": wanted.str})
        if wanted.kind in "biu":
            whole = _np.not_equal(self, 0) if wanted.kind == "b" else _np.trunc(self)
            return whole._pinned().astype(wanted)
        return refuse(f"astype({wanted})", "The tape knows numbers.")

    def reshape(self, *shape: Any, **keywords: Any) -> Any:
        """See np.reshape; lengths may be given one by one."""
        lengths = shape[0] if len(shape) == 1 else shape
        return self.__array_function__(np.reshape, (), (self, lengths), keywords)

    def transpose(self, *axes: Any) -> Any:
        """See np.transpose; axes may be given one by one."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
        return self.__array_function__(np.transpose, (), (self, order), {})

    def flatten(self, order: Any = "C") -> Any:
        """Return a copy of np.ravel's result."""
        return _np.ravel(self, order).copy()

    def compress(self, condition: Any, axis: Any = None) -> Any:
        """See np.compress."""
        return _np.compress(condition, self, axis)

    def conj(self) -> Any:
        """See np.conjugate."""
        return _np.conjugate(self) if self.dtype.kind == "c" else self

    conjugate = conj


def _is_static(part: slice) -> bool:
    return {type(part.start), type(part.stop), type(part.step)} <= _BOUNDS


# ---- operands: what stands beside a traced value

_AS_IT_IS = frozenset({Traced, type(None), str, *ORDINARY})
"""Types of what is an argument of a numpy function as it is."""


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)


def _operand(value: Any) -> Any:
    """Return an argument of a numpy function: a Param's value, a list of traced ones as array."""
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind in (list, tuple):
        if ORDINARY.issuperset(map(type, value)):
            return value
        value = type(value)(_operand(v) for v in value)
        return stacked(value) if holds_traced(value) else value
    current = getattr(value, "_softtape_current", None)
    return value if current is None else current()


def _parts(value: Any, levels: int) -> Any:
    """Return a sequence of arguments, each as `_operand` has it."""
    if levels and isinstance(value, (list, tuple)):
        if _AS_IT_IS.issuperset(map(type, value)):
            return value
        return [p if type(p) is Traced else _parts(p, levels - 1) for p in value]
    return _operand(value)


def _beside_others(raised: Any) -> bool:
    """Whether pytest has a line to show beside ours; it asks with its ExceptionInfo.

    numpy may raise an error of its own from one of ours, which then passed no line of the user's.
    """
    frames = [entry.frame for entry in raised.traceback] if raised else []
    return any(not frame.f_globals.get("__tracebackhide__") for frame in frames)


# ---- operators and methods, made from tables


_METHODS = (
    *("sum", "prod", "mean", "std", "var", "max", "min", "ptp", "cumsum", "cumprod"),
    *("argmax", "argmin", "argsort", "all", "any", "ravel", "squeeze", "swapaxes", "take"),
    *("repeat", "clip", "round", "dot", "trace", "diagonal", "nonzero"),
    *("choose", "searchsorted", "argpartition"),
)


def _in_place(name: str) -> Callable[[Traced, Any], Any]:
    change = getattr(operator, name)

    def method(self: Traced, other: Any) -> Any:
        if type(self._value) is not np.ndarray:
            return NotImplemented  # a number: Python rebinds the name to x + y
        change(self._tape.mutated(self), other)
        return self

    return method


def _numpy_method(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Traced, *args: Any, **keywords: Any) -> Any:
        # what numpy's dispatch would come to
        return self.__array_function__(function, (), (self, *args), keywords)

    method.__doc__ = f"See np.{function.__name__}."
    return method


def _install() -> None:
    """Give Traced Python's operators, computing as plain Python would, and numpy's methods."""
    give_operators(Traced)
    for short in BINARY:
        if short not in ("and", "or", "xor"):
            setattr(Traced, f"__i{short}__", _in_place(f"__i{short}__"))
    for name in _METHODS:
        setattr(Traced, name, _numpy_method(getattr(np, name)))


_install()

"""During a fit, let ``math.sin(x)`` and ``np.array([x, y])`` follow traced values.

Python's ``math`` and ``cmath`` ask their argument for a number, and ``np.array`` builds an array of
objects; numpy's protocols reach neither. While :func:`following` is active, the functions that
stand in these modules are ones that look for a traced argument first, and do what they always did
if there is none. A name taken before (``from math import sin``) is not reached: it stops with the
error that names the replacement.
"""

from __future__ import annotations

import cmath
import functools
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np

from softtape.arrays import Fresh, Mutated, bare, linked
from softtape.graph import has_hole
from softtape.mathematics import CMATH, DOMAINS, MATH, OF_ITEMS
from softtape.operands import changeable, plain_operand, stacked
from softtape.ops import FUNCTIONS
from softtape.ops.assignment import CHANGING
from softtape.refusals import refuse, refuse_hole
from softtape.traced import Traced

__all__ = ["FOLLOWED", "following"]

__tracebackhide__ = True  # pytest shows the user's line instead


def _array(values: Any, dtype: Any = None, *, ndmin: int = 0, copy: Any = True, **_: Any) -> Any:
    made = stacked(values)
    if made is values and copy is True:
        made = made.copy()
    if dtype is not None and made.dtype != dtype:
        made = made.astype(dtype)
    if not ndmin or made.ndim >= ndmin:
        return made
    return np.reshape(made, (1,) * (ndmin - made.ndim) + made.shape)


def _asarray(values: Any, dtype: Any = None, **_: Any) -> Any:
    return _array(values, dtype, copy=False)


def _full(shape: Any, fill_value: Any, dtype: Any = None, **_: Any) -> Any:
    made = stacked(fill_value)
    return np.ones(shape, made.dtype if dtype is None else dtype) * made


_LINSPACE = FUNCTIONS[np.linspace]


def _linspace(start: Any, stop: Any, *args: Any, **keywords: Any) -> Any:
    return _LINSPACE(stacked(start), stacked(stop), *args, **keywords)


def _arange(*limits: Any, dtype: Any = None, **_: Any) -> Any:
    start, stop, step = (0.0, *limits, 1.0) if len(limits) == 1 else (*limits, 1.0)[:3]
    count = max(math.ceil((stop - start) / step), 0)  # guarded
    made = start + np.arange(count) * step
    return made if dtype is None else made.astype(dtype)


_NUMPY: dict[str, Callable[..., Any]] = {
    "array": _array,
    "asarray": _asarray,
    "asanyarray": _asarray,
    "ascontiguousarray": _asarray,
    "asfortranarray": _asarray,
    "asarray_chkfinite": _asarray,
    "require": lambda values, dtype=None, *_, **__: _asarray(values, dtype),
    "full": _full,
    "linspace": _linspace,
    "arange": _arange,
}
"""Makers of arrays whose arguments may be traced, and what they do then."""

FOLLOWED: Mapping[str, str] = {
    **dict.fromkeys(_NUMPY, "followed while a program is traced"),
    **dict.fromkeys(("fromiter", "ndenumerate", "r_", "c_"), "followed while a program is traced"),
    "vectorize": "calls the function for each element",
    "poly1d": "numpy's own code, whose coefficients may be traced",
}
"""Names of numpy that mean another function while a program is traced, and what is to be said."""

_MAKERS = (
    *("zeros", "ones", "empty", "eye", "identity", "copy", "logspace", "geomspace", "tri"),
    *("zeros_like", "ones_like", "empty_like", "full_like", "fromfunction"),
    *("concatenate", "stack", "vstack", "hstack", "column_stack", "tile", "repeat", "diag"),
)
"""Further makers of arrays, which get traced arguments by numpy's own protocols, if any."""

_SPECTRA = [
    *(
        f"{way}{kind}fft{axes}"
        for way in ("", "i")
        for kind in ("", "r")
        for axes in ("", "2", "n")
    ),
    *("hfft", "ihfft", "fftfreq", "rfftfreq"),
]

_ITS_OWN = (np.linspace, np.logspace, np.geomspace, np.tile, np.repeat)
"""Makers that may return a view, but only of an array that nobody else knows."""


_AS_THEY_ARE = (
    *(np.array, np.asarray, np.asanyarray, np.ascontiguousarray, np.asfortranarray, np.require),
)
"""Makers that may return the array that they are given."""


def _array_of(value: Any) -> Any:
    """Return an array that is traced or that the program made, None for all else."""
    kind = type(value)
    if kind is list:
        return None
    if kind is Mutated:
        value = value._value
    if type(value) is Traced:
        return value if type(value._value) is np.ndarray else None
    return value if isinstance(value, Fresh) else None


@functools.cache
def _looking(original: Callable[..., Any], follow: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls ``follow`` where an argument is traced, else ``original``."""

    @functools.wraps(original)
    def function(*args: Any, **keywords: Any) -> Any:
        if any(map(_concerns_us, args)) or any(map(_concerns_us, keywords.values())):
            named = {name: _current(value) for name, value in keywords.items()}
            return follow(*map(_current, args), **named)
        return original(*args, **keywords)

    return function


@functools.cache
def _raising(original: Callable[..., Any], follow: Callable[..., Any]) -> Callable[..., Any]:
    """Do as :func:`_looking` does, and raise where math does, under guard."""
    inside = DOMAINS.get(original.__name__)

    def raise_as_math(args: tuple[Any, ...]) -> None:
        original(*(x._value if type(x) is Traced else x for x in args))

    def checked(*args: Any, **keywords: Any) -> Any:
        args = tuple(x.astype(float) if _is_narrow(x) else x for x in args)
        if inside is not None and not inside(args[0]):
            raise_as_math(args)
        made = follow(*args, **keywords)
        value = made._value if type(made) is Traced else None
        if isinstance(value, float):
            made._value = float(value)  # math's answer, whose comparisons are Python's
            if not abs(value) < math.inf and not np.abs(made) < math.inf:
                raise_as_math(args)
        return made

    return _looking(original, checked)


@functools.cache
def _looking_inside(original: Callable[..., Any], follow: Callable[..., Any]) -> Callable[..., Any]:
    """Do as :func:`_looking` does, also where an argument is an iterator over traced values."""
    looking = _looking(original, follow)

    @functools.wraps(original)
    def function(*args: Any, **keywords: Any) -> Any:
        return looking(*(list(x) if isinstance(x, Iterator) else x for x in args), **keywords)

    return function


@functools.cache
def _making(
    original: Callable[..., Any], follow: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """Return a function whose result, an array of the program's own, hears of assignments.

    Where an argument is traced, it calls ``follow``, if there is one.
    """

    may_be_itself = original in _AS_THEY_ARE

    @functools.wraps(original)
    def function(*args: Any, **keywords: Any) -> Any:
        if may_be_itself and args and (given := _array_of(args[0])) is not None:
            memory = given._value if type(given) is Traced else bare(given)
            made = original(memory, *args[1:], **keywords)
            shared = np.may_share_memory(made, memory)
            if shared and type(given) is not Traced:
                return linked(made, given)  # the array itself or a view of it
            if follow is not None and not shared and _concerns_us(given):
                return follow(_current(given), *args[1:], **keywords).copy()
        if follow is not None:
            for given in args:
                if _concerns_us(given):
                    return follow(*map(_current, args), **keywords)
        made = original(*args, **keywords)
        if type(made) is not np.ndarray or made.dtype.kind not in "fc":
            return made
        shared = made.base is not None and original not in _ITS_OWN
        if shared or (args and made is args[0]):
            return made  # np.asarray(x), which is somebody else's
        caller: str = sys._getframe(1).f_globals.get("__name__", "")
        return made if caller.startswith("softtape.") else made.view(Fresh)

    return function


@functools.cache
def _changing(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that changes its first argument, also where a list holds traced values."""

    @functools.wraps(original)
    def function(*args: Any, **keywords: Any) -> Any:
        if any(map(_concerns_us, args)):
            target = changeable(args[0], f"np.{original.__name__}")
            return FUNCTIONS[original](
                target, *(stacked(_current(x)) for x in args[1:]), **keywords
            )
        return original(*args, **keywords)

    return function


def _is_narrow(x: Any) -> bool:
    """Whether a value is traced, and a truth or of few bits: math computes with 64 of them."""
    return type(x) is Traced and x.dtype.itemsize < 8


_PLAIN = frozenset({float, int, np.ndarray, np.float64, str, type(None), type, Fresh})
_TRACED_OR_PLAIN = _PLAIN | {Traced}


def _concerns_us(value: Any) -> bool:
    """Whether a value is traced or a Param, or a list that holds one."""
    kind = type(value)
    if kind in _PLAIN:
        return False
    if kind is Traced:
        return True
    if isinstance(value, (list, tuple)):
        return Traced in map(type, value) or any(map(_concerns_us, value))
    return hasattr(value, "_softtape_record") or hasattr(value, "_softtape_current")


def _current(value: Any) -> Any:
    """Return a Param as what it stands for now, also inside lists."""
    if type(value) is Traced:
        return value
    if isinstance(value, (list, tuple)):
        current = _TRACED_OR_PLAIN.issuperset(map(type, value))
        return [*value] if current else [_current(v) for v in value]
    return plain_operand(value) if hasattr(value, "_softtape_current") else value


@functools.cache
def _passing_nan(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that passes over NaN, but not over what stands for a traced element."""

    @functools.wraps(original)
    def function(*args: Any, **keywords: Any) -> Any:
        if args and type(args[0]) in (np.ndarray, np.float64) and has_hole(args[0]):
            refuse_hole()
        return original(*args, **keywords)

    return function


@functools.cache
def _of_list(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that takes a list of traced values as an array of them."""

    @functools.wraps(original)
    def function(*args: Any, **keywords: Any) -> Any:
        for given in args:
            if type(given) in _LISTS and _concerns_us(given):
                args = tuple(stacked(_current(x)) if type(x) in _LISTS else x for x in args)
                break
        return original(*args, **keywords)

    return function


_LISTS = (list, tuple)
_OF_LISTS = (
    *("sum", "prod", "mean", "median", "max", "min", "std", "var", "amax", "amin", "ptp"),
    *("average", "percentile", "quantile", "cumsum", "cumprod", "sort", "argsort", "argmax"),
    *("argmin", "diff", "trapezoid", "interp", "dot", "vdot", "inner", "outer", "cross", "where"),
)
_OF_MATRICES = ("norm", "det", "inv", "solve")
_PASSING_NAN = (
    *("nan_to_num", "nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin"),
    *("nanmedian", "nanquantile", "nanpercentile", "nancumsum", "nancumprod"),
    *("nanargmax", "nanargmin"),
)


def _fromiter(values: Any, dtype: Any, count: int = -1, **keywords: Any) -> Any:
    items = list(itertools.islice(values, None if count < 0 else count))
    if _concerns_us(items):
        return _array(_current(items), dtype)
    return _ORIGINAL["fromiter"](items, dtype, count, **keywords)


def _ndenumerate(array: Any) -> Any:
    if _concerns_us(array):
        array = _current(array)
        return ((index, array[index]) for index in np.ndindex(np.shape(array)))
    return _ORIGINAL["ndenumerate"](array)


def _nditer(*args: Any, **keywords: Any) -> Any:
    if _concerns_us(args):
        refuse("np.nditer", "Loop over positions: for i in np.ndindex(x.shape): x[i].")
    return _ORIGINAL["nditer"](*args, **keywords)


def _vectorized(self: Any, *args: Any, **keywords: Any) -> Any:
    """Do what np.vectorize does, one element after the other: its function may read a Param."""
    call: dict[Any, Any] = {**dict(enumerate(args)), **keywords}
    each = [name for name in call if name not in self.excluded]
    traced = any(map(_concerns_us, call.values()))
    if self.signature is not None and traced:
        refuse(
            "np.vectorize with signature=", "Write the loop: np.stack([f(row) for row in rows])."
        )
    if self.signature is not None or not each or not callable(self.pyfunc):
        return _VECTORIZE(self, *args, **keywords)
    given = [
        stacked(_current(x)) if _concerns_us(x) else np.asarray(x, object)
        for x in map(call.get, each)
    ]
    shape = np.broadcast_shapes(*map(np.shape, given))
    given = [np.broadcast_to(x, shape) for x in given]
    made = []
    for index in np.ndindex(shape):
        call.update(zip(each, (x[index] for x in given), strict=True))
        places = [call[i] for i in range(len(args))]
        made.append(self.pyfunc(*places, **{name: call[name] for name in keywords}))
    if not _concerns_us(made):
        known = np.vectorize(made.__getitem__, self.otypes)
        return _VECTORIZE(known, np.arange(len(made)).reshape(shape))
    if made and isinstance(made[0], tuple):
        return tuple(np.reshape(stacked(list(part)), shape) for part in zip(*made, strict=True))
    return np.reshape(stacked(made), shape)


def _joined(self: Any, key: Any) -> Any:
    """Do what np.r_ and np.c_ do with arrays and numbers."""
    if not _concerns_us(key):
        return _JOIN(self, key)
    parts, given = [], key if isinstance(key, tuple) else (key,)
    if any(isinstance(part, (str, slice)) for part in given):
        refuse("np.r_ and np.c_ with a range or a text", "Use np.arange and np.concatenate.")
    held = [stacked(_current(part)) for part in given]
    dtype = np.result_type(*(getattr(part, "dtype", part) for part in held))
    for part in held:
        part = part if hasattr(part, "dtype") else np.asarray(part, dtype)  # 2.0 keeps to float32
        old = np.ndim(part)
        part = np.reshape(part, (1,) * (self.ndmin - old) + np.shape(part))
        if self.trans1d != -1 and 0 < old < self.ndmin:  # np.c_: what was a row is a column
            part = np.swapaxes(part, -1, -2)
        parts.append(part)
    return np.concatenate(parts, axis=self.axis)


_POLYNOMIALS = {
    "polynomial": ("polyval", "polyvalfromroots"),
    "chebyshev": ("chebval",),
    "legendre": ("legval",),
    "hermite": ("hermval",),
    "hermite_e": ("hermeval",),
    "laguerre": ("lagval",),
}


@functools.cache
def _evaluated(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return what evaluates a series; numpy's own asks whether its argument is a plain array."""

    def follow(x: Any, c: Any, tensor: bool = True) -> Any:
        x, c = stacked(x), stacked(c)
        if tensor:
            c = np.reshape(c, np.shape(c) + (1,) * np.ndim(x))
        return original(x, c, tensor=False)

    return follow


def _polynomials() -> Iterator[tuple[Any, str, Any, Any]]:
    """Yield as `_replacements` does, for those modules that were imported."""
    for name, functions in _POLYNOMIALS.items():
        module = sys.modules.get(f"numpy.polynomial.{name}")
        if module is not None:  # reaches also `from numpy.polynomial.polynomial import polyval`
            yield module, "isinstance", isinstance, _isinstance
        for function in functions if module is not None else ():
            original = getattr(module, function)
            yield module, function, original, _looking(original, _evaluated(original))
    module = sys.modules.get("numpy.polynomial.polynomial")
    for function, follow in _OF_SEVERAL.items() if module is not None else ():
        original = getattr(module, function, None)
        if original is not None:
            yield module, function, original, _looking(original, follow)


def _polyval2d(x: Any, y: Any, c: Any) -> Any:
    return _polyvalnd((x, y), c)


def _polyvalnd(pts: Any, c: Any) -> Any:
    polyval = sys.modules["numpy.polynomial.polynomial"].polyval
    c = polyval(pts[0], c)
    for x in pts[1:]:
        c = polyval(x, c, tensor=False)
    return c


def _polygrid2d(x: Any, y: Any, c: Any) -> Any:
    polyval = sys.modules["numpy.polynomial.polynomial"].polyval
    return polyval(y, polyval(x, c))


_OF_SEVERAL = {  # the last from numpy 2.5 on
    "polyval2d": _polyval2d,
    "polygrid2d": _polygrid2d,
    "polyvalnd": _polyvalnd,
}


def _isinstance(value: Any, kind: Any) -> bool:
    """In place of isinstance in numpy's polynomials, whose code asks whether x is an array."""
    if kind is np.ndarray and _concerns_us(value):
        return np.ndim(_current(value)) > 0
    return isinstance(value, kind)


def _isscalar(element: Any) -> bool:
    if type(element) is Traced:
        return type(element._value) is not np.ndarray
    return bool(_ORIGINAL["isscalar"](element))


_JOINING: Any = type(np.r_).__mro__[1]
_JOIN = _JOINING.__getitem__
_ORIGINAL = {name: getattr(np, name) for name in ("fromiter", "ndenumerate", "nditer", "isscalar")}
_VECTORIZE = np.vectorize.__call__


def _replacements() -> Iterator[tuple[Any, str, Any, Any]]:
    """Yield module, name, what stands there and what is to stand there."""
    for name, follow in MATH.items():
        original = getattr(math, name, None)
        if original is not None:
            looking = _looking_inside if name in OF_ITEMS else _raising
            yield math, name, original, looking(original, follow)
    for name, follow in CMATH.items():
        original = getattr(cmath, name)
        yield cmath, name, original, _looking(original, follow)
    for name, follow in _NUMPY.items():
        original = getattr(np, name)
        yield np, name, original, _making(original, follow)
    for name in _MAKERS:
        original = getattr(np, name)
        yield np, name, original, _making(original)
    for name in _SPECTRA:
        original = getattr(np.fft, name)
        yield np.fft, name, original, _making(original)
    for name in _OF_LISTS:
        original = getattr(np, name)
        yield np, name, original, _of_list(original)
    for name in _OF_MATRICES:
        original = getattr(np.linalg, name)
        yield np.linalg, name, original, _of_list(original)
    for name in _PASSING_NAN:
        original = getattr(np, name)
        yield np, name, original, _passing_nan(original)
    yield np, "fromiter", np.fromiter, _fromiter
    yield np, "ndenumerate", np.ndenumerate, _ndenumerate
    yield np, "nditer", np.nditer, _nditer
    yield np, "isscalar", np.isscalar, _isscalar
    yield np.vectorize, "__call__", _VECTORIZE, _vectorized
    yield _JOINING, "__getitem__", _JOIN, _joined
    yield from _polynomials()
    if "scipy" in sys.modules:
        from softtape import distributions

        for owner, name, follow in distributions.replacements():
            original = getattr(owner, name)
            yield owner, name, original, _looking(original, follow)
    for original in CHANGING:
        yield np, original.__name__, original, _changing(original)


_OPTIONAL = (
    *(f"numpy.polynomial.{name}" for name in _POLYNOMIALS),
    *("scipy", "scipy.special", "scipy.special._logsumexp", "scipy.linalg"),
    *("scipy.stats._distn_infrastructure", "scipy.stats._multivariate"),
)
_made: list[tuple[Any, str, Any, Any]] = []
_made_for: list[Any] = []


def _known_replacements() -> list[tuple[Any, str, Any, Any]]:
    """Return `_replacements`, made anew only where a module was imported, or another one patched.

    Each derivative asks for them, and there are some 170.
    """
    global _made, _made_for
    modules = list(map(sys.modules.get, _OPTIONAL))
    if modules != _made_for or any(
        getattr(module, name, original) is not original for module, name, original, _ in _made
    ):
        _made = list(_replacements())
        _made_for = [] if any(map(_is_being_imported, modules)) else modules
    return _made


def _is_being_imported(module: Any) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


_lock = Lock()
_active = 0
_before: list[tuple[Any, str, Any]] = []


@contextmanager
def following() -> Iterator[None]:
    """Let ``math`` and numpy's array makers follow traced values while this is active.

    It may be active several times at once, one inside the other or in several threads.
    """
    global _active
    with _lock:
        _active += 1
        if _active == 1:
            for module, name, original, replacement in _known_replacements():
                _before.append((module, name, original))
                setattr(module, name, replacement)
    try:
        yield
    finally:
        with _lock:
            _active -= 1
            if _active == 0:
                while _before:
                    setattr(*_before.pop())

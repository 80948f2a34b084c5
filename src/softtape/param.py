"""``Param``: a blank in a program, which acts as its value."""

from __future__ import annotations

import math
import sys
import warnings
import weakref
import zlib
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

import numpy as np

from softtape import reading as _reading
from softtape import store
from softtape.acting import ActsAsValue
from softtape.errors import ParamError, ParamWarning, SoftError, StoreError
from softtape.location import Location

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from softtape.priors import Prior

__all__ = [
    "Param",
    "Value",
    "assign",
    "declared",
    "forget",
    "peek",
    "starting_value",
    "stored_or_declared",
]

__tracebackhide__ = True  # pytest shows the user's line instead

Value: TypeAlias = "float | NDArray[Any]"

_DECLARED: list[weakref.ref[Param]] = []
_NAMED: dict[str, list[weakref.ref[Param]]] = {}  # those called so, in any module


class Param(ActsAsValue):
    """A named blank of a program: a number or an array that ``pytest --soft-fit`` fills in.

    Outside a fit it behaves as its value: in arithmetic, comparisons, numpy functions, ``float()``,
    ``math.sin``, indexing, iteration, formatting. Its value is the fitted one, stored in
    ``MODULE.soft.json`` beside the module that declares it, or the declared one where there is
    none yet. It hashes by identity; a copy of it is the same Param.

    Parameters
    ----------
    value
        The value to start from: a number, an array of any shape, or the literal ``...``
        for a blank with no value yet, which starts inside its bounds, or from random numbers
        of its ``shape``. Integers become floats; float32 arrays stay float32.
    name
        Unique in its module; needed only where the Param is not assigned to a module
        global or a class attribute (or kept in a list, tuple or dict that is one).
    bounds
        ``(lower, upper)``, each a number, an array that broadcasts to the value, or None
        for no bound. A fit never leaves them.
    constraint
        ``"positive"`` (above 0), ``"unit_interval"`` (from 0 to 1) or ``"simplex"`` (shares: not
        negative, and along the last axis they add up to 1), instead of bounds.
    scale
        ``"log"`` for a positive value of unknown order of magnitude: fits move its logarithm.
    prior
        What is known of it beforehand, such as ``softtape.priors.normal(2.0, 0.1)``: an extra
        term of a fit, apart from the total loss.
    frozen
        True for a value that fits must leave alone.
    shape
        Shape of a blank given as ``...``; ``()`` for a number.

    Raises
    ------
    ParamError
        The value is not real and finite, lies outside its bounds or constraint, or these make
        no sense; on first use, if no name is found, or if it was never filled in.
    StoreError
        On first use, if the stored value does not fit the declaration.

    Examples
    --------
    >>> from softtape import Param
    >>> gain = Param(2.0, name="gain", bounds=(0, 10))
    >>> gain * 3
    6.0
    """

    __slots__ = (
        "__weakref__",
        "_file",
        "_key",
        "_line",
        "_name",
        "_namespace",
        "_shape",
        "_spec",
        "_value",
        "bounds",
        "constraint",
        "frozen",
        "prior",
        "scale",
        "start",
    )

    def __init__(
        self,
        value: ArrayLike | EllipsisType,
        *,
        name: str | None = None,
        bounds: tuple[Any, Any] | None = None,
        constraint: Literal["positive", "unit_interval", "simplex"] | None = None,
        scale: Literal["linear", "log"] = "linear",
        prior: Prior | None = None,
        frozen: bool = False,
        shape: int | tuple[int, ...] | None = None,
    ) -> None:
        """Declare a blank; see the class."""
        frame = sys._getframe(1)
        self._namespace: dict[str, Any] | None = frame.f_globals
        self._spec = frame.f_globals.get("__spec__")
        self._file: str | None = frame.f_globals.get("__file__")
        self._line = frame.f_lineno
        self._name: str | None = None
        self._key: str | None = None
        if name is not None:
            self._call(name)
        self._value: Value | None = None
        self.frozen = bool(frozen)
        self.start: Value | None = None if value is ... else _number_or_array(self, value)
        self._shape = _declared_shape(self, shape)
        self.constraint = constraint
        self.scale = scale
        self.bounds = _constrained_bounds(self, bounds)
        self.prior = _checked_prior(self, prior)
        _DECLARED.append(weakref.ref(self, _DECLARED.remove))

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the name of the class attribute it is assigned to."""
        if self._name is None:
            self._call(f"{owner.__qualname__}.{name}")

    # ---- identity

    def _call(self, name: str) -> None:
        self._name = name
        _NAMED.setdefault(name, []).append(weakref.ref(self))

    @property
    def name(self) -> str:
        """Its name, unique in its module.

        Raises
        ------
        ParamError
            It has none, or another Param of the module has the same.
        """
        if self._name is None:
            name = _find_name(self, self._namespace or {})
            self._call(name)
            _refuse_duplicate(self, name)
            return name
        return self._name

    @property
    def file(self) -> str | None:
        """The source file that declares it; None in an interactive session."""
        return self._file

    @property
    def key(self) -> str:
        """Its name together with its file: what tells it from every other Param."""
        if self._key is None:  # it is asked for at each test that reads it
            self._key = f"{self._file or '<interactive>'}::{self.name}"
        return self._key

    @property
    def line(self) -> int:
        """The line of its declaration, from 1."""
        return self._line

    @property
    def where(self) -> str:
        """File and line of its declaration, for messages."""
        return str(Location(self._file or "<interactive>", self._line, ""))

    # ---- value

    @property
    def value(self) -> Any:
        """The current value: a float or a read-only array; under tracing, a traced one."""
        return self._softtape_current()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value; ``()`` for a number."""
        return self._shape

    @property
    def ndim(self) -> int:
        """Number of axes of the value."""
        return len(self._shape)

    @property
    def size(self) -> int:
        """Number of elements of the value."""
        return math.prod(self._shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the value: float64, or float32 for an array declared so."""
        known: np.dtype[Any] = getattr(self.start, "dtype", np.dtype(np.float64))
        return known

    def _softtape_current(self) -> Any:
        """Return what the program gets: the plain value, or the reader's answer in a fit."""
        __tracebackhide__ = True
        reader = _reading.reader
        if reader is None or self.frozen:
            return self._softtape_peek() if self._value is None else self._value
        return reader.read(self)

    def _softtape_peek(self) -> Value:
        """Return the plain value, whoever reads."""
        if self._value is None:
            __tracebackhide__ = True  # pytest shows the user's line instead
            self._value = _stored_or_declared(self)
            if self._value is None:
                raise ParamError(
                    f"{self.where}: the blank {self.name} was never filled in: "
                    "run pytest --soft-fit"
                )
        return self._value

    def __getattr__(self, name: str) -> Any:
        """Pass on what numpy arrays and numbers know: ``.T``, ``.sum()``, ``.reshape()``."""
        if name.startswith("_"):  # protocols that probe for dunder names must see the Param itself
            raise AttributeError(name)
        return getattr(self._softtape_current(), name)

    # ---- Python

    def __repr__(self) -> str:
        """Show declaration name and plain value."""
        try:
            shown = repr(self._shown())
        except SoftError:  # a repr must not fail, least of all in the traceback of that error
            shown = "..." if self.start is None else repr(self.start)
        return f"Param({shown}, name={self._name!r})"

    def __str__(self) -> str:
        """Show the plain value, also under tracing."""
        return str(self._shown())

    def __format__(self, spec: str) -> str:
        """Format the plain value, also under tracing."""
        return format(self._shown(), spec)

    def _shown(self) -> Any:
        reader = _reading.reader
        if reader is None:
            return peek(self)
        if not self.frozen:
            reader.show(self)
        from softtape.tape import Tape  # loaded long since where one reads

        if self._value is None and isinstance(reader, Tape):
            return self._softtape_current()  # perhaps a blank while it is filled in
        return peek(self)

    def __len__(self) -> int:
        """Return the length of the first axis."""
        if not self._shape:
            raise TypeError("a Param that is a number has no len()")
        return self._shape[0]

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        """Raise: only a fit changes a Param."""
        raise ParamError(
            f"Param {self._name or ''} declared at {self.where} cannot be assigned into: a fit "
            "sets its value. Work on a copy: np.array(param)."
        )

    def __copy__(self) -> Param:
        """Return itself: a blank has one place."""
        return self

    def __deepcopy__(self, memo: Any) -> Param:
        """Return itself: a blank has one place, whatever structure holds it."""
        return self

    def __reduce__(self) -> Any:
        """Pickle the declaration and the plain value; refused while tracing."""
        if _reading.reader is not None and not self.frozen:
            self._softtape_current().__reduce_ex__(2)  # raises, naming the line
        rules = (self.bounds, self.constraint, self.scale, self.prior)
        state = (peek(self), self.name, rules, self.frozen, self._file, self._line)
        return _unpickled, state


def _unpickled(
    value: Value, name: str, rules: Any, frozen: bool, file: str | None, line: int
) -> Param:
    """Rebuild a Param elsewhere; it keeps the value it had, whatever the store says there."""
    param = Param.__new__(Param)
    param._namespace = param._spec = param._key = None
    param._file, param._line, param._name = file, line, name
    param._value = param.start = value
    param._shape, param.frozen = np.shape(value), frozen
    param.bounds, param.constraint, param.scale, param.prior = rules
    return param


# ---- for those who fit


def declared() -> list[Param]:
    """Return all Params that exist in this process, in the order of their declaration."""
    return [p for ref in _DECLARED if (p := ref()) is not None]


def peek(param: Param) -> Value:
    """Return the plain value of ``param``, whoever reads: a float or a read-only array."""
    return param._softtape_peek()


def assign(param: Param, value: Value) -> None:
    """Set the value of ``param`` for this process; the store is not touched."""
    param._value = _own(value)


def forget(param: Param) -> None:
    """Let ``param`` take its stored or declared value again when it is next read."""
    param._value = None


def stored_or_declared(param: Param) -> Value | None:
    """Return the value outside a fit, whatever was assigned; None for a blank never filled in.

    Raises
    ------
    StoreError
        The stored value does not fit the declaration, or the store is broken.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ParamWarning)  # said when it was read first
        return _stored_or_declared(param)


def starting_value(param: Param, seed: int) -> Value:
    """Return the value a fit starts from.

    The stored or declared one; for a blank without either, the middle of its bounds (on a log
    scale, the geometric one), equal shares of a simplex, or normal random numbers of its shape
    (their absolute values, if it is to be positive) with variance 1/(length of the first axis),
    drawn from ``seed`` and the name alone, so that one Param more does not change the others
    (LeCun, Bottou, Orr and Müller, «Efficient BackProp», 1998).

    Raises
    ------
    ParamError
        The blank has neither finite bounds nor a shape.
    """
    if param._value is None:  # kept, so that the store is read and a warning said once
        param._value = _stored_or_declared(param)
    if param._value is not None:
        return param._value
    lower, upper = (np.broadcast_to(b, param.shape) for b in param.bounds)
    if param.constraint == "simplex":
        return _own(np.full(param.shape, 1.0 / param.shape[-1]))
    if param.scale == "log":
        return _own(np.exp((np.log(lower) + np.log(upper)) / 2.0))
    if np.all(np.isfinite(lower)) and np.all(np.isfinite(upper)):
        return _own((lower + upper) / 2.0)
    if param.shape:
        source = np.random.default_rng([seed, zlib.crc32(param.name.encode())])
        drawn = source.standard_normal(param.shape) / math.sqrt(max(param.shape[0], 1))
        drawn = np.abs(drawn) if param.constraint == "positive" else drawn
        return _own(np.clip(drawn, lower, upper))
    raise ParamError(
        f"{param.where}: the blank {param.name} has nothing to start from. Give it finite "
        "bounds=(lower, upper), a shape=, or a value instead of `...`."
    )


# ---- declaration


def _own(value: Any) -> Value:
    """Return a Python float, or a read-only array nobody else can change."""
    if np.ndim(value) == 0:
        return float(value)
    array = np.array(value)
    array.flags.writeable = False
    return array


def _number_or_array(param: Param, value: Any) -> Value:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or not np.all(np.isfinite(array)):
        raise ParamError(
            f"{param.where}: a Param is a finite real number or an array of them, "
            f"not {value!r}. For a blank with no value yet, write Param(...)."
        )
    return _own(array if array.dtype == np.float32 else array.astype(np.float64))


def _declared_shape(param: Param, shape: Any) -> tuple[int, ...]:
    wanted = None if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
    if param.start is None:
        return wanted or ()
    given: tuple[int, ...] = np.shape(param.start)
    if wanted is not None and wanted != given:
        raise ParamError(f"{param.where}: shape={wanted} but the value has shape {given}")
    return given


def _checked_bounds(param: Param, bounds: Any) -> tuple[Value, Value]:
    if bounds is None:
        return -math.inf, math.inf
    try:
        lower, upper = bounds
        low = np.asarray(-math.inf if lower is None else lower, float)
        high = np.asarray(math.inf if upper is None else upper, float)
        np.broadcast_to(low, param.shape), np.broadcast_to(high, param.shape)
    except (TypeError, ValueError) as error:
        raise ParamError(
            f"{param.where}: bounds must be (lower, upper), numbers or arrays that broadcast to "
            f"shape {param.shape}, not {bounds!r}"
        ) from error
    if not np.all(low < high):
        raise ParamError(f"{param.where}: bounds={bounds!r}: lower must be below upper")
    if param.start is not None and not _inside(param.start, (low, high)):
        raise ParamError(f"{param.where}: the value {param.start!r} is outside bounds={bounds!r}")
    return _own(low), _own(high)


def _constrained_bounds(param: Param, bounds: Any) -> tuple[Value, Value]:
    """Check bounds, constraint and scale together, and return the bounds they amount to."""
    constraint, where = param.constraint, param.where
    if constraint is not None and constraint not in _CONSTRAINTS:
        raise ParamError(
            f"{where}: constraint={constraint!r}: it must be 'positive', 'unit_interval' or "
            "'simplex'. Other limits are bounds=(lower, upper)."
        )
    if constraint is not None and bounds is not None:
        raise ParamError(
            f"{where}: constraint={constraint!r} and bounds={bounds!r}: give one of them"
        )
    if param.scale not in ("linear", "log"):
        raise ParamError(f"{where}: scale={param.scale!r}: it must be 'linear' or 'log'")
    if constraint is not None:
        tiny = float(np.finfo(param.dtype).tiny)
        bounds = (tiny, math.inf) if constraint == "positive" else (0.0, 1.0)
        problem = _breach(param, param.start)
        if problem:
            raise ParamError(f"{where}: the value {param.start!r} {problem}")
    checked = _checked_bounds(param, bounds)
    return _log_bounds(param, checked) if param.scale == "log" else checked


_CONSTRAINTS = ("positive", "unit_interval", "simplex")


def _breach(param: Param, value: Any) -> str | None:
    """Say in what a value does not keep to the constraint of a Param, if so."""
    if param.constraint == "simplex":
        if not param.shape or param.shape[-1] == 0:
            return "is no simplex: shares are an array of at least one number"
        if value is None:
            return None
        from softtape.coordinates import simplex_rounding

        sums = np.sum(value, axis=-1)
        worst = float(np.ravel(sums)[np.argmax(np.abs(np.ravel(sums) - 1.0))]) if sums.size else 1.0
        if abs(worst - 1.0) > simplex_rounding(param.shape[-1], param.dtype):
            return f"is no simplex: its shares add up to {worst!r}, not to 1"
        if np.any(np.less(value, 0)):
            return "is no simplex: a share is negative"
    if value is not None and param.constraint == "positive" and not np.all(np.greater(value, 0)):
        return "is not positive"
    if value is not None and param.constraint == "unit_interval" and not _inside(value, (0, 1)):
        return "is not between 0 and 1"
    return None


def _log_bounds(param: Param, bounds: tuple[Value, Value]) -> tuple[Value, Value]:
    """Return the bounds on a log scale, where all is positive."""
    lower, upper = (np.asarray(bound) for bound in bounds)
    tiny = float(np.finfo(param.dtype).tiny)
    if param.constraint == "simplex":
        raise ParamError(f"{param.where}: a simplex has no log scale")
    if np.any((lower < 0) & np.isfinite(lower)):
        raise ParamError(f"{param.where}: bounds below 0 on a log scale, where all is positive")
    if param.start is None and not (np.all(lower > tiny) and np.all(np.isfinite(upper))):
        raise ParamError(
            f"{param.where}: a blank on a log scale starts in the middle of its bounds: give it "
            "positive bounds=(lower, upper), or a value instead of `...`"
        )
    if param.start is not None and not np.all(np.greater(param.start, 0)):
        raise ParamError(
            f"{param.where}: the value {param.start!r} is not positive, as a log scale needs it"
        )
    return _own(np.maximum(lower, tiny)), _own(upper)


def _checked_prior(param: Param, prior: Any) -> Prior | None:
    if prior is None:
        return None
    from softtape.priors import Prior

    if not isinstance(prior, Prior):
        raise ParamError(
            f"{param.where}: prior={prior!r}: it must be one of softtape.priors, such as "
            "normal(2.0, 0.1)"
        )
    if prior.name == "lognormal" and not np.all(np.greater(param.bounds[0], 0)):
        raise ParamError(
            f"{param.where}: a lognormal prior needs a positive Param: add "
            "constraint='positive' or scale='log'"
        )
    try:
        np.broadcast_to(prior.center, param.shape), np.broadcast_to(prior.spread, param.shape)
    except ValueError:
        raise ParamError(
            f"{param.where}: prior={prior} does not broadcast to shape {param.shape}"
        ) from None
    return prior


def _inside(value: Value, bounds: tuple[Any, Any]) -> bool:
    return bool(np.all(value >= bounds[0]) and np.all(value <= bounds[1]))


# ---- name


def _find_name(param: Param, namespace: dict[str, Any]) -> str:
    places = list(namespace.items())
    for _, owner in list(places):
        if isinstance(owner, type) and owner.__module__ == namespace.get("__name__"):
            places += [(f"{owner.__qualname__}.{name}", v) for name, v in vars(owner).items()]
    for name, value in places:
        found = _path_to(param, value, name, depth=3)
        if found is not None:
            return found
    raise ParamError(
        f"{param.where}: this Param has no name. Assign it to a global of its module or to a "
        'class attribute, or give it one: Param(..., name="...").'
    )


def _path_to(param: Param, value: Any, path: str, depth: int) -> str | None:
    """Return the expression that leads from a global to ``param``: ``W``, ``W[0]``, ``c['a']``."""
    if value is param:
        return path
    if depth and type(value) in (list, tuple, dict):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            found = _path_to(param, item, f"{path}[{key!r}]", depth - 1)
            if found is not None:
                return found
    return None


def _refuse_duplicate(param: Param, name: str) -> None:
    """Raise if another living Param of the same execution of the module has the name."""
    _NAMED[name] = [ref for ref in _NAMED.get(name, ()) if ref() is not None]
    for other in [ref() for ref in _NAMED[name]]:
        if (
            other is not None
            and other is not param
            and other._file == param._file is not None
            and other._spec is param._spec  # a reloaded module declares its Params anew
        ):
            raise ParamError(
                f"{param.where}: the name {name!r} is already that of the Param declared at "
                f"{other.where}. Give one of them another name=."
            )


# ---- first use


_STORES: dict[tuple[Path, int, int], dict[str, store.Entry]] = {}


def _stored(file: str) -> tuple[Path, dict[str, store.Entry]]:
    """Return the entries of the store beside ``file``, read once for each state of it."""
    path = store.path_for(file)
    try:
        status = path.stat()
    except OSError:
        return path, {}
    state = (path, status.st_mtime_ns, status.st_size)
    if state not in _STORES:
        try:
            _STORES[state] = store.load(path)
        except StoreError as error:
            raise StoreError(str(error)) from None  # afresh: the traceback ends in the user's code
    return path, _STORES[state]


def _stored_or_declared(param: Param) -> Value | None:
    """Return the stored value if there is one, else the declared one; None if never filled in."""
    name = param.name
    _refuse_duplicate(param, name)
    path, entries = _stored(param._file) if param._file else (None, {})
    entry = entries.get(name)
    if entry is None:
        return param.start
    problem = _misfit(param, entry.value)
    if problem:
        raise StoreError(
            f"{path}: the stored value of {name} {problem} (declared at {param.where}). Fit "
            "again after removing its entry from the file, or restore the declaration."
        )
    if store.describe_start(... if param.start is None else param.start) != entry.start:
        warnings.warn_explicit(
            f"the declared value of {name} changed since the fit; its fitted value in {path} is "
            "kept. Remove that entry to start from the declared value.",
            ParamWarning,
            param._file or "",
            param._line,
        )
    return _own(np.asarray(entry.value, param.dtype) if param.shape else entry.value)


def _misfit(param: Param, value: Any) -> str | None:
    if np.shape(value) != param.shape:
        return f"has shape {np.shape(value)}, not {param.shape}"
    if not _inside(value, param.bounds):
        return _breach(param, value) or f"is outside the bounds {param.bounds}"
    return _breach(param, value)

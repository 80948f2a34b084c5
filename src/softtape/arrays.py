"""Arrays that a program makes and then changes in place, element by element or as a whole.

While a program is traced, ``np.zeros``, ``np.array`` and their kin (see :mod:`softtape.patches`)
return an :class:`Fresh` array: an ordinary array in all but one respect, that it hears of
assignments. The first time a traced value is assigned to some of its elements, it and all its
views become :class:`Mosaic` arrays, which know by a :class:`~softtape.memory.Memory` what they are
made of, and whatever reads them gets that.

A traced array, the result of an operation, may be changed in place, too. It and all views of it
then become :class:`Mutated`, which stand for a Mosaic.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn
from weakref import ReferenceType, ref

import numpy as np
from numpy.typing import NDArray

from softtape.memory import Memory, address, flat_memory, unreadable
from softtape.native import Value
from softtape.operands import Flat, stacked
from softtape.ops import FUNCTIONS
from softtape.ops.assignment import CHANGING, apply_at, masked, store
from softtape.refusals import refuse, refuse_array
from softtape.traced import Traced

__all__ = ["Fresh", "Mosaic", "Mutated", "bare", "linked", "mutated", "owned"]

__tracebackhide__ = True  # pytest shows the user's line instead

_PLAIN = frozenset({float, int, bool, np.float64, np.float32, np.int64, np.bool_, np.ndarray})
_SEEN_OTHERWISE = "assigning into an array whose memory is seen as another dtype, or as parts,"
_PUT = FUNCTIONS[np.put]
_plain_set = np.ndarray.__setitem__
_PARTS: Any = {"real": np.ndarray.real, "imag": np.ndarray.imag}
_dtype: Any = np.ndarray.dtype
_dtype_of = _dtype.__get__  # what numpy's C code sees
_set_dtype = getattr(np.ndarray, "_set_dtype", _dtype.__set__)  # numpy 2.5 deprecates the latter


class Fresh(np.ndarray):
    """An array that the program made under tracing, so far of plain numbers."""

    __slots__ = ("_family", "_memory", "_places", "_root")
    _family: list[ReferenceType[Fresh]]
    _memory: Memory
    _places: NDArray[np.intp]
    _root: Fresh

    def __array_finalize__(self, obj: Any) -> None:
        """Keep account of views, which share what is assigned."""
        base = self.base
        if base is None or not (base is obj or (isinstance(obj, Fresh) and base is obj.base)):
            return
        if type(self) is Mosaic:
            memory = getattr(obj, "_memory", None)
            if memory is not None and _dtype_of(self) == _dtype_of(obj):
                self._memory = memory
        elif type(obj) is Fresh:
            try:
                family = obj._family
            except AttributeError:
                family = obj._family = [ref(obj)]
            family.append(ref(self))
            self._family = family

    def _softtape_plain(self) -> NDArray[Any]:
        """Return it as numpy's own array, the same one each time where that is known."""
        base = self.base
        if type(base) is np.ndarray and base.shape == self.shape and base.strides == self.strides:
            return base
        return self.view(np.ndarray)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Assign to elements."""
        if type(value) in _PLAIN or (known := traced_form(value)) is None:
            _plain_set(self, index, value)
            return
        kind = self.dtype.kind
        if kind not in "fc":
            if kind in "biu" and not known.ndim:
                _plain_set(self, index, known)  # asks for an integer, under guard
                return
            refuse(f"assigning into an array of dtype {self.dtype}", "Give it dtype=float.")
        _mosaics(self)
        self[index] = known

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, keywords: Any
    ) -> Any:
        """Compute as numpy does; where it returns a view as a plain array, keep account of it."""
        made = linked(super().__array_function__(function, types, args, keywords), self)
        given = any(made is x for x in (*args, *keywords.values()))  # out=DATA
        new = type(made) is np.ndarray and made.base is None and not given
        return _fresh(made) if new else made

    @property
    def flat(self) -> Any:
        """The elements in one row."""
        return Flat(self)

    @property
    def real(self) -> Any:
        """The real part, a view."""
        return _PARTS["real"].__get__(self)

    @real.setter
    def real(self, value: Any) -> None:
        self._set_part("real", value)

    @property
    def imag(self) -> Any:
        """The imaginary part, a view."""
        return _PARTS["imag"].__get__(self)

    @imag.setter
    def imag(self, value: Any) -> None:
        self._set_part("imag", value)

    def _set_part(self, name: str, value: Any) -> None:
        held = "fc" if name == "real" else "c"
        if self.dtype.kind in held and (known := traced_form(value)) is not None:
            _mosaics(self)
            setattr(self, name, known)  # now a Mosaic's
        else:
            _PARTS[name].__set__(self, value)

    def squeeze(self, axis: Any = None) -> Any:
        """See ndarray.squeeze, which makes its view of a plain array."""
        return linked(bare(self).squeeze(axis), self)

    def fill(self, value: Any) -> None:
        """See ndarray.fill."""
        self[...] = value

    def put(self, indices: Any, values: Any, mode: Any = "raise") -> None:
        """See np.put."""
        _PUT(self, indices, values, mode)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle as numpy's own array."""
        return self.view(np.ndarray).__reduce_ex__(protocol)


def traced_form(value: Any) -> Traced | None:
    """Return what is or holds traced values as one traced value; None for what is plain."""
    if type(value) is Traced:
        return value
    if type(value) in (list, tuple):
        if not any(traced_form(part) is not None for part in value):
            return None
        value = stacked([_operand(part) for part in value])
    else:
        value = _operand(value)
    return value if type(value) is Traced else None


def _operand(value: Any) -> Any:
    """Return an argument of a numpy function with what it holds in place of Mosaics."""
    if type(value) in (list, tuple):
        return type(value)(map(_operand, value))
    current = getattr(value, "_softtape_current", None)
    return value if current is None else current()


def bare(array: Any) -> NDArray[Any]:
    """Return the memory of an array of the program as numpy's own array."""
    return np.ndarray.view(array, array.dtype, np.ndarray)


def _remember(array: Any, memory: Memory) -> None:
    """Let an array be a Mosaic of these elements.

    Code that goes by numpy's C structure, as ``plain[...] = array`` does, hears of no protocol. It
    finds a dtype there that nothing can be cast from or computed with, and raises.
    """
    array.__class__ = Mosaic
    array._memory = memory
    _set_dtype(array, unreadable(memory.flat.dtype))


def linked(made: Any, source: Fresh) -> Any:
    """Return what numpy made of the bare memory of an array; of a view, account is kept.

    Parameters
    ----------
    made
        Any result, an array that shares memory with ``source`` or not.
    source
        The array it was made from.
    """
    known = made is source or hasattr(made, "_family")
    if type(made) is Fresh and not known and np.may_share_memory(made, source):
        made = bare(made)
    if type(made) is not np.ndarray or not np.may_share_memory(made, source):
        return made
    if all(
        getattr(made, name) == getattr(source, name) for name in ("shape", "strides", "dtype")
    ) and (made.flags.writeable == source.flags.writeable):
        return source
    view = made.view(Fresh)
    if type(source) is Mosaic:
        if made.dtype != source.dtype:
            return made
        _remember(view, source._memory)
        return view
    root = _root_of(source)
    view._root = root
    try:
        family = root._family
    except AttributeError:
        family = root._family = [ref(root)]
    family.append(ref(view))
    view._family = family
    return view


def _root_of(array: Fresh) -> Fresh:
    """Return the array whose memory an array is a view of, or itself."""
    root = array.base if isinstance(array.base, Fresh) else array
    return getattr(root, "_root", root)


def owned(value: Any) -> Any:
    """Return a traced array as one that shares memory with no other."""
    if type(value) is Traced and type(value._value) is np.ndarray and value._value.base is not None:
        return value.copy()
    return value


def _fresh(value: Any) -> Any:
    """Return a new plain array as one that hears of assignments."""
    if type(value) is np.ndarray and value.dtype.kind in "fc":
        return (value if value.base is None else value.copy()).view(Fresh)
    return value


def _mosaics(array: Fresh) -> None:
    """Turn an array and all its views into Mosaics."""
    root = _root_of(array)
    flat = flat_memory(root)
    family = [a for a in (r() for r in getattr(root, "_family", ())) if a is not None]
    if flat is None or any(a.dtype != root.dtype for a in family):
        refuse(_SEEN_OTHERWISE, "Work on a copy: x = np.array(x).")
    memory = Memory(flat)
    for member in {id(a): a for a in (root, array, *family)}.values():
        _remember(member, memory)


def _pinned(index: Any) -> Any:
    """Return an index with plain numbers, guarded, in place of traced ones."""
    if type(index) is int or type(index) is slice:
        return index
    if type(index) is tuple:
        return tuple(map(_pinned, index))
    index = _operand(index)
    if type(index) is not Traced:
        return index
    return index._pinned() if index.dtype.kind in "biu" else operator.index(index)


class Mosaic(Fresh):
    """An array some elements of which are, or were, traced.

    It is read as what its elements are now: a traced array, or a plain one.
    """

    __slots__ = ()

    @property
    def dtype(self) -> Any:
        """The dtype of its elements."""
        memory = getattr(self, "_memory", None)
        return _dtype_of(self) if memory is None else memory.flat.dtype

    def _softtape_current(self) -> Any:
        memory = getattr(self, "_memory", None)
        return bare(self) if memory is None else memory.read(self._where())

    def _softtape_plain(self) -> Any:
        return self._softtape_current()

    def _softtape_record(self, primitive: Any, operands: Sequence[Any], attrs: Any) -> Any:
        return primitive(*map(_operand, operands), **attrs)

    def _where(self) -> NDArray[np.intp]:
        places = getattr(self, "_places", None)
        if places is None or places.shape != self.shape:  # a.shape = (2, 3)
            self._places = places = self._memory.places(self)
        return places

    # ---- elements

    def __getitem__(self, index: Any) -> Any:
        """Return an element, a view, or a copy of some elements."""
        index = _pinned(index)
        places = self._where()[index]
        if type(places) is np.ndarray:
            if places.base is not None:
                view = np.ndarray.__getitem__(self, index)
                if getattr(view, "_memory", None) is self._memory:
                    view._places = places
                    return view
            read = self._memory.read(places)
            return owned(read) if type(read) is Traced else _fresh(read)
        return self._memory.read(places)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Assign to elements."""
        index = _pinned(index)
        places = self._where()[index]
        same = type(value) is Mosaic and getattr(value, "_memory", None) is self._memory
        if same and np.array_equal(value._where(), places):
            return  # x[1:3] += y, which has changed them already
        if type(value) not in _PLAIN and (known := traced_form(value)) is not None:
            self._check_writeable()
            self._memory.write(places, known)
            return
        bare(self)[index] = _operand(value)
        self._memory.written(places)

    def _check_writeable(self) -> None:
        if not self.flags.writeable:
            raise ValueError("assignment destination is read-only")

    def __iter__(self) -> Iterator[Any]:
        """Yield the parts along the first axis."""
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> Any:
        """Compare elements; ndarray's own would refuse the dtype that it finds in C."""
        return np.equal(self, other)  # type: ignore[call-overload]

    def __ne__(self, other: object) -> Any:
        """See __eq__."""
        return np.not_equal(self, other)  # type: ignore[call-overload]

    __hash__ = None  # type: ignore[assignment]  # as that of any array

    def __contains__(self, item: Any) -> bool:
        """Return whether some element equals ``item``, under guard."""
        return bool(np.any(self == item))

    @property
    def real(self) -> Any:
        """The real part; of complex numbers as it is now, not to be written to in parts."""
        return self._part("real")

    @real.setter
    def real(self, value: Any) -> None:
        self[...] = value + 1j * self.imag if self.dtype.kind == "c" else value

    @property
    def imag(self) -> Any:
        """The imaginary part as it is now, not to be written to in parts."""
        return self._part("imag")

    @imag.setter
    def imag(self, value: Any) -> None:
        self[...] = self.real + 1j * value

    def _part(self, name: str) -> Any:
        if self.dtype.kind != "c" and name == "real":
            return self[...]
        made = getattr(self._softtape_current(), name)
        if type(made) is Traced and type(made._value) is np.ndarray:
            made = made.copy()
            made._value.flags.writeable = False
            self._memory.halves.append(ref(made))
        return made

    # ---- numpy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        """Compute with what the arrays hold."""
        if method == "at":
            return apply_at(ufunc, inputs[0], *map(_operand, inputs[1:]))
        outs = keywords.pop("out", None)
        where = True
        if outs is not None and method == "__call__":
            where = _operand(keywords.pop("where", True))
            keywords.pop("axes", None)  # which x @= y gives, as they are by default
        keywords = {key: _operand(value) for key, value in keywords.items()}
        given = tuple(map(_operand, inputs))
        made = getattr(ufunc, method)(
            *(given if where is True else masked(where, given)), **keywords
        )
        if outs is not None:
            return store(outs, made, where)
        return _fresh(made)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, keywords: Any
    ) -> Any:
        """Compute with what the arrays hold; give views where numpy does."""
        args = [x._value if type(x) is Mutated else x for x in args]
        if function in _VIEWING and (made := self._view_by(function, args, keywords)) is not None:
            return made
        if function is np.broadcast_arrays:
            shape = np.broadcast_shapes(*map(np.shape, args))
            return tuple(np.broadcast_to(x, shape) for x in args)
        if function is np.nan_to_num and not keywords.get("copy", True):
            self[...] = function(self, **{**keywords, "copy": True})
            return self
        if function is np.trim_zeros:  # a view
            return FUNCTIONS[function](*args, **keywords)
        if function is np.meshgrid and not keywords.get("copy", True):
            refuse("np.meshgrid(..., copy=False) of an array changed before,", "Leave copy out.")
        if function in CHANGING:
            given = (x if (known := traced_form(x)) is None else known for x in args[1:])
            return FUNCTIONS[function](args[0], *given, **keywords)
        out = keywords.pop("out", None) if keywords else None
        made = function(*map(_operand, args), **{k: _operand(v) for k, v in keywords.items()})
        if out is not None:
            return store(out if isinstance(out, tuple) else (out,), made)
        return owned(made) if type(made) is Traced else _fresh(made)

    def _view_by(self, function: Callable[..., Any], args: Any, keywords: Any) -> Any:
        """Return what a function gives that numpy answers by a view, None if it makes a copy."""
        given = [bare(x) if isinstance(x, Mosaic) else x for x in args]
        if not any(x is not y for x, y in zip(args, given, strict=True)):
            return None
        if function is np.einsum and (len(args) != 2 or keywords):
            return None
        if function in (np.real, np.imag):
            return getattr(args[0], function.__name__)
        if function is np.real_if_close:
            real = self.dtype.kind == "f"
            return args[0] if real or np.iscomplexobj(function(_operand(args[0]))) else None
        made = function(*given, **keywords)
        if isinstance(made, (list, tuple)):
            parts = [linked(part, self) for part in made]
            return type(made)(parts) if all(map(_linked, parts)) else None
        made = linked(made, self)
        return made if _linked(made) else None

    def __array_wrap__(self, array: Any, *rest: Any) -> Any:
        """Return a result of numpy's own code as it is."""
        return array

    # ---- methods that change it

    def sort(self, *args: Any, **keywords: Any) -> None:
        """See ndarray.sort."""
        self[...] = np.sort(self, *args, **keywords)

    def partition(self, *args: Any, **keywords: Any) -> None:
        """See ndarray.partition."""
        self[...] = np.partition(self, *args, **keywords)

    # ---- what leaves the tape

    def view(self, *args: Any, **keywords: Any) -> Any:
        """Return the same elements as another array."""
        if args or keywords:
            kind = args[0] if args else next(iter(keywords.values()))
            if kind is np.ndarray:
                return refuse_array() if type(self._softtape_current()) is Traced else bare(self)
            refuse("view() in another type", "Convert what it holds: x.astype(dtype).")
        return self[...]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Raise if what it holds is traced."""
        held = self._softtape_current()
        return refuse_array() if type(held) is Traced else np.array(held, dtype=dtype)

    def __copy__(self) -> Any:
        """Return a copy."""
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        """Return a copy."""
        return self.copy()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle, if it is plain."""
        return self._softtape_current().__reduce_ex__(protocol)


def _linked(part: Any) -> bool:
    """Whether an array is a view of what it was taken from, or nothing of the kind."""
    return not isinstance(part, np.ndarray) or hasattr(part, "_memory")


def _names(*names: str) -> Iterable[Any]:
    return (getattr(np, name) for name in names)


_VIEWING = frozenset(
    {
        *_names("shape", "ndim", "size", "shares_memory", "may_share_memory", "iscomplexobj"),
        *_names("reshape", "ravel", "transpose", "swapaxes", "moveaxis", "rollaxis"),
        *_names("matrix_transpose", "squeeze", "expand_dims", "flip", "flipud", "fliplr", "rot90"),
        *_names("split", "array_split", "hsplit", "vsplit", "dsplit", "diagonal"),
        *_names("atleast_1d", "atleast_2d", "atleast_3d", "broadcast_to", "unstack", "diag"),
        *_names("einsum", "real", "imag", "real_if_close"),
        np.lib.stride_tricks.sliding_window_view,
    }
)
"""Functions that numpy answers by a view, or by the shape alone."""


def _reading(name: str) -> Callable[..., Any]:
    """Return a method that asks what the array holds."""

    def method(self: Mosaic, *args: Any, **keywords: Any) -> Any:
        out = keywords.pop("out", None)
        made = getattr(self._softtape_current(), name)(*args, **keywords)
        if out is not None:
            return store((out,), made)
        return owned(made) if type(made) is Traced else _fresh(made)

    method.__name__ = name
    return method


def _viewing(name: str) -> Callable[..., Any]:
    """Return a method that gives a view where numpy's does, else a copy of what is held."""
    original = getattr(np.ndarray, name)

    def method(self: Mosaic, *args: Any, **keywords: Any) -> Any:
        made = linked(original(bare(self), *args, **keywords), self)
        if hasattr(made, "_memory"):
            return made
        return owned(getattr(self._softtape_current(), name)(*args, **keywords))

    method.__name__ = name
    return method


def _leaving(name: str) -> Callable[..., Any]:
    def method(*_: Any, **__: Any) -> NoReturn:
        refuse(f"ndarray.{name}", "Use numpy functions on the array itself.")

    return method


_READING = (
    *("__bool__", "__int__", "__index__", "__float__", "__complex__", "__round__"),
    *("__str__", "__repr__", "__format__"),
    *("all", "any", "argmax", "argmin", "argpartition", "argsort", "choose", "clip"),
    *("compress", "copy", "cumprod", "cumsum", "dot", "flatten", "item"),
    *("max", "mean", "min", "nonzero", "prod", "repeat", "round", "searchsorted", "std"),
    *("sum", "take", "tolist", "trace", "var"),
)
_LEAVING = (
    *("byteswap", "data", "dump", "dumps", "getfield", "resize", "setfield", "tobytes", "tofile"),
    *("to_device",),
)
for _name in _READING:
    setattr(Mosaic, _name, _reading(_name))
for _name in ("reshape", "ravel", "astype", "conj", "conjugate"):
    setattr(Mosaic, _name, _viewing(_name))
for _name in _LEAVING:
    setattr(Mosaic, _name, _leaving(_name))


class Mutated(Traced):
    """A traced array that was changed in place: it stands for the Mosaic that it holds."""

    __slots__ = ()

    def _softtape_current(self) -> Any:
        return self._value._softtape_current()

    def _softtape_record(self, primitive: Any, operands: Sequence[Any], attrs: Any) -> Any:
        return primitive(*map(_operand, operands), **attrs)


def mutated(traced: Traced, others: Iterable[Traced], fixed: Iterable[Traced]) -> Any:
    """Turn a traced array, and those that share its memory, into arrays that change in place.

    Parameters
    ----------
    traced
        The one that is to change.
    others
        Values that may share its memory.
    fixed
        The inputs of the tape, which do not belong to the program.

    Returns
    -------
    Mosaic
        What it now stands for.
    """
    value = traced._value
    root = _root(traced)
    if any(_root(x) is root for x in fixed):
        refuse(
            "changing in place what the program was given (a Param's value, an argument)",
            "Work on a copy: x = np.array(x), or write the functional form: x = x + y.",
        )
    if root.dtype != value.dtype:
        refuse(_SEEN_OTHERWISE, "Work on a copy: x = np.array(x).")
    if not value.flags.writeable:
        raise ValueError("assignment destination is read-only")
    members = [x for x in others if type(x) is Traced and _root(x) is root]
    members = list({id(x): x for x in (traced, *members)}.values())
    first = min(address(x._value) + _extent(x._value)[0] for x in members)
    last = max(address(x._value) + _extent(x._value)[1] for x in members)
    size = value.itemsize
    flat = np.full((last - first) // size + 1, np.nan, value.dtype).view(Mosaic)
    flat._memory = memory = Memory(flat.view(np.ndarray))
    for member in members:
        old = member._value
        start = address(old) - first
        array = np.ndarray.__new__(
            Mosaic, old.shape, old.dtype, buffer=flat, offset=start, strides=old.strides
        )
        _remember(array, memory)
        memory.write(array._where(), member)
        member._value = array
        member.__class__ = Mutated
    return traced._value


def _root(traced: Traced) -> Any:
    value = traced._value
    while (base := getattr(value, "base", None)) is not None:  # a window's is no array itself
        value = base
    return value


def _extent(array: NDArray[Any]) -> tuple[int, int]:
    """Return how far, in bytes, elements lie before and after the first one."""
    steps = [s * (n - 1) for s, n in zip(array.strides, array.shape, strict=True)]
    return sum(s for s in steps if s < 0), sum(s for s in steps if s > 0)


def _standing(name: str) -> Any:
    def method(self: Mutated, *args: Any, **keywords: Any) -> Any:
        return getattr(self._value, name)(*args, **keywords)

    method.__name__ = name
    return method


def _in_place(name: str) -> Any:
    change = getattr(operator, name)

    def method(self: Mutated, other: Any) -> Any:
        change(self._value, other)
        return self

    return method


def _stand_in() -> None:
    """Let Mutated pass on whatever a traced value can do."""
    for name, own in (vars(Value) | vars(Traced)).items():
        if name in vars(Mutated) or name in ("__slots__", "__doc__", "__module__", "__weakref__"):
            continue
        if isinstance(own, property):
            setattr(Mutated, name, property(operator.attrgetter(f"_value.{name}")))
        elif name.startswith("__i") and hasattr(operator, name) and name not in _NOT_IN_PLACE:
            setattr(Mutated, name, _in_place(name))
        elif callable(own) and hasattr(np.ndarray, name):
            setattr(Mutated, name, _standing(name))


_NOT_IN_PLACE = ("__invert__", "__index__")
_stand_in()

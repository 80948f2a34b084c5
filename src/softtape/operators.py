"""Python's operators on traced values: what runs for each operation of a program."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from softtape.columns import FLOAT, NONE, NUMBERS
from softtape.native import recorder
from softtape.operands import plain_operand
from softtape.ops import FUNCTIONS, PRIMITIVES, Primitive
from softtape.refusals import outlived

__all__ = ["BINARY", "UFUNCS", "give_operators", "python_operators"]

BINARY = {
    "add": ("add", "+"),
    "sub": ("subtract", "-"),
    "mul": ("multiply", "*"),
    "truediv": ("divide", "/"),
    "pow": ("power", None),  # of a negative number Python's would be complex
    "mod": ("remainder", "%"),
    "floordiv": ("floor_divide", "//"),
    "matmul": ("matmul", "@"),
    "and": ("bitwise_and", "&"),
    "or": ("bitwise_or", "|"),
    "xor": ("bitwise_xor", "^"),
}
"""Python's operators: the primitive, and the sign where it computes just what Python does."""

_UNARY = {
    "neg": ("negative", "-"),
    "pos": ("positive", "+"),
    "abs": ("absolute", None),
    "invert": ("invert", "~"),
}

UFUNCS = {f: p for f, p in FUNCTIONS.items() if type(p) is Primitive}
"""The functions that are one operation as they are, by function. It is a dict because it is asked
for every operation, and answers in half the time that a view of one takes."""

_COMPARE = {
    "lt": ("less", "<"),
    "le": ("less_equal", "<="),
    "gt": ("greater", ">"),
    "ge": ("greater_equal", ">="),
    "eq": ("equal", "=="),
    "ne": ("not_equal", "!="),
}

# What Tape.record does, spelt out for numbers. It is text so that Python's own operator can stand
# in it, which takes half the time of a call.
_OPERATOR = """
def {name}(self, other):
    tape = self._tape{counting}
    if type(other) is Traced and other._tape is tape:
        made = Traced()
        made._value = {both}
        number = tape.count
        rows = tape.growing
        rows += ({code}, self._index, other._index)
    else:
        kind = {float} if type(other) is float else NUMBERS.get(type(other))
        if kind is None:
            if foreign(other, {reflected!r}):
                return NotImplemented
            return tape.record(PRIMITIVE, (self, other), None)
        made = Traced()
        made._value = {left}
        number = tape.count
        rows = tape.growing
        rows += (kind, {none}, {none}, {code}, self._index, number)
        tape.constants.append(other)
        number += 1
    made._tape = tape
    made._index = number
    tape.count = number + 1
    if tape.locations is not None:
        tape.locate(made)
    return made
"""
_REFLECTED = """
def {name}(self, other):
    tape = self._tape{counting}
    kind = {float} if type(other) is float else NUMBERS.get(type(other))
    if kind is None:
        if foreign(other, None):
            return NotImplemented
        return tape.record(PRIMITIVE, (other, self), None)
    made = Traced()
    made._value = {right}
    number = tape.count
    rows = tape.growing
    rows += (kind, {none}, {none}, {code}, number, self._index)
    tape.constants.append(other)
    made._tape = tape
    made._index = number + 1
    tape.count = number + 2
    if tape.locations is not None:
        tape.locate(made)
    return made
"""
# Python's truths are numbers, as in (x > 0) - (x < 0); numpy joins theirs by «or», or refuses.
_COUNTING = """
    if type(self._value) is bool and type(getattr(other, "_value", other)) is bool:
        self = self * 1"""
_COUNTED = frozenset({"add", "sub", "mul"})


def give_operators(traced: Any) -> None:
    """Give ``traced``, which is :class:`softtape.traced.Traced`, Python's operators."""
    if recorder is not None:
        _bind(traced)
        del traced.__array_ufunc__  # compiled, they all come with its base
        return
    for name, method in python_operators(traced).items():
        setattr(traced, name, method)


def _bind(traced: Any) -> None:
    """Tell the compiled operators what to do, and what has whatever is not simple."""
    table, methods = {}, {name: _late(make) for name, make in _makers(traced).items()}
    for short, (name, _) in (BINARY | _COMPARE | _UNARY).items():
        own = methods[f"__{short}__"], methods.get(f"__r{short}__")
        table[short] = (PRIMITIVES[name].code, PRIMITIVES[name].compute, *own)
    ufunc = traced.__array_ufunc__
    recorder.bind(traced, NUMBERS, table, UFUNCS, ufunc, outlived, plain_operand, np.ndarray)


def python_operators(traced: type) -> dict[str, Callable[..., Any]]:
    """Return the operators of ``traced`` as methods written in Python, by name."""
    return {name: make() for name, make in _makers(traced).items()}


def _makers(traced: type) -> dict[str, Callable[[], Callable[..., Any]]]:
    """Return what makes each of them."""
    plain = {f"__{short}__": entry for short, entry in (BINARY | _COMPARE).items()}
    reflected = {f"__r{short}__": entry for short, entry in BINARY.items()}
    unary = {f"__{short}__": PRIMITIVES[name] for short, (name, _) in _UNARY.items()}
    return {
        **{name: partial(_method, _OPERATOR, name, entry, traced) for name, entry in plain.items()},
        **{n: partial(_method, _REFLECTED, n, entry, traced) for n, entry in reflected.items()},
        **{name: partial(_unary, primitive) for name, primitive in unary.items()},
    }


def _late(make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """Return a method that is made when it is first called: few of them ever are."""
    made = cache(make)

    def method(*operands: Any) -> Any:
        __tracebackhide__ = True
        return made()(*operands)

    return method


def _unary(primitive: Primitive) -> Callable[[Any], Any]:
    if primitive.name == "invert":  # of a truth, meant as «not»
        return lambda self: self._applied(primitive)

    def method(self: Any) -> Any:
        truth = type(getattr(self, "_value", None)) is bool  # counted, as above
        return (self * 1 if truth else self)._applied(primitive)

    return method


def _method(
    text: str, name: str, entry: tuple[str, str | None], traced: type
) -> Callable[..., Any]:
    primitive, sign = PRIMITIVES[entry[0]], entry[1]
    expression = f"{{}} {sign} {{}}" if sign else "compute({}, {})"
    counting = _COUNTING if name.strip("_").removeprefix("r") in _COUNTED else ""
    source = text.format(
        counting=counting,
        both=expression.format("self._value", "other._value"),
        left=expression.format("self._value", "other"),
        right=expression.format("other", "self._value"),
        reflected=f"__r{name[2:]}" if name.strip("_") in BINARY else None,
        **{"name": name, "code": primitive.code, "float": FLOAT, "none": NONE},
    )
    scope: dict[str, Any] = {"PRIMITIVE": primitive, "compute": primitive.compute}
    scope |= {"foreign": _foreign, "Traced": traced, "NUMBERS": NUMBERS}
    scope["__tracebackhide__"] = True  # pytest shows the user's line instead
    exec(compile(source, __file__, "exec"), scope)  # our own text
    method: Callable[..., Any] = scope[name]
    return method


def _foreign(other: Any, reflected: str | None) -> bool:
    """Whether another type's own operator is to be asked: a user's vector, times a number."""
    if other is None or isinstance(other, (str, bytes, dict, set)):
        return True
    if reflected is None or isinstance(other, (numbers.Number, list, tuple)):
        return False
    kind = type(other)
    if getattr(kind, "__array_ufunc__", other) is None:  # numpy's way to say so
        return True
    array_like = hasattr(kind, "__array__") or hasattr(other, "_softtape_record")
    return hasattr(kind, reflected) and not array_like

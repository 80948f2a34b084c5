"""The two tables behind the tape: primitives, and how numpy's functions are made of them.

A :class:`Primitive` is one operation of a graph: how to compute it and how to differentiate it.
Rules are plain numpy code: run on arrays they compute, run on traced values they record.

A numpy function that is not itself a primitive is given by :func:`implements`: plain code that
expresses it by primitives.
"""

from __future__ import annotations

import enum
import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Any, NoReturn, TypeAlias, TypeVar

__all__ = [
    "BY_CODE",
    "FUNCTIONS",
    "PRIMITIVES",
    "REFUSED",
    "SEQUENCES",
    "Kind",
    "Primitive",
    "foreign",
    "implements",
    "library",
    "primitive",
    "refuses",
]

Rule: TypeAlias = Callable[..., Any]
F = TypeVar("F", bound=Callable[..., Any])


class Kind(enum.Enum):
    """What a primitive's derivative looks like; decides how its jvp follows from its vjp."""

    ELEMENTWISE = "acts on each element by itself, with broadcasting"
    LINEAR = "linear in all its operands together"
    MULTILINEAR = "linear in each differentiable operand when the others are held"
    OTHER = "has a jvp of its own"
    CONSTANT = "constant in its operands almost everywhere: no gradient, by choice"


@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    """One operation of a graph.

    Attributes
    ----------
    name
        Its name in graphs; numpy's own where there is one.
    compute
        ``compute(*operands, **attrs)`` on plain numbers and arrays.
    vjps
        One rule per operand, ``rule(g, y, *operands, **attrs)`` giving the cotangent of
        that operand from the cotangent ``g`` of the result ``y``; None where the result does
        not depend smoothly on the operand. For primitives with any number of operands, a
        single function ``rule(i, g, y, *operands, **attrs)``. Rules of elementwise primitives
        may ignore broadcasting: their result is summed to the operand's shape.
    kind
        How the jvp follows.
    jvp
        ``jvp(tangents, y, *operands, **attrs)`` for kind OTHER; a tangent is None where the
        operand does not move.
    code
        Its number in the order of registration, which stands for it while this process lasts.
    """

    name: str
    compute: Callable[..., Any]
    vjps: tuple[Rule | None, ...] | Rule
    kind: Kind
    jvp: Rule | None = None
    code: int = -1

    def __call__(self, *operands: Any, **attrs: Any) -> Any:
        """Compute on plain operands; record where one of them is traced."""
        for operand in operands:
            record = getattr(operand, "_softtape_record", None)
            if record is not None:
                return record(self, operands, attrs)
        return self.compute(*operands, **attrs)

    def vjp_rule(self, i: int) -> Rule | None:
        """Return the rule of operand ``i``, or None if no gradient flows there."""
        if callable(self.vjps):
            rule = self.vjps
            return lambda g, y, *operands, **attrs: rule(i, g, y, *operands, **attrs)
        return self.vjps[i] if i < len(self.vjps) else None


class _Primitives(dict[str, Primitive]):
    def __missing__(self, name: str) -> Primitive:
        """Load the library a name belongs to: a graph may come from another process."""
        library = name.rpartition(".")[0]
        if library not in _LIBRARIES:
            raise KeyError(name)
        _load(library, importlib.import_module(library))
        return self[name]


_PRIMITIVES = _Primitives()
_BY_CODE: list[Primitive] = []
_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {}
_SEQUENCES: dict[Callable[..., Any], tuple[int, ...]] = {}
_REFUSED: dict[Callable[..., Any], str] = {}

PRIMITIVES: Mapping[str, Primitive] = MappingProxyType(_PRIMITIVES)
"""Every primitive, by name."""

BY_CODE: Sequence[Primitive] = _BY_CODE
"""Every primitive, at the place that is its code."""

FUNCTIONS: Mapping[Callable[..., Any], Callable[..., Any]] = MappingProxyType(_FUNCTIONS)
"""For each numpy function the tape knows, the code that expresses it by primitives."""

SEQUENCES: Mapping[Callable[..., Any], tuple[int, ...]] = MappingProxyType(_SEQUENCES)
"""Functions that take sequences of arrays, rather than lists that stand for one array: for each of
their first arguments, how many levels of such lists it nests."""

REFUSED: Mapping[Callable[..., Any], str] = MappingProxyType(_REFUSED)
"""Functions that stop under tracing, and why, with what to write instead."""


Known: TypeAlias = Mapping[Callable[..., Any], Callable[..., Any]]
_LIBRARIES: dict[str, Callable[[ModuleType], Known]] = {}
_FOREIGN: dict[Callable[..., Any], Callable[..., Any]] = {}


def library(name: str) -> Callable[[Callable[[ModuleType], Known]], None]:
    """Decorate what registers rules for a library, and returns the functions it then knows.

    It is called with the library's module, once, when the program first calls one of its
    functions: nothing here imports a library that the program does not use.
    """

    def register(load: Callable[[ModuleType], Known]) -> None:
        _LIBRARIES[name] = load

    return register


def _load(name: str, module: ModuleType) -> None:
    _FOREIGN.update(_LIBRARIES.pop(name)(module))


def foreign(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return what :data:`FUNCTIONS` would, for a function of a library that is not numpy."""
    for name in [*_LIBRARIES]:
        if name in sys.modules:
            _load(name, sys.modules[name])
    return _FOREIGN.get(function)


def primitive(
    name: str,
    compute: Callable[..., Any],
    vjps: Iterable[Rule | None] | Rule = (),
    *,
    kind: Kind,
    jvp: Rule | None = None,
) -> Primitive:
    """Register a primitive; see :class:`Primitive` for the arguments.

    Raises
    ------
    ValueError
        The name is taken, or the rules do not fit the kind.
    """
    rules = vjps if callable(vjps) else tuple(vjps)
    if name in _PRIMITIVES:
        raise ValueError(f"primitive {name!r} is registered twice: {_PRIMITIVES[name]!r}")
    if (kind is Kind.CONSTANT) == bool(rules):
        raise ValueError(f"primitive {name!r}: only kind CONSTANT goes without vjp rules")
    if (kind is Kind.OTHER) != (jvp is not None):
        raise ValueError(f"primitive {name!r}: kind OTHER needs a jvp, no other kind takes one")
    made = Primitive(name, compute, rules, kind, jvp, len(_PRIMITIVES))
    _PRIMITIVES[name] = made
    _BY_CODE.append(made)
    return made


def implements(*functions: Callable[..., Any], sequences: tuple[int, ...] = ()) -> Callable[[F], F]:
    """Decorate the code that expresses ``functions`` (numpy's) by primitives.

    It takes the same arguments as the numpy function; traced values stand where arrays would.
    ``sequences`` says how many levels of lists its first arguments nest before they mean arrays.
    """

    def register(code: F) -> F:
        for function in functions:
            if function in _FUNCTIONS:
                raise ValueError(f"{function!r} is implemented twice: {code!r}")
            _FUNCTIONS[function] = code
            if sequences:
                _SEQUENCES[function] = sequences
        return code

    return register


def refuses(*functions: Callable[..., Any], because: str) -> None:
    """Register ``functions`` (numpy's) that stop under tracing, with the words they stop with."""

    def code(*args: Any, **keywords: Any) -> NoReturn:
        raise NotImplementedError(because)

    implements(*functions)(code)
    _REFUSED.update(dict.fromkeys(functions, because))

"""What the libraries have in common: a foreign function with foreign rules, of any order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Protocol

from softtape.containers import Structure, flatten
from softtape.custom import Custom, custom_vjp
from softtape.errors import SoftError
from softtape.functional import is_float

__all__ = ["Library", "missing", "wrapped"]

Function = Callable[..., Any]


class Library(Protocol):
    """A library that differentiates functions of arrays of its own."""

    def context(self) -> AbstractContextManager[Any]:
        """Return what is active while a function runs."""
        ...

    def enter(self, leaf: Any) -> Any:
        """Return a numpy float or array as the library's."""
        ...

    def leave(self, leaf: Any) -> Any:
        """Return the library's array as numpy's, anything else as it is."""
        ...

    def is_float(self, leaf: Any) -> bool:
        """Whether a leaf is an array of real floats of the library."""
        ...

    def vjp(self, f: Function, primals: list[Any], cotangents: Any) -> tuple[Any, ...]:
        """Carry the cotangents of ``f(*primals)`` back to each of ``primals``."""
        ...

    def jvp(self, f: Function, primals: list[Any], tangents: list[Any]) -> Any:
        """Return the derivative of ``f(*primals)`` in the direction ``tangents``."""
        ...


def wrapped(f: Function, library: Library, name: str) -> Custom:
    """Return a function of the library's arrays as one of numpy arrays, with its derivatives.

    A rule is such a function again, made when it is first asked for; so there is no highest
    order.
    """

    def compute(*args: Any, **keywords: Any) -> Any:
        leaves, structure = flatten((args, keywords))
        with library.context():
            given, named = structure.rebuild(
                library.enter(leaf) if is_float(leaf) else leaf for leaf in leaves
            )
            results, built = flatten(f(*given, **named))
            return built.rebuild(map(library.leave, results))

    @cache
    def adjoint() -> Custom:
        def back(g: Any, args: Any, keywords: Any) -> Any:
            flat = _Flat(f, library, args, keywords)
            seeds = tuple(leaf for leaf in flatten(g)[0] if library.is_float(leaf))
            return flat.arguments(library.vjp(flat, flat.moving, seeds))

        return wrapped(back, library, f"vjp of {name}")

    @cache
    def tangent() -> Custom:
        def along(tangents: Any, args: Any, keywords: Any) -> Any:
            flat = _Flat(f, library, args, keywords)
            moves = [leaf for leaf in flatten(tangents)[0] if library.is_float(leaf)]
            return flat.result(library.jvp(flat, flat.moving, moves))

        return wrapped(along, library, f"jvp of {name}")

    compute.__name__ = compute.__qualname__ = name
    compute.__doc__ = f.__doc__
    made = custom_vjp(compute)
    made.defvjp(lambda g, _, *args, **keywords: adjoint()(g, args, keywords))
    made.defjvp(lambda tangents, _, *args, **keywords: tangent()(tangents, args, keywords))
    return made


class _Flat:
    """A function of the arrays among its arguments to a tuple of those among its results."""

    def __init__(self, f: Function, library: Library, args: Any, keywords: Any) -> None:
        self._f, self._library, self._keywords = f, library, keywords
        self._leaves, self._structure = flatten(args)
        self._places = [i for i, leaf in enumerate(self._leaves) if library.is_float(leaf)]
        self.moving = [self._leaves[i] for i in self._places]
        self._returned = Structure()
        self._floats: list[bool] = []

    def __call__(self, *values: Any) -> tuple[Any, ...]:
        given = list(self._leaves)
        for i, value in zip(self._places, values, strict=True):
            given[i] = value
        leaves, self._returned = flatten(self._f(*self._structure.rebuild(given), **self._keywords))
        self._floats = [self._library.is_float(leaf) for leaf in leaves]
        return tuple(leaf for leaf, moves in zip(leaves, self._floats, strict=True) if moves)

    def arguments(self, cotangents: Any) -> Any:
        """Return cotangents built like the arguments, None for those that are no arrays."""
        filled: list[Any] = [None] * len(self._leaves)
        for i, value in zip(self._places, cotangents, strict=True):
            filled[i] = value
        return self._structure.rebuild(filled)

    def result(self, tangents: Any) -> Any:
        """Return tangents built like what the function returned last."""
        moved = iter(tangents)
        return self._returned.rebuild(next(moved) if moves else None for moves in self._floats)


def missing(library: str, extra: str) -> SoftError:
    """Return the error for a library that is not installed."""
    return SoftError(f"this needs {library}: pip install 'pytest-soft[{extra}]'")

"""Functions with derivatives of the user's own: ``custom_vjp``, ``custom_jvp``, ``primitive``.

Such a function is one node of a graph, ``call``. All real floats among its arguments are joined to
one vector, its operand, and so are its results: whatever containers it takes and returns, the
node has one operand and one result, and the user's rule is called once for all of them. The other
arguments (integers, strings, ..., and those given by keyword) are static: part of the node.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol, TypeAlias, overload

import numpy as np

from softtape import reading as _reading
from softtape.containers import Structure, flatten
from softtape.errors import DerivativeError, TraceError
from softtape.functional import is_float, name_of, vjp
from softtape.graph import shape_of
from softtape.location import Location, user_location
from softtape.ops.complex import is_complex
from softtape.ops.registry import Kind
from softtape.ops.registry import primitive as register
from softtape.reading import Readable, set_reader
from softtape.recording import current
from softtape.tape import Traced

__all__ = [
    "CALL",
    "Custom",
    "Like",
    "Node",
    "custom_jvp",
    "custom_vjp",
    "joined",
    "like",
    "parted",
    "primitive",
    "shown",
]

__tracebackhide__ = True  # pytest shows the user's line instead

Rule: TypeAlias = Callable[..., Any]
Like: TypeAlias = "tuple[tuple[int, ...], np.dtype[Any]] | None"
"""Shape and dtype of a leaf; None for a leaf that is None."""

_numbers = itertools.count(1)


def custom_vjp(f: Callable[..., Any]) -> Custom:
    """Return ``f`` as a function whose derivative is given by a rule of reverse mode.

    Parameters
    ----------
    f
        Computes on plain numbers and arrays. It must take whatever its derivative
        depends on as positional arguments: no Params of its own, no traced values from around.

    Returns
    -------
    Custom
        Called like ``f``. Give it its rule by the decorator ``defvjp``: a function
        ``rule(g, y, *args, **keywords)`` that returns the cotangent of each positional argument
        (a tuple, or the one itself) from the cotangent ``g`` of the result ``y``; None where
        there is none. It is numpy code, linear in ``g``; forward mode and higher derivatives
        follow from it.

    Examples
    --------
    >>> import numpy as np
    >>> from softtape import custom_vjp, grad
    >>> @custom_vjp
    ... def log1pexp(x):
    ...     return np.logaddexp(0.0, x)
    >>> @log1pexp.defvjp
    ... def rule(g, y, x):
    ...     return g * np.exp(x - y)
    >>> float(grad(log1pexp)(0.0))
    0.5
    """
    return Custom(f, "custom_vjp")


def custom_jvp(f: Callable[..., Any]) -> Custom:
    """Return ``f`` as a function whose derivative is given by a rule of forward mode.

    Parameters
    ----------
    f
        As for :func:`custom_vjp`.

    Returns
    -------
    Custom
        Called like ``f``. Give it its rule by the decorator ``defjvp``: a function
        ``rule(tangents, y, *args, **keywords)`` that returns the tangent of the result ``y`` from a
        tuple with the tangent of each positional argument (None for one that is not made of
        floats). It is numpy code, linear in the tangents; reverse mode and higher derivatives
        follow from it.
    """
    return Custom(f, "custom_jvp")


@overload
def primitive(
    f: Callable[..., Any],
    *,
    vjp: Rule | None = None,
    jvp: Rule | None = None,
    vectorized: bool = False,
) -> Custom: ...


@overload
def primitive(
    *, vjp: Rule | None = None, jvp: Rule | None = None, vectorized: bool = False
) -> Callable[[Callable[..., Any]], Custom]: ...


def primitive(
    f: Callable[..., Any] | None = None,
    *,
    vjp: Rule | None = None,
    jvp: Rule | None = None,
    vectorized: bool = False,
) -> Any:
    """Return a foreign function as one whose derivative is given by foreign rules.

    For code that must never meet a traced value: a C extension, a table, a simulator with
    an adjoint. The function and its rules are called with plain numbers and arrays only.

    Parameters
    ----------
    f
        The function; left out, a decorator is returned.
    vjp
        Reverse mode: ``vjp(g, y, *args, **keywords)``, as for :func:`custom_vjp`.
    jvp
        Forward mode: ``jvp(tangents, y, *args, **keywords)``, as for :func:`custom_jvp`.
        One of the two is enough: the other is made of it, one call for each element of the
        result, or of the arguments.
    vectorized
        Whether ``f`` and its rules also take stacks: all floats among the arguments with
        one leading axis more, and the result, too. A fit then evaluates all cases of a test in
        one call; otherwise it calls ``f`` for one case after the other.

    Returns
    -------
    Custom
        Called like ``f``. For derivatives of its derivatives, give rules that are themselves
        made by :func:`primitive` or :func:`custom_vjp`.

    Raises
    ------
    DerivativeError
        There is no rule at all.
    """
    if f is None:
        return functools.partial(primitive, vjp=vjp, jvp=jvp, vectorized=vectorized)
    if vjp is None and jvp is None:
        raise DerivativeError(
            f"{user_location()}\nsofttape.primitive: {name_of(f)} needs vjp= or jvp=. Where no "
            "gradient shall flow, call it with softtape.stop_gradient(x)"
        )
    made = Custom(f, "primitive", vectorized=vectorized)
    made.vjp_rule = None if vjp is None else _foreign(vjp, vectorized)
    made.jvp_rule = None if jvp is None else _foreign(jvp, vectorized)
    return made


def _foreign(rule: Rule, vectorized: bool) -> Rule:
    return rule if isinstance(rule, Custom) else Custom(rule, "rule", vectorized=vectorized)


# ---- the node


class Node(Protocol):
    """What a node ``call`` does: functions of one vector or, if vectorized, of a stack of them."""

    vectorized: bool

    def compute(self, flat: Any) -> Any:
        """Return the joined results for the joined operands, plain."""
        ...

    def vjp(self, g: Any, y: Any, flat: Any) -> Any:
        """Return the cotangent of the operand; plain or traced."""
        ...

    def jvp(self, tangent: Any, y: Any, flat: Any) -> Any:
        """Return the tangent of the result; plain or traced."""
        ...


CALL = register(
    "call",
    lambda flat, node: node.compute(flat),
    (lambda g, y, flat, node: node.vjp(g, y, flat),),
    kind=Kind.OTHER,
    jvp=lambda tangents, y, flat, node: node.jvp(tangents[0], y, flat),
)


def joined(leaves: Sequence[Any], before: tuple[int, ...] = ()) -> Any:
    """Return real leaves, plain or traced, as one vector, or a stack of shape ``before`` of them.

    Leaves that are None are left out.
    """
    sizes = [math.prod(shape_of(x)[len(before) :]) for x in leaves]
    flat = [
        np.reshape(x, (*before, n)) for x, n in zip(leaves, sizes, strict=True) if x is not None
    ]
    if not flat:
        return np.zeros((*before, 0))
    return flat[0] if len(flat) == 1 else np.concatenate(flat, axis=-1)


def parted(flat: Any, likes: Sequence[Like]) -> list[Any]:
    """Return the leaves that were `joined` to ``flat``."""
    before, start = shape_of(flat)[:-1], 0
    leaves: list[Any] = []
    for each in likes:
        if each is None:
            leaves.append(None)
            continue
        shape, dtype = each
        size = math.prod(shape)
        if before:
            leaf = flat[..., start : start + size]
        else:
            leaf = flat[start] if shape == () else flat[start : start + size]
        if shape_of(leaf) != (*before, *shape):
            leaf = np.reshape(leaf, (*before, *shape))
        leaves.append(leaf if leaf.dtype == dtype else leaf.astype(dtype))
        start += size
    return leaves


def like(leaf: Any, axes_before: int = 0) -> Like:
    """Return shape and dtype of a leaf, without its first axes."""
    if leaf is None:
        return None
    return shape_of(leaf)[axes_before:], getattr(leaf, "dtype", np.dtype(float))


def shown(static: Any) -> str:
    """Tell a static argument from every other, also in long arrays."""
    if isinstance(static, np.ndarray) and static.dtype != object:
        digest = hashlib.sha256(np.ascontiguousarray(static).tobytes()).hexdigest()
        return f"<{static.dtype} array of shape {static.shape}, {digest}>"
    return repr(static)


# ---- a function with rules


class Custom:
    """A function that computes on plain numbers, and the rules of its derivatives.

    Made by :func:`custom_vjp`, :func:`custom_jvp` and :func:`primitive`.
    """

    def __init__(self, f: Callable[..., Any], made_by: str, *, vectorized: bool = False) -> None:
        """Keep the function; its rules are given later."""
        functools.update_wrapper(self, f, updated=())
        self.function = f
        self.made_by = made_by
        self.vectorized = vectorized
        self.vjp_rule: Rule | None = None
        self.jvp_rule: Rule | None = None
        self.key = f"{name_of(f)}#{next(_numbers)}"  # two functions may have the same name

    def __repr__(self) -> str:
        """Show what it is and what it was made of."""
        return f"<softtape.{self.made_by} {name_of(self.function)}>"

    def defvjp(self, rule: Rule) -> Rule:
        """Take the rule of reverse mode; a decorator. See :func:`custom_vjp`."""
        self.vjp_rule = rule
        return rule

    def defjvp(self, rule: Rule) -> Rule:
        """Take the rule of forward mode; a decorator. See :func:`custom_jvp`."""
        self.jvp_rule = rule
        return rule

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Compute; record one node where an argument is traced.

        Raises
        ------
        DerivativeError
            An argument is traced, and there is no rule, or it was given by keyword.
        """
        leaves, structure = flatten((args, keywords))
        leaves = [current(leaf) for leaf in leaves]
        for i, leaf in enumerate(leaves):
            if type(leaf) is Traced and is_complex(leaf):
                _refuse(self, "an argument is complex. Pass z.real and z.imag")
            if type(leaf) is Traced and not is_float(leaf):
                leaves[i] = leaf._pinned()  # an integer or a truth value: guarded, and static
        if not any(type(leaf) is Traced for leaf in leaves):
            given, named = structure.rebuild(leaves)
            return self.function(*given, **named)
        if self.vjp_rule is None and self.jvp_rule is None and self.made_by != "rule":
            _refuse(self, f"it has no rule for its derivative. {_MISSING[self.made_by]}")
        node = _Call(self, leaves, structure)
        return node.result(CALL(joined([leaves[i] for i in node.moving]), node=node))


_MISSING = {
    "custom_vjp": "Give it one by the decorator defvjp",
    "custom_jvp": "Give it one by the decorator defjvp",
}


def _written(function: Rule) -> str:
    """Return where a function of the user's is written, for messages; nothing if not in Python."""
    code = getattr(getattr(function, "function", function), "__code__", None)
    return "" if code is None else f" ({Location(code.co_filename, code.co_firstlineno, '')})"


def _refuse(custom: Custom, message: str) -> NoReturn:
    raise DerivativeError(f"{user_location()}\n{custom!r}: {message}.")


class _Call:
    """One call of a :class:`Custom`: which arguments move, and how they and the results are built.

    Calls that show alike are alike: same function, same static arguments, same shapes.
    """

    def __init__(self, custom: Custom, leaves: Sequence[Any], structure: Structure) -> None:
        positional = sum(1 for _ in structure.parts[0].paths())
        if any(type(leaf) is Traced for leaf in leaves[positional:]):
            _refuse(custom, "an argument given by keyword is traced. Give it by position")
        self.custom = custom
        self.vectorized = custom.vectorized
        self.structure = structure
        self.moving = [i for i in range(positional) if is_float(leaves[i])]
        self.likes = [like(leaves[i]) for i in self.moving]
        moving = set(self.moving)
        self.static = [None if i in moving else leaf for i, leaf in enumerate(leaves)]
        self.returned: Structure | None = None
        self.shapes: list[Like] = []

    def __repr__(self) -> str:
        static = ", ".join(map(shown, self.static))
        return f"{self.custom.key}({self.structure}, [{static}], {self.likes} -> {self.shapes})"

    def arguments(self, flat: Any, static: Sequence[Any]) -> tuple[Any, Any]:
        """Return positional and keyword arguments, the moving leaves taken from ``flat``."""
        leaves = list(static)
        for i, leaf in zip(self.moving, parted(flat, self.likes), strict=True):
            leaves[i] = leaf
        args, keywords = self.structure.rebuild(leaves)
        return args, keywords

    def result(self, flat: Any) -> Any:
        """Return joined results as the function does."""
        assert self.returned is not None
        return self.returned.rebuild(parted(flat, self.shapes))

    def compute(self, flat: Any) -> Any:
        """Return the joined results for plain operands."""
        args, keywords = self.arguments(flat, self.static)
        before = shape_of(flat)[:-1]
        with _params_are_arguments(self.custom, flat):
            made = self.custom.function(*args, **keywords)
        leaves, returned = flatten(made)
        for i, (leaf, path) in enumerate(zip(leaves, returned.paths(), strict=True)):
            if not is_float(leaf) and leaf is not None:
                leaves[i] = _as_float(self.custom, leaf, path)
            elif type(leaf) is Traced:
                _refuse_around(self.custom, "computes with a traced value")
        shapes = [like(leaf, len(before)) for leaf in leaves]
        if self.returned is None:
            self.returned, self.shapes = returned, shapes
        elif (returned, shapes) != (self.returned, self.shapes):
            raise ValueError(
                f"{self.custom!r}{_written(self.custom.function)} returned {shapes}, where before "
                f"{self.shapes}: what is recorded once keeps its shape. Pad what it returns to "
                "one shape"
            )
        return joined(leaves, before)

    def vjp(self, g: Any, y: Any, flat: Any) -> Any:
        """Return the cotangent of the operand."""
        rule = self.custom.vjp_rule
        if rule is None:
            self._check_order()
            if self.custom.made_by == "primitive":
                columns = [self.jvp(unit, y, flat) for unit in _units(flat)]
                return np.stack([np.sum(g * column, axis=-1) for column in columns], axis=-1)
            return _transposed(lambda t: self.jvp(t, y, flat), flat, g)
        args, keywords = self.arguments(flat, self.static)
        with _params_are_arguments(self.custom, g, y, flat):
            made = rule(self.result(g), self.result(y), *args, **keywords)
        if len(args) == 1 and not (isinstance(made, (tuple, list)) and len(made) == 1):
            made = (made,)
        if not isinstance(made, (tuple, list)) or len(made) != len(args):
            _refuse(
                self.custom,
                f"its vjp rule{_written(rule)} must return {len(args)} cotangents, one for each "
                f"positional argument (None where none flows), not {made!r}",
            )
        leaves: list[Any] = []
        for i, (part, built) in enumerate(zip(made, self.structure.parts[0].parts, strict=True)):
            leaves += self._checked(part, built, "vjp", f"the cotangent of argument {i}")
        moving = [leaves[i] for i in self.moving]
        return self._joined(moving, self.likes, flat, "vjp")

    def jvp(self, tangent: Any, y: Any, flat: Any) -> Any:
        """Return the tangent of the result."""
        rule = self.custom.jvp_rule
        if rule is None:
            self._check_order()
            if self.custom.made_by == "primitive":
                rows = [self.vjp(unit, y, flat) for unit in _units(y)]
                return np.stack([np.sum(row * tangent, axis=-1) for row in rows], axis=-1)
            return _transposed(lambda g: self.vjp(g, y, flat), y, tangent)
        args, keywords = self.arguments(flat, self.static)
        tangents, _ = self.arguments(tangent, [None] * len(self.static))
        with _params_are_arguments(self.custom, tangent, y, flat):
            made = rule(tangents, self.result(y), *args, **keywords)
        assert self.returned is not None
        leaves = self._checked(made, self.returned, "jvp", "the tangent of the result")
        return self._joined(leaves, self.shapes, y, "jvp")

    def _check_order(self) -> None:
        if self.custom.made_by == "rule":
            _refuse(
                self.custom,
                "a higher derivative asks for its own derivative, but it computes on plain "
                "numbers. Make the rule a softtape.primitive or a softtape.custom_vjp itself",
            )

    def _checked(self, part: Any, built: Structure, rule: str, what: str) -> list[Any]:
        if part is None:
            return [None for _ in built.paths()]
        try:
            return list(built.leaves_of(part))
        except ValueError as error:
            written = _written(getattr(self.custom, f"{rule}_rule"))
            _refuse(
                self.custom,
                f"its {rule} rule{written} returned {what} in another structure: {error}. Return "
                "it built alike, None where nothing flows",
            )

    def _joined(self, leaves: list[Any], likes: Sequence[Like], of: Any, rule: str) -> Any:
        """Join what a rule returned, for an operand or result joined to ``of``."""
        before = shape_of(of)[:-1]
        said = f"its {rule} rule{_written(getattr(self.custom, f'{rule}_rule'))} returned"
        filled = []
        for leaf, each in zip(leaves, likes, strict=True):
            if each is None:
                continue
            shape = (*before, *each[0])
            leaf = np.zeros(shape) if leaf is None else leaf
            if not is_float(leaf) and np.asarray(leaf).dtype.kind not in "biu":
                _refuse(self.custom, f"{said} {leaf!r}, not real numbers. Return floats, or None")
            if shape_of(leaf) != shape:
                _refuse(
                    self.custom,
                    f"{said} shape {shape_of(leaf)} instead of {shape}, that of what it belongs "
                    "to. Sum it over axes of broadcasting, or write g * np.ones(...)",
                )
            filled.append(leaf)
        return joined(filled, before)


def _units(vector: Any) -> Iterator[Any]:
    """Yield the unit vectors of the space of ``vector``, stacked as it is."""
    shape = shape_of(vector)
    return (np.broadcast_to(unit, shape) for unit in np.eye(shape[-1]))


def _transposed(linear: Callable[[Any], Any], at: Any, cotangent: Any) -> Any:
    """Carry a cotangent back through a function that is linear in an argument like ``at``."""

    def moved(x: Any) -> Any:
        return linear(x) + 0.0 * np.sum(x)  # a rule may give plain zeros

    return vjp(moved, np.zeros(shape_of(at)))[1](cotangent)[0]


def _as_float(custom: Custom, leaf: Any, path: str) -> Any:
    made = np.asarray(leaf)
    if made.dtype.kind not in "biu":
        _refuse(
            custom,
            f"it returned {leaf!r}{path and f' at {path}'}, not real numbers. Return floats, "
            "arrays of them, or containers of these",
        )
    return made.astype(float)[()]


# ---- what a function with rules must not use


@contextmanager
def _params_are_arguments(custom: Custom, *given: Any) -> Iterator[None]:
    """Refuse to read Params while a function or its rule runs, if that is part of a fit.

    The graph of the fit would hold their value of the moment.
    """
    fitted = any(type(x) is Traced and x._tape.depth == 0 for x in given)
    if _reading.reader is None and not fitted:
        yield
        return
    before = set_reader(_Refusing(custom))
    try:
        yield
    finally:
        set_reader(before)


class _Refusing:
    def __init__(self, custom: Custom) -> None:
        self._custom = custom

    def read(self, param: Readable, /) -> NoReturn:
        _refuse_around(self._custom, f"reads the Param declared at {param.where}")

    def show(self, param: Readable, /) -> None:
        """Let it pass: a text has no slope anyway."""


def _refuse_around(custom: Custom, does: str) -> NoReturn:
    raise TraceError(
        f"{user_location()}\n{custom!r} {does} that is not among its arguments, so its gradient "
        "would be lost. Pass it as an argument."
    )

"""Derivatives of functions: ``grad``, ``jvp``, ``vjp``, ``jacobian``, ``hessian`` and their kin.

Each call runs the function once under tracing, so that Python's control flow follows the values;
nothing is cached between calls. Arguments are real numbers, arrays, Params, and nested containers
of them (see :mod:`softtape.containers`); results may also be complex. All of these functions nest
in any order, also inside a program whose Params are being fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np

from softtape.containers import Structure, flatten
from softtape.errors import DerivativeError
from softtape.graph import shape_of
from softtape.location import user_location
from softtape.ops.complex import is_complex
from softtape.recording import Run, current, run
from softtape.tape import Traced
from softtape.transforms.jvp import pushforward, unit_seeds, unit_vectors
from softtape.transforms.vjp import pullback, zeros

__all__ = [
    "grad",
    "hessian",
    "hvp",
    "is_float",
    "jacobian",
    "jvp",
    "name_of",
    "refuse_derivative",
    "value_and_grad",
    "vjp",
]

__tracebackhide__ = True  # pytest shows the user's line instead

Argnums: TypeAlias = int | tuple[int, ...]


def grad(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """Return the function that computes the gradient of ``f``.

    Parameters
    ----------
    f
        A function that returns a real number.
    argnums
        Which positional argument to differentiate by, or a tuple of several. These are
        floats, arrays of floats, or nested containers of them; the other arguments, also those
        given by keyword, may be anything.

    Returns
    -------
    Callable
        Takes the arguments of ``f``. Returns the gradient in the structure, shapes and
        dtypes of the argument; for a tuple of argnums, a tuple of gradients.

    Raises
    ------
    DerivativeError
        When called, if ``f`` does not return a real number that was computed from
        its arguments, or if an argument is not made of real floats.

    Examples
    --------
    >>> import numpy as np
    >>> from softtape import grad
    >>> float(grad(lambda x: x * x)(3.0))
    6.0
    >>> grad(lambda p: np.sum(p["w"] ** 2) * p["b"])({"w": np.array([1.0, 2.0]), "b": 3.0})
    {'w': array([ 6., 12.]), 'b': np.float64(5.0)}
    """
    both = value_and_grad(f, argnums)

    def gradient(*args: Any, **keywords: Any) -> Any:
        return both(*args, **keywords)[1]

    return _named(gradient, "grad", f)


def value_and_grad(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., tuple[Any, Any]]:
    """Return the function that computes both ``f`` and its gradient; see :func:`grad`."""

    def value_and_gradient(*args: Any, **keywords: Any) -> tuple[Any, Any]:
        call = _Call("grad", f, args, keywords, argnums)
        output = call.scalar()
        value = call.run.values[output]
        seed = np.ones((), zeros(value).dtype)[()]
        return call.run.known_around(value), call.by_argument(call.pullback({output: seed}))

    return _named(value_and_gradient, "value_and_grad", f)


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """Return ``f(*primals)``, and the function that carries cotangents of it back.

    Parameters
    ----------
    f
        A function of ``primals`` that returns a real number, an array or a container.
    primals
        Floats, arrays of floats, or nested containers of them.

    Returns
    -------
    tuple
        The value; and a function that takes a cotangent in the structure of the value (in
        numbers: vᵀ) and returns a tuple of cotangents (vᵀJ), one in the structure of each primal.
        It may be called many times.
    """
    call = _Call("vjp", f, primals, {}, tuple(range(len(primals))))

    def back(cotangent: Any) -> tuple[Any, ...]:
        parts = _alike("vjp", "cotangent", cotangent, "the result", call.results(), call.returned)
        seeds: dict[int, Any] = {}
        for output, part in zip(call.run.graph.outputs, parts, strict=True):
            seeds[output] = part if output not in seeds else seeds[output] + part
        made: tuple[Any, ...] = call.by_argument(call.pullback(seeds))
        return made

    return call.value(), back


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Return ``f(*primals)`` and its derivative in the direction ``tangents``, by forward mode.

    Parameters
    ----------
    f
        A function of ``primals`` that returns a real number, an array or a container.
    primals
        Its arguments, a list or tuple: floats, arrays of floats, or nested containers.
    tangents
        As many, each in the structure and shapes of its primal.

    Returns
    -------
    tuple
        The value, and the derivative in its structure.
    """
    _check_tuples("jvp", f, primals, tangents)
    call = _Call("jvp", f, primals, {}, tuple(range(len(primals))))
    parts = _alike("jvp", "tangents", tuple(tangents), "the primals", call.leaves, call.taken)
    seeds = {
        key: np.reshape(part, (1, *np.shape(part)))
        for key, part in zip(call.run.keys, parts, strict=True)
    }
    moved = [call.run.known_around(t[0]) for t in call.pushforward(seeds, 1)]
    return call.value(), call.returned.rebuild(moved)


def jacobian(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """Return the function that computes all derivatives of ``f``.

    It takes forward sweeps, one per element of the arguments, or reverse sweeps, one per
    element of the result, whichever are fewer.

    Parameters
    ----------
    f, argnums
        As for :func:`grad`; ``f`` may return an array or a container.

    Returns
    -------
    Callable
        Takes the arguments of ``f``. Returns, for an argument x and a result y, an array of
        shape (\\*y.shape, \\*x.shape). Where the result is a container, a container of such
        arrays; where the argument is one, each of them is a container in its structure; for a
        tuple of argnums, a tuple.
    """

    def all_derivatives(*args: Any, **keywords: Any) -> Any:
        call = _Call("jacobian", f, args, keywords, argnums)
        values = call.results()
        n = sum(int(np.size(x)) for x in call.leaves)
        m = sum(int(np.size(y)) for y in values)
        # one row backward would be the real part alone of a complex one
        forward = n <= m or any(map(is_complex, values))
        blocks = _by_columns(call, n) if forward else _by_rows(call, values)
        return call.returned.rebuild([call.by_argument(row) for row in blocks])

    return _named(all_derivatives, "jacobian", f)


def hessian(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """Return the function that computes the second derivatives of ``f``, forward over reverse.

    Parameters
    ----------
    f, argnums
        As for :func:`grad`.

    Returns
    -------
    Callable
        Takes the arguments of ``f``. Returns, for an argument x, an array of shape
        (\\*x.shape, \\*x.shape); for containers and several argnums, the structure of the gradient,
        with that structure again in each place.
    """
    return _named(jacobian(grad(f, argnums), argnums), "hessian", f)


def hvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, ...]:
    """Return the product of the Hessian of ``f`` with ``tangents``, forward over reverse.

    It costs a small multiple of a gradient, whatever the size of the Hessian (Pearlmutter,
    «Fast exact multiplication by the Hessian», 1994).

    Parameters
    ----------
    f
        A function of ``primals`` that returns a real number.
    primals, tangents
        As for :func:`jvp`.

    Returns
    -------
    tuple
        The product, one entry in the structure of each primal.
    """
    _check_tuples("hvp", f, primals, tangents)
    gradient = grad(f, tuple(range(len(primals))))
    made: tuple[Any, ...] = jvp(gradient, primals, tangents)[1]
    return made


# ---- one call of a function that is differentiated


class _Call:
    """A function run once, with the arguments to differentiate by taken apart into leaves."""

    def __init__(
        self,
        what: str,
        f: Callable[..., Any],
        args: Sequence[Any],
        keywords: dict[str, Any],
        argnums: Argnums,
    ) -> None:
        self._what, self._f = what, f
        self._single = isinstance(argnums, int) and not isinstance(argnums, bool)
        numbers = _numbers(what, f, argnums, len(args))
        moving = tuple(args[i] for i in numbers)
        self.leaves, self.taken = flatten(moving)
        self.leaves = [current(leaf) for leaf in self.leaves]
        if not all(map(is_float, self.leaves)):
            names = (f"argument {i}{at}" for i in numbers for at in flatten(args[i])[1].paths())
            _refuse_leaf(what, names, self.leaves, _OTHER_ARGUMENT)
        self.returned = Structure()

        def on_leaves(leaves: list[Any]) -> Any:
            given = list(args)
            for i, part in zip(numbers, self.taken.rebuild(leaves), strict=True):
                given[i] = part
            return f(*given, **keywords)

        self.run: Run = run(on_leaves, self.leaves, self._outputs)

    def _outputs(self, result: Any, branched: bool) -> list[Any]:
        outputs, self.returned = flatten(result)
        outputs = [current(y) for y in outputs]
        if not all(map(_is_number, outputs)):
            paths = self.returned.paths(f"what {name_of(self._f)} returned")
            instead = "Return it from another function"
            _refuse_leaf(self._what, paths, outputs, instead, _is_number)
        # behind an `if` on the arguments a constant is as good as any result
        if not branched and not any(type(y) is Traced for y in outputs):
            refuse_derivative(
                self._what,
                f"{name_of(self._f)} returned {result!r}, which was not computed from its "
                "arguments (or was taken off the tape on the way). Its derivative would be zero "
                "whatever they are. Compute it by numpy functions of the arguments",
            )
        return outputs

    def scalar(self) -> int:
        """Return the value number of the result, which has to be a real number."""
        if self.returned.kind is not None:
            refuse_derivative(
                self._what,
                f"{name_of(self._f)} returned a {self.returned.kind.__name__}, not a number. "
                "Use softtape.jacobian, or return one number",
            )
        (output,) = self.run.graph.outputs
        value = self.run.values[output]
        shape = np.shape(value)
        if is_complex(value):
            refuse_derivative(
                self._what,
                f"{name_of(self._f)} returned {value!r}, a complex number, which has no gradient. "
                "Return np.abs(z) ** 2 or z.real",
            )
        if shape:
            refuse_derivative(
                self._what,
                f"{name_of(self._f)} returned an array of shape {shape}, not a number. Use "
                "softtape.jacobian, or sum it first",
            )
        return output

    def results(self) -> list[Any]:
        """Return the leaves of the result."""
        return [self.run.values[o] for o in self.run.graph.outputs]

    def value(self) -> Any:
        """Return what the function returned, as the code around knows it."""
        return self.returned.rebuild(map(self.run.known_around, self.results()))

    def by_argument(self, parts: Sequence[Any]) -> Any:
        """Return ``parts`` in the structure of the arguments: one, or a tuple of them."""
        made = self.taken.rebuild(map(self.run.known_around, parts))
        return made[0] if self._single else made

    def pullback(self, seeds: dict[int, Any]) -> list[Any]:
        """Return one cotangent per leaf of the arguments."""
        wanted = [self.run.graph.inputs[key] for key in self.run.keys]
        with np.errstate(all="ignore"):
            return pullback(self.run.graph, self.run.values, seeds, wanted)

    def pushforward(self, seeds: dict[str, Any], directions: int) -> list[Any]:
        """Return one stack of tangents per leaf of the result."""
        graph, values = self.run.graph, self.run.values
        with np.errstate(all="ignore"):
            tangents = pushforward(graph, values, seeds, graph.outputs)
        return [
            np.stack([zeros(values[o])] * directions) if t is None else t
            for o, t in zip(graph.outputs, tangents, strict=True)
        ]


def _by_columns(call: _Call, n: int) -> list[list[Any]]:
    """Jacobian blocks by forward sweeps: for each output, one per leaf of the arguments."""
    if n == 0:
        return [
            [np.zeros((*np.shape(y), *np.shape(x))) for x in call.leaves] for y in call.results()
        ]
    seeds = unit_seeds(call.run.graph, call.run.values, call.run.keys)
    blocks = []
    for tangent in call.pushforward(seeds, n):
        shape, start, row = np.shape(tangent)[1:], 0, []
        for x in call.leaves:
            size = int(np.size(x))
            columns = np.moveaxis(tangent[start : start + size], 0, -1)
            row.append(np.reshape(columns, (*shape, *np.shape(x)))[()])
            start += size
        blocks.append(row)
    return blocks


def _by_rows(call: _Call, values: Sequence[Any]) -> list[list[Any]]:
    """Jacobian blocks by reverse sweeps: for each output, one per leaf of the arguments."""
    blocks = []
    for output, y in zip(call.run.graph.outputs, values, strict=True):
        rows = [call.pullback({output: unit}) for unit in unit_vectors(y)]
        blocks.append(
            [
                np.reshape(np.stack([r[i] for r in rows]), (*np.shape(y), *np.shape(x)))[()]
                if rows
                else np.zeros((*np.shape(y), *np.shape(x)))
                for i, x in enumerate(call.leaves)
            ]
        )
    return blocks


# ---- misuse


_OTHER_ARGUMENT = "Pass it as another argument, one that is not among argnums"


def _numbers(what: str, f: Callable[..., Any], argnums: Any, count: int) -> tuple[int, ...]:
    """Return argnums as a tuple of positions."""
    wanted = argnums if isinstance(argnums, tuple) else (argnums,)
    for i in wanted:
        if isinstance(i, bool) or not isinstance(i, (int, np.integer)):
            refuse_derivative(
                what,
                f"argnums={argnums!r} is neither an integer nor a tuple of them. Name arguments by "
                "position, from 0",
            )
        if not -count <= i < count:
            refuse_derivative(
                what,
                f"argnums={argnums!r}, but {name_of(f)} was called with {count} positional "
                f"argument{'s' * (count != 1)}; those given by keyword are not differentiated by. "
                "Give it by position",
            )
    numbers = tuple(int(i) % count for i in wanted)
    if len(set(numbers)) < len(numbers):
        refuse_derivative(what, f"argnums={argnums!r} names an argument twice. Name each once")
    return numbers


def _check_tuples(what: str, f: Callable[..., Any], primals: Any, tangents: Any) -> None:
    """Refuse what is not one tangent for each primal."""
    if not isinstance(primals, (list, tuple)) or not isinstance(tangents, (list, tuple)):
        refuse_derivative(
            what,
            f"primals and tangents are tuples, one entry per argument of {name_of(f)}. Write "
            f"{what}(f, (x,), (v,))",
        )
    if len(primals) != len(tangents):
        counts = f"got {len(primals)} primals but {len(tangents)} tangents"
        refuse_derivative(what, f"{counts}. Give one tangent for each primal")


def is_float(leaf: Any) -> bool:
    """Whether a leaf is a real float or an array of them, plain or traced."""
    return type(leaf) is float or getattr(getattr(leaf, "dtype", None), "kind", "") == "f"


def _is_number(leaf: Any) -> bool:
    return is_float(leaf) or is_complex(leaf)


def _refuse_leaf(
    what: str,
    names: Iterable[str],
    leaves: Sequence[Any],
    instead: str,
    right: Callable[[Any], bool] = is_float,
) -> NoReturn:
    """Raise for the first of some leaves that is not ``right``."""
    name, leaf = next(pair for pair in zip(names, leaves, strict=True) if not right(pair[1]))
    number = isinstance(leaf, (bool, int, complex))
    dtype = np.dtype(type(leaf)) if number else getattr(leaf, "dtype", None)
    kind = getattr(dtype, "kind", "O")
    if kind in "iu":
        instead = "Integers have no derivative: give a float, such as 3.0 or x.astype(float)"
    if kind == "c":
        instead = "Differentiate by real and imaginary part instead, as real floats"
    of = type(leaf).__name__ if number or dtype is None else f"{type(leaf).__name__} of {dtype}"
    refuse_derivative(what, f"{name} is {leaf!r} ({of}), not a real float. {instead}")


def _alike(
    what: str, name: str, given: Any, of: str, leaves: Sequence[Any], wanted: Structure
) -> list[Any]:
    """Return the leaves of tangents or cotangents, checked against what they belong to."""
    try:
        parts = [current(part) for part in wanted.leaves_of(given)]
    except ValueError as error:
        refuse_derivative(
            what, f"the {name} is not built like {of}: {error}. Build it in the same containers"
        )
    made = []
    for part, leaf, path in zip(parts, leaves, wanted.paths(), strict=True):
        dtype = zeros(leaf).dtype
        if isinstance(part, (int, float, complex)) and not hasattr(part, "dtype"):
            part = np.asarray(part)[()] if isinstance(part, complex) else dtype.type(part)
        if not is_float(part) and not (is_complex(part) and is_complex(leaf)):
            _refuse_leaf(what, [f"{name}{path}"], [part], f"Give one for each part of {of}")
        if shape_of(part) != shape_of(leaf):
            shapes = f"shape {shape_of(part)}, but what it belongs to has {shape_of(leaf)}"
            refuse_derivative(what, f"{name}{path} has {shapes}. Give it that shape")
        made.append(part if part.dtype == dtype else part.astype(dtype))
    return made


def refuse_derivative(what: str, message: str) -> NoReturn:
    """Raise, naming the place."""
    raise DerivativeError(f"{user_location()}\nsofttape.{what}: {message}.")


def name_of(f: Callable[..., Any]) -> str:
    """Return what messages call a function."""
    return getattr(f, "__qualname__", None) or repr(f)


def _named(made: Callable[..., Any], what: str, f: Callable[..., Any]) -> Callable[..., Any]:
    made.__name__ = f"{what}({getattr(f, '__name__', f)})"
    made.__qualname__ = made.__name__
    made.__doc__ = f"{what} of {name_of(f)}; see softtape.{what}."
    return made

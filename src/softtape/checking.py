"""``check_grads``: derivatives against difference quotients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from softtape.containers import flatten
from softtape.functional import jvp, name_of, refuse_derivative, vjp

__all__ = ["check_grads"]

__tracebackhide__ = True  # pytest shows the user's line instead

_MODES = ("fwd", "rev")


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = _MODES,
    *,
    rtol: float = 1e-6,
    atol: float = 1e-6,
) -> None:
    """Compare the derivatives of ``f`` with difference quotients in a random direction.

    The quotients are central ones, extrapolated to fourth order; the direction is drawn from a
    fixed seed. With float32 arguments, whose quotients are good for about three digits, give wider
    tolerances.

    Parameters
    ----------
    f
        A function of ``args`` that returns a real number, an array or a container.
    args
        Where to check: floats, arrays of floats or containers. ``f`` should be smooth there.
    order
        Check derivatives up to this order.
    modes
        ``"fwd"``, ``"rev"`` or both: each derivative is taken in each of these modes, so that
        with both the second derivatives are checked forward over reverse, too.
    rtol, atol
        Relative and absolute tolerance of ``numpy.allclose``.

    Raises
    ------
    AssertionError
        They differ; the message names order, mode and place.
    DerivativeError
        ``f`` or ``args`` cannot be differentiated.
    """
    args = tuple(args)
    if order < 1 or not modes or not set(modes) <= set(_MODES):
        refuse_derivative(
            "check_grads",
            f"order={order!r}, modes={modes!r} checks nothing known. Give an order from 1, and "
            "modes of 'fwd' and 'rev'",
        )
    _check(f, args, order, modes, f"{name_of(f)}: ", (rtol, atol))


def _check(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    order: int,
    modes: Sequence[str],
    what: str,
    tolerance: tuple[float, float],
) -> None:
    direction = _random_like(args, seed=order)
    slope = _quotient(f, args, direction)
    if "fwd" in modes:

        def forward(*x: Any) -> Any:
            return jvp(f, x, direction)[1]

        found = flatten(forward(*args))
        names = found[1].paths()
        for name, a, b in zip(names, found[0], flatten(slope)[0], strict=True):
            _compare(f"{what}jvp{name}", a, b, tolerance)
        if order > 1:
            _check(forward, args, order - 1, modes, f"{what}jvp of ", tolerance)
    if "rev" in modes:
        weights = _random_like(slope, seed=order + 100)

        def reverse(*x: Any) -> Any:
            return vjp(f, *x)[1](weights)

        _compare(f"{what}vjp", _dot(reverse(*args), direction), _dot(weights, slope), tolerance)
        if order > 1:
            _check(reverse, args, order - 1, modes, f"{what}vjp of ", tolerance)


def _compare(what: str, found: Any, expected: Any, tolerance: tuple[float, float]) -> None:
    if not np.allclose(found, expected, *tolerance):
        raise AssertionError(f"{what} is {found!r}, but difference quotients give {expected!r}")


def _random_like(value: Any, seed: int) -> Any:
    leaves, structure = flatten(value)
    source = np.random.default_rng(seed)
    return structure.rebuild(
        np.asarray(source.standard_normal(np.shape(x)), getattr(x, "dtype", float))[()]
        for x in leaves
    )


def _dot(a: Any, b: Any) -> Any:
    return sum(np.sum(x * y) for x, y in zip(flatten(a)[0], flatten(b)[0], strict=True))


def _quotient(f: Callable[..., Any], args: tuple[Any, ...], direction: Any) -> Any:
    """Return the derivative of ``f`` along ``direction`` (Richardson)."""
    leaves, structure = flatten(args)
    moves = flatten(direction)[0]
    widths = [getattr(x, "dtype", np.dtype(float)) for x in leaves]
    size = max([1.0, *(float(np.max(np.abs(x), initial=0.0)) for x in leaves)])
    h = size * max([float(np.finfo(w).eps) for w in widths if w.kind == "f"] or [1e-16]) ** 0.2

    def at(t: float) -> tuple[list[Any], Any]:
        moved = [x + w.type(t) * v for x, v, w in zip(leaves, moves, widths, strict=True)]
        return flatten(f(*structure.rebuild(moved)))

    (a, built), (b, _), (c, _), (d, _) = at(h), at(-h), at(2 * h), at(-2 * h)
    return built.rebuild(
        (8 * (np.asarray(p) - q) - (np.asarray(r) - s)) / (12 * h)
        for p, q, r, s in zip(a, b, c, d, strict=True)
    )

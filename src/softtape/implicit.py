"""Gradients of what a solver finds, by the implicit function theorem.

At a root f(x, θ) = 0 the derivative of x by θ is −(∂f/∂x)⁻¹ ∂f/∂θ, whatever way the solver took
there. So the solver may be any code, and its iterations cost neither memory nor time in a
derivative; what is asked of it is that it converges. The names are those of jaxopt (Blondel et
al., «Efficient and modular implicit differentiation», 2022).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from softtape.containers import flatten
from softtape.custom import Custom, joined, like, parted
from softtape.errors import DerivativeError
from softtape.functional import is_float, jacobian, name_of, vjp
from softtape.graph import shape_of
from softtape.location import user_location

__all__ = ["custom_fixed_point", "custom_root"]

__tracebackhide__ = True  # pytest shows the user's line instead

Solver: TypeAlias = Callable[..., Any]


def custom_root(f: Callable[..., Any]) -> Callable[[Solver], Custom]:
    """Decorate a solver of f(x, \\*args) = 0, so that its result can be differentiated by ``args``.

    Parameters
    ----------
    f
        ``f(x, *args)`` returns as many numbers as ``x`` holds, all zero at the root: numpy
        code that can be differentiated. What the root depends on is among ``args``.

    Returns
    -------
    Callable
        Decorates the solver: ``solve(start, *args)`` returns ``x``, a number, an array or a
        container of them. It is called with plain numbers and may be any code. ``start`` has no
        influence on the root, hence no gradient.

    Raises
    ------
    DerivativeError
        In a derivative, if ``f`` does not return as many numbers as ``x`` holds.
    numpy.linalg.LinAlgError
        In a derivative, if ∂f/∂x is singular at the root, which then has no derivative.

    Examples
    --------
    >>> from softtape import custom_root, grad
    >>> @custom_root(lambda x, a: x * x - a)
    ... def square_root(start, a):
    ...     x = start
    ...     for _ in range(20):
    ...         x = (x + a / x) / 2
    ...     return x
    >>> float(grad(square_root, 1)(1.0, 4.0))
    0.25
    """

    def residual(x: Any, *args: Any) -> Any:
        return _vector(f, x, args)

    return lambda solve: _implicit(residual, solve)


def custom_fixed_point(f: Callable[..., Any]) -> Callable[[Solver], Custom]:
    """Decorate a solver of x = f(x, \\*args), so that its result can be differentiated by ``args``.

    Parameters
    ----------
    f
        ``f(x, *args)`` returns what is built like ``x``, and is ``x`` at the fixed point; see
        :func:`custom_root`.

    Returns
    -------
    Callable
        Decorates the solver, as :func:`custom_root` does.
    """

    def residual(x: Any, *args: Any) -> Any:
        return _vector(f, x, args) - joined(flatten(x)[0])

    return lambda solve: _implicit(residual, solve)


def _vector(f: Callable[..., Any], x: Any, args: tuple[Any, ...]) -> Any:
    leaves = flatten(f(x, *args))[0]
    made, wanted = joined(leaves), joined(flatten(x)[0])
    if shape_of(made) != shape_of(wanted):
        raise DerivativeError(
            f"{user_location()}\n{name_of(f)} returned {shape_of(made)[0]} numbers for the "
            f"{shape_of(wanted)[0]} numbers of x: it must return as many."
        )
    return made


def _implicit(residual: Callable[..., Any], solve: Solver) -> Custom:
    """Give a solver its rule: what ``residual`` returns is zero at its result."""
    solver = Custom(solve, "custom_root")

    @solver.defvjp
    def rule(g: Any, y: Any, _: Any, *args: Any) -> tuple[Any, ...]:
        leaves, structure = flatten(y)
        likes = [like(leaf) for leaf in leaves]
        given, built = flatten(args)
        moving = [i for i, x in enumerate(given) if is_float(x)]

        def by_x(x: Any) -> Any:
            return residual(structure.rebuild(parted(x, likes)), *args)

        def by_arguments(*values: Any) -> Any:
            changed = list(given)
            for i, value in zip(moving, values, strict=True):
                changed[i] = value
            return residual(y, *built.rebuild(changed))

        if not moving:
            return (None, *(None for _ in args))
        slope = jacobian(by_x)(joined(leaves))
        adjoint = np.linalg.solve(np.transpose(slope), joined(flatten(g)[0]))
        back = vjp(by_arguments, *[given[i] for i in moving])[1](-adjoint)
        cotangents: list[Any] = [None] * len(given)
        for i, cotangent in zip(moving, back, strict=True):
            cotangents[i] = cotangent
        return (None, *built.rebuild(cotangents))

    return solver

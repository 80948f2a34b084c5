"""A JAX function as a function of numpy arrays; the extra ``jax``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from softtape.custom import Custom
from softtape.interop._foreign import missing, wrapped

__all__ = ["from_jax"]


def from_jax(f: Callable[..., Any]) -> Custom:
    """Return a JAX function as a function of numpy arrays with derivatives.

    Parameters
    ----------
    f
        Takes and returns JAX arrays, or lists, tuples and dicts of them; jitted or not.
        It runs with ``jax.enable_x64``, so that float64 arrays stay float64.

    Returns
    -------
    Custom
        Called with numpy arrays. It can be differentiated to any order, by reverse and by
        forward mode, wherever JAX can differentiate ``f``.

    Raises
    ------
    SoftError
        JAX is not installed.
    """
    name = getattr(f, "__qualname__", None) or type(f).__qualname__
    return wrapped(f, _Jax(), f"from_jax({name})")


class _Jax:
    def __init__(self) -> None:
        try:
            import jax
        except ImportError:
            raise missing("JAX", "jax") from None
        self._jax = jax

    def context(self) -> AbstractContextManager[Any]:
        if hasattr(self._jax, "enable_x64"):
            made: AbstractContextManager[Any] = self._jax.enable_x64(True)
            return made
        from jax.experimental import enable_x64  # before JAX 0.8

        older: AbstractContextManager[Any] = enable_x64()
        return older

    def enter(self, leaf: Any) -> Any:
        return self._jax.numpy.asarray(leaf)

    def leave(self, leaf: Any) -> Any:
        return np.asarray(leaf)[()] if isinstance(leaf, self._jax.Array) else leaf

    def is_float(self, leaf: Any) -> bool:
        known = isinstance(leaf, self._jax.Array)
        return known and self._jax.numpy.issubdtype(leaf.dtype, self._jax.numpy.floating)

    def vjp(self, f: Callable[..., Any], primals: list[Any], cotangent: Any) -> tuple[Any, ...]:
        made: tuple[Any, ...] = self._jax.vjp(f, *primals)[1](cotangent)
        return made

    def jvp(self, f: Callable[..., Any], primals: list[Any], tangents: list[Any]) -> Any:
        return self._jax.jvp(f, tuple(primals), tuple(tangents))[1]

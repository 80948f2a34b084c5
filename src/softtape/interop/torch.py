"""A PyTorch function or module as a function of numpy arrays; the extra ``torch``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from softtape.custom import Custom
from softtape.interop._foreign import missing, wrapped

__all__ = ["from_torch"]


def from_torch(f: Callable[..., Any]) -> Custom:
    """Return a PyTorch function or module as a function of numpy arrays with derivatives.

    Parameters
    ----------
    f
        Takes and returns tensors, or lists, tuples and dicts of them. The parameters of a
        module are constants; to differentiate by them, give a function that takes them as an
        argument: ``lambda weights, x: torch.func.functional_call(module, weights, (x,))``.

    Returns
    -------
    Custom
        Called with numpy arrays, whose dtype the tensors take over: a module of float32
        weights wants float32 arrays (or ``module.double()``). It can be differentiated to any
        order, by reverse and by forward mode, wherever ``torch.func`` can differentiate ``f``.

    Raises
    ------
    SoftError
        PyTorch is not installed.
    """
    name = getattr(f, "__qualname__", None) or type(f).__qualname__
    return wrapped(f, _Torch(), f"from_torch({name})")


class _Torch:
    def __init__(self) -> None:
        try:
            import torch
        except ImportError:
            raise missing("PyTorch", "torch") from None
        self._torch = torch

    def context(self) -> AbstractContextManager[Any]:
        made: AbstractContextManager[Any] = self._torch.no_grad()
        return made

    def enter(self, leaf: Any) -> Any:
        return self._torch.tensor(leaf)  # a copy, which the function may change

    def leave(self, leaf: Any) -> Any:
        return leaf.detach().cpu().numpy()[()] if isinstance(leaf, self._torch.Tensor) else leaf

    def is_float(self, leaf: Any) -> bool:
        return isinstance(leaf, self._torch.Tensor) and leaf.is_floating_point()

    def vjp(self, f: Callable[..., Any], primals: list[Any], cotangent: Any) -> tuple[Any, ...]:
        made: tuple[Any, ...] = self._torch.func.vjp(f, *primals)[1](cotangent)
        return made

    def jvp(self, f: Callable[..., Any], primals: list[Any], tangents: list[Any]) -> Any:
        return self._torch.func.jvp(f, tuple(primals), tuple(tangents))[1]

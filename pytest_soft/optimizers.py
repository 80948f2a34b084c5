"""Optimizers that the hook ``pytest_soft_optimizers`` adds, checked when they are registered."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from softtape.optimize import OPTIMIZERS, Optimizer

__all__ = ["registered"]

_WANTED = (
    "It must be a function minimise(objective, theta, bounds) that returns the minimum it found, "
    "or an object with start(objective, theta, bounds) and step(objective, bounds, state)."
)


def registered(config: pytest.Config) -> dict[str, Optimizer[Any]]:
    """Return the optimizers of conftests and plugins by name.

    Raises
    ------
    pytest.UsageError
        One of them is none, or its name is taken; the message shows its definition.
    """
    found: dict[str, Optimizer[Any]] = {}
    for impl in config.hook.pytest_soft_optimizers.get_hookimpls():
        given = impl.function(**dict.fromkeys(impl.argnames, config))
        where = _definition(impl.function)
        if given is None:
            continue
        if not isinstance(given, Mapping):
            raise pytest.UsageError(
                f"{where}\nreturned {given!r}: it must return a dict of optimizers by name"
            )
        for name, optimizer in given.items():
            if not (isinstance(name, str) and name):
                raise pytest.UsageError(f"{where}\nan optimizer is called {name!r}: give it a name")
            if name == "auto" or name in OPTIMIZERS or name in found:
                raise pytest.UsageError(f"{where}\nthere is an optimizer {name!r} already")
            found[name] = _checked(name, optimizer, where)
    return found


def _checked(name: str, given: Any, where: str) -> Optimizer[Any]:
    """Return an optimizer, made of a function if it is one."""
    if inspect.isclass(given):
        problem = f"{_definition(given)}\nthe optimizer {name!r} is a class: register an object"
        raise pytest.UsageError(f"{problem}, {given.__name__}()")
    steps = [getattr(given, method, None) for method in ("start", "step")]
    if all(map(callable, steps)):
        for method in steps:
            _check_arguments(name, method)
        optimizer: Optimizer[Any] = given
        return optimizer if isinstance(getattr(given, "name", None), str) else _Named(name, given)
    if not callable(given):
        raise pytest.UsageError(f"{where}\nthe optimizer {name!r} is {given!r}. {_WANTED}")
    _check_arguments(name, given)
    from softtape.optimize.whole import WholeRun

    return WholeRun(name, given)


class _Named:
    """An optimizer that got its name where it was registered."""

    def __init__(self, name: str, optimizer: Any) -> None:
        self.name = name
        self.start, self.step = optimizer.start, optimizer.step
        self.needs_gradient = bool(getattr(optimizer, "needs_gradient", True))


def _check_arguments(name: str, function: Any) -> None:
    """Refuse what cannot be called with three arguments."""
    try:
        inspect.signature(function).bind(None, None, None)
    except TypeError as error:
        raise pytest.UsageError(
            f"{_definition(function)}\nthe optimizer {name!r} cannot be called with three "
            f"arguments ({error}). {_WANTED}"
        ) from None
    except ValueError:  # a builtin without a signature
        pass


def _definition(function: Any) -> str:
    """Return the place and the first line of a definition."""
    function = inspect.unwrap(getattr(function, "func", function))
    try:
        file = inspect.getsourcefile(function)
        lines, start = inspect.getsourcelines(function)
    except (OSError, TypeError):
        return repr(function)
    first = next((line for line in lines if not line.lstrip().startswith("@")), lines[0])
    path = Path(file or "<unknown>")
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{shown}:{start + lines.index(first)}: {first.strip()}"
